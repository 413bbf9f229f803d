"""Tests one run over several accounts, which reads them concurrently and loads them one after the other.

A killed run must harm none of the accounts.
"""

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
from sources.sendcloud import ReadStats
from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.accounts import configure, outcomes, rows_of_worlds, serving
from tests.support.installation import REPOSITORY, Installation
from tests.support.invariants import leftovers, tables_of
from tests.support.worlds import NOW

SMALL = {"page_size": 10, "pages_per_package": 3}


@pytest.fixture
def apis() -> Iterator[dict[str, Sandbox]]:
    """Serves three accounts of 90 pickups each, with the same ids."""
    with serving({name: seeded_world(90, seed) for seed, name in enumerate(("north", "south", "east"))}) as apis:
        yield apis


def seeded_world(pickups: int, seed: int) -> World:
    world = World.seeded(pickups, seed=seed, until=NOW)
    world.clock = NOW - timedelta(days=3)
    return world


def assert_all_is_correct(installation: Installation, apis: Mapping[str, Sandbox]) -> None:
    """Checks that table, history, published file and folder are as if nothing had ever gone wrong."""
    assert installation.pickups() == rows_of_worlds(apis)
    assert tables_of(installation.published) == tables_of(installation.warehouse)
    assert leftovers(installation) == []
    states = "account, id, pickup_status, cancelled_at, pickup_from, pickup_until"
    last = f"select {states} from sendcloud.pickup_status_history qualify row_number() over {NEWEST_FIRST} = 1"
    assert installation.rows(f"({last}) except select {states} from sendcloud.pickups") == []
    assert installation.rows(f"select {states} from sendcloud.pickups except ({last})") == []
    assert installation.rows(REPEATED_STATES) == []


NEWEST_FIRST = "(partition by account, id order by observed_at desc, _dlt_load_id::double desc)"
REPEATED_STATES = """
    select * from (
        select *, lag(struct_pack(pickup_status, cancelled_at, pickup_from, pickup_until)) over (
            partition by account, id order by observed_at, _dlt_load_id::double) as before
        from sendcloud.pickup_status_history)
    where before = struct_pack(pickup_status, cancelled_at, pickup_from, pickup_until)
"""


def record_requests(apis: Mapping[str, Sandbox]) -> list[str]:
    """Returns a list to which each request appends the name of its account, in order of arrival."""
    order: list[str] = []
    for name, api in apis.items():
        api.on_request = lambda _api, _number, name=name: order.append(name)  # type: ignore[misc]
    return order


# concurrent reading


@pytest.mark.slow
def test_accounts_are_read_concurrently(installation: Installation, apis: dict[str, Sandbox]) -> None:
    """Each account has nine pages, and each page takes 50 ms.

    According to the sandboxes, every other account receives requests between the first and last request of an account.
    """
    configure(installation, apis, common={"page_size": 10})
    for api in apis.values():
        api.fault(faults.slow(0.05), times=None)
    order = record_requests(apis)

    run_accounts(installation.folder)

    for name in apis:
        first, last = order.index(name), len(order) - 1 - order[::-1].index(name)
        assert {other for other in order[first:last] if other != name} == apis.keys() - {name}
    assert sum(a != b for a, b in pairwise(order)) > 6  # sequential reading would change the account twice
    assert_all_is_correct(installation, apis)


def test_no_more_than_four_accounts_are_read_at_once(installation: Installation) -> None:
    with serving({f"shop{number}": seeded_world(30, number) for number in range(6)}) as apis:
        configure(installation, apis, common={"page_size": 10})
        under_way, most = set[str](), [0]
        for api in apis.values():
            api.fault(faults.slow(0.05), times=None)

        def see(phase: str, reading: ReadStats) -> None:
            if phase == "reading":
                under_way.add(reading.account)
                most[0] = max(most[0], len(under_way))
            if phase == "loading":  # the account is read completely, because each account is one package
                under_way.discard(reading.account)

        run_accounts(installation.folder, on_progress=see)
        assert_all_is_correct(installation, apis)

    assert 1 < most[0] <= 4


