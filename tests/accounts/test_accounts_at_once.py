"""Several accounts at the same time: read side by side, written in turn, and what becomes of them when a run dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise

import pytest

from pipelines import run_accounts
from sources.sendcloud import Reading
from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.accounts import configure, outcomes, rows_of_worlds, serving
from tests.support.installation import REPOSITORY, Installation
from tests.support.invariants import leftovers, tables_of
from tests.support.worlds import NOW

SMALL = {"page_size": 10, "pages_per_package": 3}


@pytest.fixture
def apis() -> Iterator[dict[str, Sandbox]]:
    """Three accounts of 90 pickups; the ids are the same."""
    with serving({name: a_world(90, seed) for seed, name in enumerate(("north", "south", "east"))}) as apis:
        yield apis


def a_world(pickups: int, seed: int) -> World:
    world = World.seeded(pickups, seed=seed, until=NOW)
    world.clock = NOW - timedelta(days=3)
    return world


def all_is_right(installation: Installation, apis: Mapping[str, Sandbox]) -> None:
    """Table, history, published file and folder are what they would be had nothing ever gone wrong."""
    assert installation.pickups() == rows_of_worlds(apis)
    assert tables_of(installation.published) == tables_of(installation.warehouse)
    assert leftovers(installation) == []
    states = "account, id, pickup_status, cancelled_at, pickup_from, pickup_until"
    last = f"select {states} from sendcloud.pickup_status_history qualify row_number() over {NEWEST_FIRST} = 1"
    assert installation.rows(f"({last}) except select {states} from sendcloud.pickups") == []
    assert installation.rows(f"select {states} from sendcloud.pickups except ({last})") == []
    assert installation.rows(TOLD_TWICE) == []


NEWEST_FIRST = "(partition by account, id order by observed_at desc, _dlt_load_id::double desc)"
TOLD_TWICE = """
    select * from (
        select *, lag(struct_pack(pickup_status, cancelled_at, pickup_from, pickup_until)) over (
            partition by account, id order by observed_at, _dlt_load_id::double) as before
        from sendcloud.pickup_status_history)
    where before = struct_pack(pickup_status, cancelled_at, pickup_from, pickup_until)
"""


def requests_in_order(apis: Mapping[str, Sandbox]) -> list[str]:
    """Fills up with the account of each request, in the order in which they come in."""
    order: list[str] = []
    for name, api in apis.items():
        api.on_request = lambda _api, _number, name=name: order.append(name)  # type: ignore[misc]
    return order


# at the same time


@pytest.mark.slow
def test_accounts_are_read_at_the_same_time(installation: Installation, apis: dict[str, Sandbox]) -> None:
    """By the sandboxes' logs: nine pages each at 50 ms, and each account is asked before and after each other's."""
    configure(installation, apis, common={"page_size": 10})
    for api in apis.values():
        api.fault(faults.slow(0.05), times=None)
    order = requests_in_order(apis)

    run_accounts(installation.folder)

    for name in apis:
        first, last = order.index(name), len(order) - 1 - order[::-1].index(name)
        assert {other for other in order[first:last] if other != name} == apis.keys() - {name}
    assert sum(a != b for a, b in pairwise(order)) > 6  # one after the other, it would change twice
    all_is_right(installation, apis)


def test_no_more_than_four_are_read_at_once(installation: Installation) -> None:
    with serving({f"shop{number}": a_world(30, number) for number in range(6)}) as apis:
        configure(installation, apis, common={"page_size": 10})
        under_way, most = set[str](), [0]
        for api in apis.values():
            api.fault(faults.slow(0.05), times=None)

        def see(phase: str, reading: Reading) -> None:
            if phase == "reading":
                under_way.add(reading.account)
                most[0] = max(most[0], len(under_way))
            if phase == "loading":  # all of it is read: these accounts are one package each
                under_way.discard(reading.account)

        run_accounts(installation.folder, on_progress=see)
        all_is_right(installation, apis)

    assert 1 < most[0] <= 4


@pytest.mark.slow
def test_each_account_keeps_to_a_pace_of_its_own(
    installation: Installation, apis: dict[str, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine pages each at five a minute: each account waits for itself alone. The clock is not waited for."""
    configure(installation, apis, common={"page_size": 10}, own={"east": {"requests_per_minute": 20}})
    for api in apis.values():
        api.world.clock = NOW
    monkeypatch.setenv("SOURCES__SENDCLOUD__REQUESTS_PER_MINUTE", "5")
    slept: list[float] = []
    monkeypatch.setattr("sources.sendcloud.pace.time.sleep", slept.append)

    receipts = {one.account: one for one in run_accounts(installation.folder)}

    assert all(one.requests >= 9 for one in receipts.values())
    assert receipts["east"].waited_seconds == 0
    assert all(receipts[name].waited_seconds > 50 for name in ("north", "south"))
    assert max(slept) <= 60


