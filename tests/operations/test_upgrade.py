"""Tests that runs continue from a warehouse after an upgrade, on another machine, or without a working folder."""

from __future__ import annotations

import gzip
import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.analytics.views import view_files
from pipelines.destinations import migrations
from pipelines.warehouse import connect, read_rows
from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.cases import quick
from tests.support.installation import API_VERSION, Installation, as_rows, rows_of
from tests.support.worlds import NOW

DATA = Path(__file__).parents[1] / "data"
FIRST_VERSION = DATA / "warehouse-of-f3503dc.duckdb.gz"
OPEN, REFUSED = 7_000_010, "seven"  # the ids that these tests follow


def days(number: float) -> timedelta:
    return timedelta(days=number)


def world_of_first_version() -> World:
    """Returns 30 pickups, one per day since 21 October, and one record that cannot be loaded.

    All pickups are settled except OPEN and the last four.
    """
    world = World(clock=NOW)
    for number in range(30):
        opens = NOW + days(6) if 7_000_000 + number == OPEN else NOW - days(29 - number)
        settled = {"pickup_status": "Failed"} if number not in (10, 26, 27, 28, 29) else {}
        world.book(
            id=7_000_000 + number,
            created_at=NOW - days(30 - number),
            pickup_from=opens,
            pickup_until=opens + days(0.2),
            carrier=("dhl", "ups", "dpd")[number % 3],
            **settled,
        )
    world.put({"id": REFUSED, "pickup_status": "Created", "created_at": "2026-11-20T11:00:00Z"})
    return world


def advance_to_second_run(world: World) -> None:
    """Makes the changes between the two runs of the first version, and advances the world by an hour."""
    world.advance(hours=1)
    world.cancel(7_000_028)
    world.book(id=7_000_100, colour="green")
    world.book(id=7_000_101)


def advance_to_current_version(world: World) -> None:
    """Makes the changes between those runs and the current version's run, and advances the world by a day."""
    world.advance(days=1)
    world.cancel(OPEN)
    world.book(id=7_000_200)


def runs_of_the_first_version(folder: Path) -> Path:
    """Creates the file in data/, if it is called with the code of commit f3503dc. Returns the warehouse."""
    world = world_of_first_version()
    (folder / ".dlt").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patched, serve(world) as api:
        installation = Installation(folder, patched)
        installation.run(api, page_size=5)
        advance_to_second_run(world)
        installation.run(api, page_size=5)
    return installation.warehouse


@pytest.fixture
def upgraded(installation: Installation) -> Installation:
    """Returns an installation of the current version with the warehouse that the first version left."""
    installation.warehouse.parent.mkdir()
    installation.warehouse.write_bytes(gzip.decompress(FIRST_VERSION.read_bytes()))
    return installation


@pytest.mark.parametrize("commit", quick(["f3503dc", "174e15f"], only=(1,)))
def test_readers_need_no_run_after_an_upgrade(installation: Installation, commit: str) -> None:
    """The file has the views and the columns of the version that published it. Each carrier's pickups are known."""
    installation.published.parent.mkdir()
    packed = DATA / f"warehouse-of-{commit}.duckdb.gz"
    installation.published.write_bytes(gzip.decompress(packed.read_bytes()))
    ((pickups, carriers),) = (
        row.values()
        for row in rows_of(installation.published, "select count(*), count(distinct carrier) from sendcloud.pickups")
    )

    shown = json.loads(installation.command("show", "carriers", "--format", "json").stdout)
    told = json.loads(installation.command("status", "--json").stdout)

    every_country = [row for row in shown if row["country"] == "all" and row["is_every_account"]]
    assert (sum(row["pickups"] for row in every_country), len(every_country)) == (pickups, carriers)
    assert sum(account["pickups"] for account in told) == pickups
    assert len(read_rows("pickups", installation.published)) == pickups
    with connect(installation.published) as data:  # creates the views once, while every `read_rows` creates them again
        for view in view_files():
            assert [*data.read(view.stem).columns]


@pytest.fixture
def world() -> World:
    """Returns the world a day after the last run of the first version."""
    world = world_of_first_version()
    advance_to_second_run(world)
    advance_to_current_version(world)
    return world


def loadable(world: World) -> list[dict[str, Any]]:
    return as_rows([record for record in world.records() if record["id"] != REFUSED])


def test_the_next_run_continues_from_the_state_of_the_first_version(
    upgraded: Installation, world: World, api: Sandbox
) -> None:
    """The API lists 34 records on seven pages of five.

    The frontier ends the read on the sixth page, which is the first page with bookings older than OPEN's.
    """
    receipt = upgraded.run(api, page_size=5)

    rows = upgraded.pickups()
    merged = [row["id"] for row in rows if row["api_version"]]  # the first version did not store api_version
    assert [{**row, "api_version": API_VERSION} for row in rows] == loadable(world)
    assert (receipt.rows_new, receipt.rows_changed, receipt.rows_cancelled) == (1, 1, 1)
    assert len(merged) == 2
    assert (receipt.requests, receipt.stopped_because, receipt.order) == (6, "frontier", "newest_first")
    assert receipt.frontier == NOW - days(20) - timedelta(hours=1)
    assert (receipt.is_first_read, receipt.history_complete) == (False, True)


