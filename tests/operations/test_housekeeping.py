"""Old rows go, what is needed stays however old it is, and a file that is mostly empty is written anew."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest

from pipelines import housekeeping, publish
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
    """An installation that has loaded the fifty."""
    return installation.as_in(templates.loaded("fifty-in-one-package"))


def age(installation: Installation, days: float) -> None:
    """What runs have noted of themselves was so many days earlier."""
    with duckdb.connect(str(installation.warehouse)) as connection:
        for table, columns in CLOCKS.items():
            earlier = ", ".join(f"{column} = {column} - to_hours({round(days * 24)})" for column in columns)
            connection.execute(f"update sendcloud.{table} set {earlier}")


def change(installation: Installation, world: World, api: Sandbox) -> None:
    """A day later one is booked, and a run finds it."""
    world.advance(days=1)
    world.book()
    assert installation.run(api, **PAGES).rows_new == 1


def counts(installation: Installation) -> dict[str, int]:
    names = ("pickup_states_recorded", *CLOCKS)
    query = ", ".join(f"(select count(*) from sendcloud.{name}) as {name}" for name in names)
    return rows_of(installation.warehouse, f"select {query}")[0]


def aged(installation: Installation) -> tuple[int, int]:
    """How many loads and states there are from before `age` was called."""
    loads, states = (
        f"select count(*) from sendcloud.{table} where {column} < now() - interval 20 day"
        for table, column in (("_dlt_loads", "inserted_at"), ("_dlt_pipeline_state", "created_at"))
    )
    (row,) = rows_of(installation.warehouse, f"select ({loads}) as loads, ({states}) as states")
    return row["loads"], row["states"]


def test_old_bookkeeping_goes_and_the_next_run_reads_on_from_where_it_stood(
    loaded: Installation, world: World, api: Sandbox
) -> None:
    for _ in range(3):
        change(loaded, world, api)
    age(loaded, days=40)
    assert aged(loaded) == (4, 4)

    change(loaded, world, api)
    assert aged(loaded) == (0, 0)  # the state is in today's load
    assert counts(loaded)["pickup_runs"] == 5  # a year of them is kept

    world.advance(days=1)
    receipt = loaded.run(api, **PAGES)
    assert (receipt.rows_new, receipt.stopped_because, receipt.is_first_read) == (0, "frontier", False)
    assert differences(loaded, world) == []


@pytest.mark.slow
def test_what_dlt_restores_stays_however_old_it_is(installation: Installation, world: World, api: Sandbox) -> None:
    """An account in which nothing happens any more has its one state, and the load that the state came with."""
    world.advance(days=60)
    for _ in range(2):
        installation.run(api, **PAGES)
    age(installation, days=40)
    before = counts(installation)

    for _ in range(2):
        world.advance(days=1)
        receipt = installation.run(api, **PAGES)
        assert (receipt.rows_new, receipt.stopped_because) == (0, "frontier")

    assert aged(installation) == (1, 1)
    assert counts(installation) == {**before, "pickup_runs": before["pickup_runs"] + 2}
    assert before["_dlt_version"] >= 1


@pytest.mark.slow
def test_of_the_loads_in_the_history_those_stay_that_a_pickup_is_of(
    loaded: Installation, world: World, api: Sandbox
) -> None:
    """One pickup changes every day: of each of its loads there is no pickup, once the next one is there."""
    changing = world.book()
    for day in range(3):
        world.advance(days=1)
        world.change(changing, tracking_number=f"T{day}")
        loaded.run(api, **PAGES)

    assert counts(loaded)["pickup_states_recorded"] == 2
    assert differences(loaded, world) == []


def test_it_is_done_once_a_day_and_settings_say_how_much_stays(
    loaded: Installation, world: World, api: Sandbox
) -> None:
    change(loaded, world, api)
    age(loaded, days=40)
    with loaded.monkeypatch.context() as patched:
        patched.setenv("KEEP__BOOKKEEPING_DAYS", "60")
        change(loaded, world, api)
    assert aged(loaded) == (2, 2)

    world.advance(hours=1)
    loaded.run(api, **PAGES)
    assert aged(loaded) == (2, 2)  # for this day it was done

    world.advance(days=1)
    loaded.run(api, **PAGES)
    assert aged(loaded) == (0, 0)


def receipts(installation: Installation) -> list[tuple[str, str, str | None]]:
    query = "select account, outcome, sweep from sendcloud.pickup_runs order by account, started_at"
    return [tuple(row.values()) for row in rows_of(installation.warehouse, query)]


def status_of(installation: Installation, account: str) -> Mapping[str, object]:
    """What `pickups status` tells of it."""
    (told,) = [
        told for told in json.loads(installation.command("status", "--json").stdout) if told["account"] == account
    ]
    return told


@pytest.mark.slow
def test_receipts_older_than_a_year_go_but_for_the_last_ones_that_somebody_asks_for(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """Nobody reads `south` any more, or it has failed for more than a year: its last good run, sweep, failure stay."""
    for sweep in (False, True, False, False):
        installation.run(api, account="south", sweep=sweep, **PAGES)
        world.advance(hours=1)
    wrong = {"SOURCES__SENDCLOUD__ACCOUNT": "south", "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY": "wrong"}
    for _ in range(2):
        assert installation.command("run", api=api, **wrong).returncode == 3
    installation.run(api, account="north", **PAGES)
    before = status_of(installation, "south")
    age(installation, days=400)

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
def test_a_clock_that_is_wrong_and_ahead_costs_nothing(
    loaded: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    change(loaded, world, api)
    before = counts(loaded)

    if clock == "the API's":
        world.clock += timedelta(days=3650)
    else:
        world.advance(days=1)
        monkeypatch.setattr(housekeeping, "datetime", TenYearsAhead)
    loaded.run(api, **PAGES)

    after = counts(loaded)
    assert after["pickup_runs"] == before["pickup_runs"] + 1
    assert after["_dlt_loads"] >= before["_dlt_loads"]


class TenYearsAhead(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime.now(tz) + timedelta(days=3650)


# the file


def leave_free(installation: Installation, megabytes: int) -> int:
    """The size of the warehouse, in which so many megabytes now lie free."""
    with duckdb.connect(str(installation.warehouse)) as connection:
        connection.execute("set force_compression = 'uncompressed'")
        connection.execute(f"create table waste as select i from range({megabytes * 125_000}) as numbers(i)")
        connection.execute("checkpoint")
        # behind it, so that the file isn't cut off
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
def test_a_file_that_is_mostly_free_is_written_anew_and_holds_what_it_held(
    loaded: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "WORTH_IT_BYTES", 2**22)
    large = leave_free(loaded, 16)
    before = [rows_of(loaded.warehouse, query) for query in (COMMENTS, COLUMNS, FORMAT)]
    monkeypatch.setenv("KEEP__FREE_SHARE", "1.0")
    loaded.run(api, **PAGES)
    assert loaded.warehouse.stat().st_size >= large

    monkeypatch.delenv("KEEP__FREE_SHARE")
    tables = tables_of(loaded.warehouse)
    loaded.run(api, **PAGES)

    assert large > 2 * loaded.warehouse.stat().st_size
    assert large > 2 * loaded.published.stat().st_size
    assert [rows_of(loaded.warehouse, query) for query in (COMMENTS, COLUMNS, FORMAT)] == before
    after = tables_of(loaded.warehouse)
    assert [row for row in tables if row not in after] == []
    change(loaded, world, api)
    assert differences(loaded, world) == []


@pytest.mark.slow
def test_where_it_cannot_be_written_anew_the_run_is_done_all_the_same(
    loaded: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "WORTH_IT_BYTES", 2**22)
    large = leave_free(loaded, 16)
    in_the_way = loaded.warehouse.with_name(".warehouse.duckdb.smaller.new")
    in_the_way.mkdir()

    change(loaded, world, api)

    assert loaded.warehouse.stat().st_size >= large
    in_the_way.rmdir()
    assert differences(loaded, world) == []


@pytest.mark.slow
@pytest.mark.parametrize("instant", ["entering rename", "leaving renamed"])
def test_killed_while_the_file_is_put_in_place_nothing_is_lost(
    loaded: Installation, world: World, api: Sandbox, instant: str
) -> None:
    """The copy is whole and not yet in place; it is in place and not yet published."""
    large = leave_free(loaded, 80)
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
def test_half_a_copy_of_a_run_that_died_is_in_nobodys_way(loaded: Installation, world: World, api: Sandbox) -> None:
    for name in (".warehouse.duckdb.smaller.new", ".warehouse.duckdb.smaller.new.wal"):
        loaded.warehouse.with_name(name).write_bytes(loaded.warehouse.read_bytes()[:300_000])

    change(loaded, world, api)

    assert differences(loaded, world) == []


@pytest.mark.slow
def test_where_it_cannot_be_done_the_run_is_done_all_the_same(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.run(api)
    world.advance(days=1)
    world.book()
    monkeypatch.setattr(housekeeping, "_LOADS", "delete from sendcloud.no_such_table")

    assert installation.run(api).outcome == "succeeded"
    assert installation.pickups() == as_rows(world.records())