def test_a_single_account_is_read_without_a_thread(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, {"north": apis["north"]})
    threads = set()

    run_accounts(installation.folder, on_progress=lambda *_: threads.add(threading.current_thread()))

    assert threads == {threading.current_thread()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_first_loads_in_packages_second_runs_and_faults_in_any_order_come_out_right(
    installation: Installation, seed: int
) -> None:
    """Four accounts, three packages each; one with refused keys, one whose API fails in the middle."""
    with serving({name: a_world(90, seed * 10 + n) for n, name in enumerate("abcd")}) as apis:
        configure(installation, apis, common={**SMALL, "request_max_attempts": 1})
        apis["b"].fault(faults.status(401), times=None)
        apis["c"].fault(faults.status(500), page=4 + seed, times=None)

        first = run_accounts(installation.folder)
        assert [(one.account, one.outcome, one.exit_code) for one in first] == [
            ("a", "succeeded", 0),
            ("b", "failed", 3),
            ("c", "failed", 4),
            ("d", "succeeded", 0),
        ]
        for api in apis.values():
            api.heal()
            api.world.advance(days=1)
        second = run_accounts(installation.folder)
        assert {one.outcome for one in second} == {"succeeded"}
        all_is_right(installation, apis)
        for api in apis.values():
            api.world.advance(days=2)
        assert {one.exit_code for one in run_accounts(installation.folder, sweep=bool(seed % 2))} == {0}
        all_is_right(installation, apis)
        last = run_accounts(installation.folder)
    assert {(one.rows_new, one.rows_changed) for one in last} == {(0, 0)}


# a run that dies


@pytest.mark.slow
@pytest.mark.parametrize("loads_before", [0, 4])
def test_killed_in_the_middle_of_three_accounts_the_next_run_puts_all_of_them_right(
    installation: Installation, apis: dict[str, Sandbox], loads_before: int
) -> None:
    """`kill -9` at the first load of the run, or after so many packages of any of them were loaded."""
    configure(installation, apis, common=SMALL)
    words = ["kill", "entering load", str(loads_before + 1), "run"]

    died = installation.begin(*words, module="tests.support.instants")
    assert died.wait(60) == -signal.SIGKILL
    for api in apis.values():
        api.world.advance(days=2)
    assert {one.outcome for one in run_accounts(installation.folder)} == {"succeeded"}
    all_is_right(installation, apis)


@pytest.mark.slow
def test_killed_while_reading_the_next_run_puts_all_of_them_right(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis, common=SMALL)
    installation.command("run")
    for api in apis.values():
        api.world.advance(days=2)
    killed = installation.begin("tell", "-", "0", "run", module="tests.support.instants")
    seen = threading.Event()
    apis["south"].on_request = lambda *_: seen.set()

    assert seen.wait(30)
    killed.kill()
    killed.communicate()

    assert {one.outcome for one in run_accounts(installation.folder)} == {"succeeded"}
    all_is_right(installation, apis)


LOADS_OF_TWO, LOADS_BEFORE_PAGE_5 = 2 * 3, 1  # 90 pickups are 9 pages, and three pages a package


def test_ctrl_c_ends_all_of_them_at_once_though_one_waits_for_an_answer_that_never_comes(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis, common=SMALL)
    go_on, asked = threading.Event(), threading.Event()

    def hold(_api: Sandbox, number: int) -> None:
        if number == 5:
            asked.set()
            go_on.wait(60)

    apis["south"].on_request = hold
    running = installation.begin("tell", "-", "0", "run", module="tests.support.instants")
    assert asked.wait(30)
    for _ in range(LOADS_OF_TWO + LOADS_BEFORE_PAGE_5):
        assert "leaving load" in iter(lambda: running.stdout.readline().strip(), "")
    time.sleep(1)  # all is loaded; what is left to them is to say so, one after the other
    running.send_signal(signal.SIGINT)
    try:
        _, said = running.communicate(timeout=30)  # the answer would come after 60 s
    finally:
        go_on.set()

    assert running.returncode == 130
    assert [line for line in said.splitlines() if line.startswith("pickups")] == [
        "pickups: interrupted. What was loaded before is as it was; the next run reads what this one missed."
    ]
    assert outcomes(installation) == {"north": "succeeded", "south": "failed", "east": "succeeded"}
    assert {one.outcome for one in run_accounts(installation.folder)} == {"succeeded"}
    all_is_right(installation, apis)


@pytest.mark.slow
def test_states_that_a_dead_run_left_are_dated_by_their_own_account(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    """South's run dies behind its load; north's next run must not record what it left, by north's clock."""
    configure(installation, apis)
    installation.command("run")
    south = apis["south"].world
    south.advance(days=1)
    pickup = south.book()
    words = ["kill", "entering conclude", "1", "run", "--account", "south"]
    assert installation.begin(*words, module="tests.support.instants").wait(60) == -signal.SIGKILL
    apis["north"].world.advance(days=30)

    installation.command("run", "--account", "north")
    seen = f"select observed_at from sendcloud.pickup_status_history where account = 'south' and id = {pickup}"
    assert installation.rows(seen) == []
    south.advance(hours=1)
    installation.command("run", "--account", "south")

    (state,) = installation.rows(seen)
    assert timedelta(0) <= south.clock - state["observed_at"] <= timedelta(hours=1)


# on the screen


@pytest.mark.slow
def test_on_a_terminal_each_account_has_a_bar(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, apis, common={"page_size": 20})
    for api in apis.values():
        api.fault(faults.slow(0.15), times=None)
    ours, terminal = os.openpty()
    settings = {"DLT_PROJECT_DIR": str(installation.folder), "TERM": "xterm", "PYTHONPATH": str(REPOSITORY)}
    running = subprocess.Popen(
        [sys.executable, "-m", "pipelines", "run"],
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    )
    os.close(terminal)
    shown = ""
    with suppress(OSError):  # what a terminal says when its other end is closed
        while said := os.read(ours, 4096):
            shown += said.decode(errors="replace")
    os.close(ours)

    assert running.wait(60) == 0
    for name in apis:
        assert f"{name}: reading: 2 pages" in shown
