"""Killed (SIGKILL, a real process) at exactly this instant: readers see a whole file, and one run puts all right."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.cases import quick
from tests.support.destinations import DESTINATION, ELSEWHERE
from tests.support.installation import Installation, as_rows
from tests.support.instants import OF_EACH_PACKAGE, OF_THE_END
from tests.support.invariants import differences, published_pickups, state_of, states_told
from tests.support.templates import PAGES_OF_TEN, Templates
from tests.support.worlds import fifty, settled

pytestmark = [pytest.mark.v3, pytest.mark.places]

NOT_THERE = {"postgres": [], "filesystem": ["entering merge"]}  # dlt has a job of SQL for it, but not in a lake
OF_A_PACKAGE = [instant for instant in OF_EACH_PACKAGE if instant not in NOT_THERE.get(DESTINATION, [])]
AT_THE_END = OF_THE_END[:3] if ELSEWHERE else OF_THE_END  # what follows is done to files


@pytest.fixture
def world() -> World:
    return fifty()


@pytest.fixture
def loaded(installation: Installation, templates: Templates) -> Installation:
    return installation.as_in(templates.loaded("fifty"))


def killed(installation: Installation, api: Sandbox, instant: str, number: int = 1, *words: str) -> None:
    """One run, killed when it comes to that instant for the number-th time."""
    words = ("kill", instant, str(number), "run", *words)
    running = installation.begin(*words, api=api, module="tests.support.instants", **PAGES_OF_TEN)
    said = running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL, f"never came to {instant}: {said}"


def happen(world: World) -> None:
    """A day later: two booked, and of those that may change one cancelled, one refused, one relabelled."""
    world.advance(days=1)
    cancelled, refused, relabelled = [record["id"] for record in world.records()[:9:4]]
    world.cancel(cancelled)
    world.fail(refused)
    world.change(relabelled, tracking_number="PRG7")
    for _ in range(2):
        world.book()


def states_by_hand(*tables: list[dict[str, Any]]) -> dict[int, list[tuple[Any, ...]]]:
    """What the history must tell of pickups that were seen as in these tables, one after the other."""
    told: dict[int, list[tuple[Any, ...]]] = {}
    for row in (row for table in tables for row in table):
        states = told.setdefault(row["id"], [])
        if states[-1:] != [state_of(row)]:
            states.append(state_of(row))
    return told


@pytest.mark.parametrize("instant", quick([*OF_A_PACKAGE[1::2], *AT_THE_END[1::3]], only=(2,)))
def test_killed_in_its_first_load(installation: Installation, world: World, api: Sandbox, instant: str) -> None:
    """In the second of its three packages, or at its end."""
    killed(installation, api, instant, number=2 if instant in OF_EACH_PACKAGE else 1)
    assert published_pickups(installation) in (None, as_rows(world.records()))

    installation.run(api, **PAGES_OF_TEN)

    assert differences(installation, world) == []
    assert states_told(installation.published) == states_by_hand(as_rows(world.records()))


@pytest.mark.parametrize("instant", quick([*OF_A_PACKAGE, *AT_THE_END], only=(4, 7, 11)))
def test_killed_with_changes_under_way(loaded: Installation, world: World, api: Sandbox, instant: str) -> None:
    before = as_rows(world.records())
    happen(world)
    after = as_rows(world.records())
    killed(loaded, api, instant)
    assert published_pickups(loaded) in (before, after)

    loaded.run(api, **PAGES_OF_TEN)

    assert differences(loaded, world) == []
    assert states_told(loaded.published) == states_by_hand(before, after)


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_killed_in_a_sweep_that_is_the_first_run(installation: Installation, number: int) -> None:
    """When it has loaded a package: what that one has seen is not called unlisted by the run that ends the sweep."""
    with serve(settled(60)) as api:
        killed(installation, api, "leaving load", number, "--sweep")

        receipt = installation.run(api, sweep=True, **PAGES_OF_TEN)

        assert (receipt.outcome, receipt.sweep, receipt.rows_unlisted) == ("succeeded", "complete", 0)
        assert differences(installation, api.world) == []


@pytest.mark.slow
@pytest.mark.parametrize("page", [2, 4])
def test_killed_between_two_pages(installation: Installation, world: World, api: Sandbox, page: int) -> None:
    """Of its first load: in the first package, and in the second when the first is loaded."""
    asked, killed = threading.Event(), threading.Event()

    def hold(_api: Sandbox, number: int) -> None:
        if number == page:
            asked.set()
            killed.wait(30)

    api.on_request = hold
    running = installation.begin("run", api=api, **PAGES_OF_TEN)
    assert asked.wait(30)
    running.kill()
    running.communicate()
    killed.set()
    assert published_pickups(installation) is None

    installation.run(api, **PAGES_OF_TEN)

    assert differences(installation, world) == []
