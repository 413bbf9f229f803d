"""Kills a run in a real process (SIGKILL) at an exact instant.

Readers then see a complete published file, and the next run recovers.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from pipelines.analytics.column_comments import column_descriptions
from pipelines.analytics.views import views_are_current
from pipelines.dialects import DUCKDB
from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.cases import quick
from tests.support.destinations import DESTINATION, ELSEWHERE, of_files
from tests.support.installation import Installation, as_rows, rows_of
from tests.support.instants import OF_EACH_PACKAGE, OF_THE_END
from tests.support.invariants import differences, published_pickups, state_of, states_told
from tests.support.templates import PAGES_OF_TEN, Templates
from tests.support.worlds import fifty, settled

pytestmark = [pytest.mark.v3, pytest.mark.places]

NOT_THERE = {"postgres": [], "delta": ["entering merge"]}  # dlt merges with a SQL job, except in a lake
OF_A_PACKAGE = [instant for instant in OF_EACH_PACKAGE if instant not in NOT_THERE.get(DESTINATION, [])]
AT_THE_END = OF_THE_END[:3] if ELSEWHERE else OF_THE_END  # the later instants exist only for files


@pytest.fixture
def world() -> World:
    return fifty()


@pytest.fixture
def loaded(installation: Installation, templates: Templates) -> Installation:
    return installation.as_in(templates.loaded("fifty"))


def kill_at(installation: Installation, api: Sandbox, instant: str, number: int = 1, *words: str) -> None:
    """Starts a run, and kills it when it reaches `instant` for the `number`-th time."""
    words = ("kill", instant, str(number), "run", *words)
    running = installation.begin(*words, api=api, module="tests.support.instants", **PAGES_OF_TEN)
    said = running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL, f"the run did not reach {instant}: {said}"


def make_changes_of_a_day(world: World) -> None:
    """Advances the world by a day and books two pickups.

    Of the open pickups, one is cancelled, one fails and one gets a new tracking number.
    """
    world.advance(days=1)
    cancelled, refused, relabelled = [record["id"] for record in world.records()[:9:4]]
    world.cancel(cancelled)
    world.fail(refused)
    world.change(relabelled, tracking_number="PRG7")
    for _ in range(2):
        world.book()


def expected_states(*tables: list[dict[str, Any]]) -> dict[int, list[tuple[Any, ...]]]:
    """Returns the states that the history must hold if runs saw these tables one after the other."""
    told: dict[int, list[tuple[Any, ...]]] = {}
    for row in (row for table in tables for row in table):
        states = told.setdefault(row["id"], [])
        if states[-1:] != [state_of(row)]:
            states.append(state_of(row))
    return told


@pytest.mark.parametrize("instant", quick([*OF_A_PACKAGE[1::2], *AT_THE_END[1::3]], only=(2,)))
def test_next_run_recovers_a_first_load_killed_at_this_instant(
    installation: Installation, world: World, api: Sandbox, instant: str
) -> None:
    """The run is killed in the second of its three load packages, or at its end."""
    kill_at(installation, api, instant, number=2 if instant in OF_EACH_PACKAGE else 1)
    assert published_pickups(installation) in (None, as_rows(world.records()))

    installation.run(api, **PAGES_OF_TEN)

    assert differences(installation, world) == []
    assert states_told(installation.published) == expected_states(as_rows(world.records()))


@of_files
def test_next_run_describes_the_views_of_a_first_load_killed_before_it_did(
    installation: Installation, world: World, api: Sandbox
) -> None:
    kill_at(installation, api, "entering describe the views")

    installation.run(api, **PAGES_OF_TEN)

    assert differences(installation, world) == []
    ask = "select comment from duckdb_columns() where schema_name = 'analytics' and comment is not null"
    described = [text for texts in column_descriptions().values() for text in texts.values()]
    assert sorted(row["comment"] for row in rows_of(installation.published, ask)) == sorted(described)
    ask = "select view_name, comment from duckdb_views() where schema_name = 'analytics'"
    comments = {row["view_name"]: row["comment"] for row in rows_of(installation.published, ask)}
    assert views_are_current(comments, DUCKDB, has_kept=True)


@pytest.mark.parametrize("instant", quick([*OF_A_PACKAGE, *AT_THE_END], only=(4, 7, 11)))
def test_next_run_recovers_a_later_run_killed_at_this_instant(
    loaded: Installation, world: World, api: Sandbox, instant: str
) -> None:
    before = as_rows(world.records())
    make_changes_of_a_day(world)
    after = as_rows(world.records())
    kill_at(loaded, api, instant)
    assert published_pickups(loaded) in (before, after)

    loaded.run(api, **PAGES_OF_TEN)

    assert differences(loaded, world) == []
    assert states_told(loaded.published) == expected_states(before, after)


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_resumed_sweep_reports_no_pickup_of_the_killed_first_run_as_unlisted(
    installation: Installation, number: int
) -> None:
    """The first run is killed after it loaded a package, and the next run completes the sweep."""
    with serve(settled(60)) as api:
        kill_at(installation, api, "leaving load", number, "--sweep")

        receipt = installation.run(api, sweep=True, **PAGES_OF_TEN)

        assert (receipt.outcome, receipt.sweep, receipt.rows_unlisted) == ("succeeded", "complete", 0)
        assert differences(installation, api.world) == []


@pytest.mark.slow
@pytest.mark.parametrize("page", [2, 4])
def test_next_run_recovers_a_first_load_killed_between_two_pages(
    installation: Installation, world: World, api: Sandbox, page: int
) -> None:
    """The run is killed in its first load package, or in the second after it loaded the first."""
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
