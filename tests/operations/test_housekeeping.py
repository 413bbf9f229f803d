"""Tests that old rows are pruned, that needed rows stay at any age, and that a mostly free file is compacted."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest

from pipelines.bookkeeping import housekeeping
from pipelines.destinations.duckdb import publish
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.cases import quick
from tests.support.installation import Installation, as_rows, rows_of
from tests.support.invariants import differences, published_pickups, tables_of
from tests.support.templates import Templates
from tests.support.worlds import NOW, fifty

PAGES = {"page_size": 10}
CLOCKS = {
    "_dlt_loads": ["inserted_at"],
    "_dlt_pipeline_state": ["created_at"],
    "_dlt_version": ["inserted_at"],
    "pickup_runs": ["started_at", "finished_at", "observed_at"],
}


@pytest.fixture
def world() -> World:
    return fifty()


@pytest.fixture
def loaded(installation: Installation, templates: Templates) -> Installation:
    """Returns an installation that has loaded the fifty pickups."""
    return installation.as_in(templates.loaded("fifty-in-one-package"))


def make_older(installation: Installation, days: float) -> None:
    """Moves every timestamp of the bookkeeping back by `days`."""
    with duckdb.connect(str(installation.warehouse)) as connection:
        for table, columns in CLOCKS.items():
            earlier = ", ".join(f"{column} = {column} - to_hours({round(days * 24)})" for column in columns)
            connection.execute(f"update sendcloud.{table} set {earlier}")


def book_and_run(installation: Installation, world: World, api: Sandbox) -> None:
    """Books a pickup a day later, and starts a run that loads it."""
    world.advance(days=1)
    world.book()
    assert installation.run(api, **PAGES).rows_new == 1


def row_counts(installation: Installation) -> dict[str, int]:
    names = ("pickup_states_recorded", *CLOCKS)
    query = ", ".join(f"(select count(*) from sendcloud.{name}) as {name}" for name in names)
    return rows_of(installation.warehouse, f"select {query}")[0]


def count_old_rows(installation: Installation) -> tuple[int, int]:
    """Returns the numbers of loads and states that are older than 20 days, because `make_older` moved them."""
    loads, states = (
        f"select count(*) from sendcloud.{table} where {column} < now() - interval 20 day"
        for table, column in (("_dlt_loads", "inserted_at"), ("_dlt_pipeline_state", "created_at"))
    )
    (row,) = rows_of(installation.warehouse, f"select ({loads}) as loads, ({states}) as states")
    return row["loads"], row["states"]


def test_old_bookkeeping_is_pruned_and_the_next_run_stops_at_the_frontier(
    loaded: Installation, world: World, api: Sandbox
) -> None:
    for _ in range(3):
        book_and_run(loaded, world, api)
    make_older(loaded, days=40)
    assert count_old_rows(loaded) == (4, 4)

    book_and_run(loaded, world, api)
    assert count_old_rows(loaded) == (0, 0)  # today's load holds the state
    assert row_counts(loaded)["pickup_runs"] == 5  # receipts are kept for a year

    world.advance(days=1)
    receipt = loaded.run(api, **PAGES)
    assert (receipt.rows_new, receipt.stopped_because, receipt.is_first_read) == (0, "frontier", False)
    assert differences(loaded, world) == []


@pytest.mark.slow
def test_the_state_that_dlt_restores_is_kept_at_any_age(installation: Installation, world: World, api: Sandbox) -> None:
    """An account without further changes keeps its only state, and the load that wrote the state."""
    world.advance(days=60)
    for _ in range(2):
        installation.run(api, **PAGES)
    make_older(installation, days=40)
    before = row_counts(installation)

    for _ in range(2):
        world.advance(days=1)
        receipt = installation.run(api, **PAGES)
        assert (receipt.rows_new, receipt.stopped_because) == (0, "frontier")

    assert count_old_rows(installation) == (1, 1)
    assert row_counts(installation) == {**before, "pickup_runs": before["pickup_runs"] + 2}
    assert before["_dlt_version"] >= 1


@pytest.mark.slow
def test_recorded_loads_are_kept_only_while_a_pickup_belongs_to_them(
    loaded: Installation, world: World, api: Sandbox
) -> None:
    """One pickup changes every day. After the next load, no pickup belongs to its previous load."""
    changing = world.book()
    for day in range(3):
        world.advance(days=1)
        world.change(changing, tracking_number=f"T{day}")
        loaded.run(api, **PAGES)

    assert row_counts(loaded)["pickup_states_recorded"] == 2
    assert differences(loaded, world) == []


def test_pruning_happens_once_a_day_and_keeps_as_many_days_as_the_settings_say(
    loaded: Installation, world: World, api: Sandbox
) -> None:
    book_and_run(loaded, world, api)
    make_older(loaded, days=40)
    with loaded.monkeypatch.context() as patched:
        patched.setenv("RETENTION__BOOKKEEPING_DAYS", "60")
        book_and_run(loaded, world, api)
    assert count_old_rows(loaded) == (2, 2)

    world.advance(hours=1)
    loaded.run(api, **PAGES)
    assert count_old_rows(loaded) == (2, 2)  # pruning was already done on this day

    world.advance(days=1)
    loaded.run(api, **PAGES)
    assert count_old_rows(loaded) == (0, 0)


def receipts(installation: Installation) -> list[tuple[str, str, str | None]]:
    query = "select account, outcome, sweep from sendcloud.pickup_runs order by account, started_at"
    return [tuple(row.values()) for row in rows_of(installation.warehouse, query)]


def status_of(installation: Installation, account: str) -> Mapping[str, object]:
    """Returns the account's entry in the output of `pickups status`."""
    (told,) = [
        told for told in json.loads(installation.command("status", "--json").stdout) if told["account"] == account
    ]
    return told


