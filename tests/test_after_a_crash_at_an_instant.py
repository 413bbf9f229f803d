"""Killed (SIGKILL, a real process) at exactly this instant: readers see a whole file, and one run puts all right."""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.installation import Installation, as_rows, first_load
from tests.instants import OF_EACH_PACKAGE, OF_THE_END
from tests.places import DESTINATION, ELSEWHERE
from tests.settled import settled
from tests.truth import differences, published_pickups, state_of, states_told

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOT_THERE = {"postgres": [], "filesystem": ["entering merge"]}  # dlt has a job of SQL for it, but not in a lake
OF_A_PACKAGE = [instant for instant in OF_EACH_PACKAGE if instant not in NOT_THERE.get(DESTINATION, [])]
AT_THE_END = OF_THE_END[:3] if ELSEWHERE else OF_THE_END  # what follows is done to files
SMALL = {"page_size": 10, "pages_per_package": 2}  # a first load of 50 pickups is three packages


def fifty() -> World:
    """50 pickups of the last four weeks; the newest 20 may still change."""
    world = World(clock=NOW)
    for number in range(50):
        world.book(created_at=NOW - timedelta(hours=13 * (50 - number)))
    return world


@pytest.fixture
def world() -> World:
    return fifty()


@pytest.fixture(scope="module")
def loaded_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose first load is done."""
    return first_load(tmp_path_factory.mktemp("loaded"), fifty(), **SMALL)


@pytest.fixture
def loaded(installation: Installation, loaded_once: Path) -> Installation:
    return installation.as_in(loaded_once)


def killed(installation: Installation, api: Sandbox, instant: str, number: int = 1, *words: str) -> None:
    """One run, killed when it comes to that instant for the number-th time."""
    words = ("kill", instant, str(number), "run", *words)
    running = installation.begin(*words, api=api, module="tests.instants", **SMALL)
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


@pytest.mark.parametrize("instant", [*OF_A_PACKAGE[1::2], *AT_THE_END[1::3]])
def test_killed_in_its_first_load(installation: Installation, world: World, api: Sandbox, instant: str) -> None:
    """In the second of its three packages, or at its end."""
    killed(installation, api, instant, number=2 if instant in OF_EACH_PACKAGE else 1)
    assert published_pickups(installation) in (None, as_rows(world.records()))

    installation.run(api, **SMALL)

    assert differences(installation, world) == []
    assert states_told(installation.published) == states_by_hand(as_rows(world.records()))


@pytest.mark.parametrize("instant", [*OF_A_PACKAGE, *AT_THE_END])
def test_killed_with_changes_under_way(loaded: Installation, world: World, api: Sandbox, instant: str) -> None:
    before = as_rows(world.records())
    happen(world)
    after = as_rows(world.records())
    killed(loaded, api, instant)
    assert published_pickups(loaded) in (before, after)

    loaded.run(api, **SMALL)

    assert differences(loaded, world) == []
    assert states_told(loaded.published) == states_by_hand(before, after)


@pytest.mark.parametrize("number", [1, 2])
def test_killed_in_a_sweep_that_is_the_first_run(installation: Installation, number: int) -> None:
    """When it has loaded a package: what that one has seen is not called unlisted by the run that ends the sweep."""
    with serve(settled(60)) as api:
        killed(installation, api, "leaving load", number, "--sweep")

        receipt = installation.run(api, sweep=True, **SMALL)

        assert (receipt.outcome, receipt.sweep, receipt.rows_unlisted) == ("succeeded", "complete", 0)
        assert differences(installation, api.world) == []


@pytest.mark.parametrize("page", [2, 4])
def test_killed_between_two_pages(installation: Installation, world: World, api: Sandbox, page: int) -> None:
    """Of its first load: in the first package, and in the second when the first is loaded."""
    asked, killed = threading.Event(), threading.Event()

    def hold(_api: Sandbox, number: int) -> None:
        if number == page:
            asked.set()
            killed.wait(30)

    api.on_request = hold
    running = installation.begin("run", api=api, **SMALL)
    assert asked.wait(30)
    running.kill()
    running.communicate()
    killed.set()
    assert published_pickups(installation) is None

    installation.run(api, **SMALL)

    assert differences(installation, world) == []