@pytest.mark.slow
def test_each_account_has_its_own_rate_limit(
    installation: Installation, apis: dict[str, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each account has nine pages and a limit of five requests a minute, and waits for its own limit alone.

    The test itself does not sleep.
    """
    configure(installation, apis, common={"page_size": 10}, own={"east": {"requests_per_minute": 20}})
    for api in apis.values():
        api.world.clock = NOW
    monkeypatch.setenv("SOURCES__SENDCLOUD__REQUESTS_PER_MINUTE", "5")
    slept: list[float] = []
    monkeypatch.setattr("sources.sendcloud.http.rate_limit.time.sleep", slept.append)

    receipts = {one.account: one for one in run_accounts(installation.folder)}

    assert all(one.requests >= 9 for one in receipts.values())
    assert receipts["east"].waited_seconds == 0
    assert all(receipts[name].waited_seconds > 50 for name in ("north", "south"))
    assert max(slept) <= 60


def test_single_account_is_read_without_an_extra_thread(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, {"north": apis["north"]})
    threads = set()

    run_accounts(installation.folder, on_progress=lambda *_: threads.add(threading.current_thread()))

    assert threads == {threading.current_thread()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_faults_in_first_loads_of_several_accounts_are_recovered_by_later_runs(
    installation: Installation, seed: int
) -> None:
    """Each of four accounts has three packages. One account has refused keys, and the API of another fails midway."""
    with serving({name: seeded_world(90, seed * 10 + n) for n, name in enumerate("abcd")}) as apis:
        configure(installation, apis, common={**SMALL, "request_max_attempts": 1})
        apis["b"].fault(faults.refusal(401), times=None)
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
        assert_all_is_correct(installation, apis)
        for api in apis.values():
            api.world.advance(days=2)
        assert {one.exit_code for one in run_accounts(installation.folder, sweep=bool(seed % 2))} == {0}
        assert_all_is_correct(installation, apis)
        last = run_accounts(installation.folder)
    assert {(one.rows_new, one.rows_changed) for one in last} == {(0, 0)}


# killed and interrupted runs


@pytest.mark.slow
@pytest.mark.parametrize("loads_before", [0, 4])
def test_next_run_recovers_all_accounts_if_a_run_is_killed_at_a_load(
    installation: Installation, apis: dict[str, Sandbox], loads_before: int
) -> None:
    """SIGKILL arrives at the first load of the run, or after that many packages of any account were loaded."""
    configure(installation, apis, common=SMALL)
    words = ["kill", "entering load", str(loads_before + 1), "run"]

    died = installation.begin(*words, module="tests.support.instants")
    assert died.wait(60) == -signal.SIGKILL
    for api in apis.values():
        api.world.advance(days=2)
    assert {one.outcome for one in run_accounts(installation.folder)} == {"succeeded"}
    assert_all_is_correct(installation, apis)


@pytest.mark.slow
def test_next_run_recovers_all_accounts_if_a_run_is_killed_while_reading(
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
    assert_all_is_correct(installation, apis)


LOADS_OF_TWO, LOADS_BEFORE_PAGE_5 = 2 * 3, 1  # 90 pickups are 9 pages, with three pages per package


def test_ctrl_c_ends_the_run_immediately_even_if_an_account_still_waits_for_a_response(
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
    time.sleep(1)  # all packages are loaded; the accounts still have to report this, one after the other
    running.send_signal(signal.SIGINT)
    try:
        _, said = running.communicate(timeout=30)  # the response would arrive after 60 s
    finally:
        go_on.set()

    assert running.returncode == 130
    assert [line for line in said.splitlines() if line.startswith("pickups")] == [
        "pickups: interrupted. Previously loaded data is unchanged; the next run catches up."
    ]
    assert outcomes(installation) == {"north": "succeeded", "south": "failed", "east": "succeeded"}
    assert {one.outcome for one in run_accounts(installation.folder)} == {"succeeded"}
    assert_all_is_correct(installation, apis)


@pytest.mark.slow
def test_states_left_by_a_killed_run_are_dated_by_the_clock_of_their_own_account(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    """The run of `south` is killed after its load.

    The next run of `north` must not record the states of `south` by the clock of `north`.
    """
    configure(installation, apis)
    installation.command("run")
    south = apis["south"].world
    south.advance(days=1)
    pickup = south.book()
    words = ["kill", "entering finalize", "1", "run", "--account", "south"]
    assert installation.begin(*words, module="tests.support.instants").wait(60) == -signal.SIGKILL
    apis["north"].world.advance(days=30)

    installation.command("run", "--account", "north")
    seen = f"select observed_at from sendcloud.pickup_status_history where account = 'south' and id = {pickup}"
    assert installation.rows(seen) == []
    south.advance(hours=1)
    installation.command("run", "--account", "south")

    (state,) = installation.rows(seen)
    assert timedelta(0) <= south.clock - state["observed_at"] <= timedelta(hours=1)


# progress display


@pytest.mark.slow
def test_each_account_has_a_progress_bar_on_a_terminal(installation: Installation, apis: dict[str, Sandbox]) -> None:
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
    with suppress(OSError):  # a terminal raises this error when its other end is closed
        while said := os.read(ours, 4096):
            shown += said.decode(errors="replace")
    os.close(ours)

    assert running.wait(60) == 0
    for name in apis:
        assert f"{name}: reading: 2 pages" in shown