@pytest.mark.slow
def test_receipts_older_than_a_year_are_pruned_except_the_last_success_sweep_and_failure(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """For more than a year, account `south` has not been read, or every run of it has failed.

    The receipts of its last successful run, last sweep and last failure stay.
    """
    for sweep in (False, True, False, False):
        installation.run(api, account="south", sweep=sweep, **PAGES)
        world.advance(hours=1)
    wrong = {"SOURCES__SENDCLOUD__ACCOUNT": "south", "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY": "wrong"}
    for _ in range(2):
        assert installation.command("run", api=api, **wrong).returncode == 3
    installation.run(api, account="north", **PAGES)
    before = status_of(installation, "south")
    make_older(installation, days=400)

    world.advance(days=1)
    installation.run(api, account="north", **PAGES)

    assert receipts(installation) == [
        ("north", "succeeded", None),
        ("north", "succeeded", None),
        ("south", "succeeded", "complete"),
        ("south", "succeeded", None),
        ("south", "failed", None),
    ]
    after = status_of(installation, "south")
    assert {name for name, value in after.items() if value != before[name]} == {*LONG_AGO, "age_hours"}
    assert all(str(after[name]) < "2026" for name in LONG_AGO)
    assert installation.rows("select distinct as_of_utc from analytics.pickups where account = 'south'") == [
        {"as_of_utc": (NOW + timedelta(hours=3, days=-400)).replace(tzinfo=None)}
    ]
    assert installation.run(api, account="south", **PAGES).stopped_because == "frontier"
    assert receipts(installation)[-2:] == [("south", "failed", None), ("south", "succeeded", None)]


LONG_AGO = ("last_run_at", "last_success_at", "last_sweep_at")


@pytest.mark.parametrize("clock", quick(["the API's", "this machine's"], only=(1,)))
def test_a_clock_ten_years_ahead_prunes_nothing(
    loaded: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    book_and_run(loaded, world, api)
    before = row_counts(loaded)

    if clock == "the API's":
        world.clock += timedelta(days=3650)
    else:
        world.advance(days=1)
        monkeypatch.setattr(housekeeping, "datetime", TenYearsAhead)
    loaded.run(api, **PAGES)

    after = row_counts(loaded)
    assert after["pickup_runs"] == before["pickup_runs"] + 1
    assert after["_dlt_loads"] >= before["_dlt_loads"]


class TenYearsAhead(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime.now(tz) + timedelta(days=3650)


# the file


def make_free_space(installation: Installation, megabytes: int) -> int:
    """Makes so many megabytes of the warehouse file free, and returns the size of the file."""
    with duckdb.connect(str(installation.warehouse)) as connection:
        connection.execute("set force_compression = 'uncompressed'")
        connection.execute(f"create table waste as select i from range({megabytes * 125_000}) as numbers(i)")
        connection.execute("checkpoint")
        # this table comes after the free space, so that DuckDB does not truncate the file
        connection.execute("create table sendcloud.last as select repeat('.', 1_000_000) as x")
        connection.execute("checkpoint")
        connection.execute("drop table waste")
        connection.execute("checkpoint")
    size = installation.warehouse.stat().st_size
    assert size > megabytes * 1_000_000
    return size


COMMENTS = "select view_name, comment from duckdb_views() where schema_name = 'analytics' order by 1"
COLUMNS = """
    select schema_name, table_name, column_name, data_type, is_nullable from duckdb_columns()
    where not internal and schema_name <> 'analytics' order by all
"""
FORMAT = "select tags['storage_version'] as version from duckdb_databases() where path is not null"


@pytest.mark.slow
def test_a_mostly_free_file_is_compacted_and_keeps_its_content(
    loaded: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "MIN_FREE_BYTES", 2**22)
    large = make_free_space(loaded, 16)
    before = [rows_of(loaded.warehouse, query) for query in (COMMENTS, COLUMNS, FORMAT)]
    monkeypatch.setenv("RETENTION__FREE_SHARE", "1.0")
    loaded.run(api, **PAGES)
    assert loaded.warehouse.stat().st_size >= large

    monkeypatch.delenv("RETENTION__FREE_SHARE")
    tables = tables_of(loaded.warehouse)
    loaded.run(api, **PAGES)

    assert large > 2 * loaded.warehouse.stat().st_size
    assert large > 2 * loaded.published.stat().st_size
    assert [rows_of(loaded.warehouse, query) for query in (COMMENTS, COLUMNS, FORMAT)] == before
    after = tables_of(loaded.warehouse)
    assert [row for row in tables if row not in after] == []
    book_and_run(loaded, world, api)
    assert differences(loaded, world) == []


@pytest.mark.slow
def test_a_run_succeeds_if_the_file_cannot_be_compacted(
    loaded: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "MIN_FREE_BYTES", 2**22)
    large = make_free_space(loaded, 16)
    in_the_way = loaded.warehouse.with_name(".warehouse.duckdb.smaller.new")
    in_the_way.mkdir()

    book_and_run(loaded, world, api)

    assert loaded.warehouse.stat().st_size >= large
    in_the_way.rmdir()
    assert differences(loaded, world) == []


@pytest.mark.slow
@pytest.mark.parametrize("instant", ["entering renamed", "leaving renamed"])
def test_a_kill_while_the_compacted_file_is_put_in_place_loses_nothing(
    loaded: Installation, world: World, api: Sandbox, instant: str
) -> None:
    """The copy is complete but not yet in place, or it is in place but not yet published."""
    large = make_free_space(loaded, 80)
    before = as_rows(world.records())
    world.book()
    running = loaded.begin("kill", instant, "1", "run", api=api, module="tests.support.instants", **PAGES)
    said = running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL, said
    assert (loaded.warehouse.stat().st_size < large) == (instant == "leaving renamed")
    assert published_pickups(loaded) == before

    loaded.run(api, **PAGES)

    assert loaded.warehouse.stat().st_size < large / 2
    assert differences(loaded, world) == []


@pytest.mark.slow
def test_an_incomplete_copy_of_a_crashed_run_does_not_block_the_next_run(
    loaded: Installation, world: World, api: Sandbox
) -> None:
    for name in (".warehouse.duckdb.smaller.new", ".warehouse.duckdb.smaller.new.wal"):
        loaded.warehouse.with_name(name).write_bytes(loaded.warehouse.read_bytes()[:300_000])

    book_and_run(loaded, world, api)

    assert differences(loaded, world) == []


@pytest.mark.slow
def test_a_run_succeeds_if_pruning_fails(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.run(api)
    world.advance(days=1)
    world.book()
    monkeypatch.setattr(housekeeping, "_PRUNE_LOADS", "delete from sendcloud.no_such_table")

    assert installation.run(api).outcome == "succeeded"
    assert installation.pickups() == as_rows(world.records())