@pytest.mark.slow
def test_the_second_run_after_the_upgrade_finds_no_changes(upgraded: Installation, api: Sandbox) -> None:
    """The run reads three pages, because OPEN is cancelled.

    The oldest open pickup was booked on 16 November, and is on the second page.
    """
    upgraded.run(api, page_size=5)
    before = upgraded.rows("from sendcloud.pickups order by id")

    receipt = upgraded.run(api, page_size=5)

    assert (receipt.rows_new, receipt.rows_changed, receipt.requests) == (0, 0, 3)
    assert upgraded.rows("from sendcloud.pickups order by id") == before  # _dlt_load_id included


@pytest.mark.slow
@pytest.mark.usefixtures("world")
def test_the_upgrade_fills_the_status_history_from_the_table_and_then_from_the_read_rows(
    upgraded: Installation, api: Sandbox
) -> None:
    """The history holds the 32 pickups that the first version left, one new pickup, and OPEN's cancellation."""
    upgraded.run(api, page_size=5)

    states = upgraded.rows("select id, pickup_status from sendcloud.pickup_status_history order by id, _dlt_load_id")
    assert len(states) == 32 + 1 + 1
    assert [state["pickup_status"] for state in states if state["id"] == OPEN] == ["Created", "Cancelled"]


def test_the_upgrade_marks_the_first_state_of_each_pickup(installation: Installation) -> None:
    """Older versions did not mark it. OPEN has two states before the upgrade, and a third one after it."""
    world = world_of_first_version()
    with serve(world) as api:
        installation.run(api)
        world.change(OPEN, pickup_until=NOW + days(7))
        installation.run(api)
        for path in (installation.warehouse, installation.published):
            with duckdb.connect(str(path)) as connection:
                connection.execute("alter table sendcloud.pickup_status_history drop column is_first")
        world.cancel(OPEN)

        installation.run(api)

    query = "select id, is_first from sendcloud.pickup_status_history order by id, observed_at"
    marked = [(row["id"], row["is_first"]) for row in installation.rows(query)]
    others = [(7_000_000 + number, True) for number in range(30) if 7_000_000 + number != OPEN]
    assert marked == sorted([*others, (OPEN, True), (OPEN, False), (OPEN, False)], key=lambda row: row[0])


def test_an_upgrade_that_ends_before_the_first_states_are_marked_is_repeated_by_the_next_run(
    installation: Installation, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate")

    installation.run(api)
    for path in (installation.warehouse, installation.published):
        with duckdb.connect(str(path)) as connection:
            connection.execute("alter table sendcloud.pickup_status_history drop column is_first")
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "mark_first_states", fail)
        assert installation.command("run", api=api).returncode == 6

    installation.run(api)

    query = "select distinct is_first from sendcloud.pickup_status_history"
    assert installation.rows(query) == [{"is_first": True}]


@pytest.mark.usefixtures("world")
def test_the_upgrade_keeps_the_old_receipts_and_adds_the_new_columns(upgraded: Installation, api: Sandbox) -> None:
    kept = rows_of(upgraded.warehouse, "from sendcloud.pickup_runs order by started_at")
    assert [(row["rows_new"], row["rows_changed"], row["quarantined"]) for row in kept] == [(30, 0, 1), (2, 1, 1)]
    assert "oldest_read_at" not in kept[0]

    upgraded.run(api, page_size=5)

    after = upgraded.rows("from sendcloud.pickup_runs order by started_at")
    assert [{name: row[name] for name in kept[0]} for row in after[:2]] == kept
    assert [row["oldest_read_at"] for row in after] == [
        None,
        None,
        NOW - days(26),
    ]  # the last pickup on the sixth page, 7_000_004


@pytest.mark.slow
@pytest.mark.usefixtures("world")
def test_the_upgrade_keeps_the_quarantine(upgraded: Installation, api: Sandbox) -> None:
    upgraded.run(api, page_size=5)

    rows = upgraded.rows("select first_seen_at, last_seen_at from sendcloud.pickups_quarantine")
    assert rows == [{"first_seen_at": NOW, "last_seen_at": NOW + timedelta(hours=25)}]


@pytest.mark.slow
def test_the_next_run_continues_if_the_working_folder_was_deleted(installation: Installation) -> None:
    world = sixty_settled_pickups()
    with serve(world) as api:
        installation.run(api, page_size=10)
        shutil.rmtree(installation.folder / "data" / ".dlt-pipelines")
        world.book()

        receipt = installation.run(api, page_size=10)

    assert (receipt.requests, receipt.rows_new) == (2, 1)
    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_the_next_run_continues_if_the_warehouse_was_moved_to_another_machine(
    installation: Installation, tmp_path: Path
) -> None:
    """Only the file is moved.

    The project folder and the home are different, there is no working folder, and nothing is published yet.
    """
    world = sixty_settled_pickups()
    there = Installation(tmp_path / "another" / "project", installation.monkeypatch)
    (there.folder / ".dlt").mkdir(parents=True)
    there.warehouse.parent.mkdir()
    with serve(world) as api:
        installation.run(api, page_size=10)
        shutil.copy(installation.warehouse, there.warehouse)
        shutil.rmtree(installation.folder)
        installation.monkeypatch.setenv("HOME", str(tmp_path / "another" / "home"))
        world.book()

        receipt = there.run(api, page_size=10)

    assert (receipt.requests, receipt.rows_new) == (2, 1)
    assert there.pickups() == as_rows(world.records())


def sixty_settled_pickups() -> World:
    """Returns 60 settled pickups: six pages of ten. A run that knows the frontier needs two pages."""
    world = World(clock=NOW)
    for number in range(60):
        world.book(created_at=NOW - days(90 - number), pickup_status="Failed")
    return world
