"""The same tables for several engines, and whether what these make of them is the same."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest

from sources.sendcloud.sandbox import World, faults
from tests.accounts import NOW, configure, serving
from tests.by_hand import fill, pickup, run
from tests.installation import Installation

Row = dict[str, Any]
SPRING, AUTUMN = datetime(2026, 3, 28, 23, 30, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # clocks change
SLOTS: list[list[Row]] = [
    [
        {"start_at": "2026-11-23T08:00:00Z", "end_at": "2026-11-23T11:00:00.5Z"},
        {"start_at": "2026-11-23t15:00:00+02:00", "end_at": "2026-11-23t17:15:00+02:00"},  # RFC 3339 has it so too
    ],
    [
        {"start_at": "2026-10-24T22:30:00Z", "end_at": "2026-10-25T00:30:00Z"},
        {"start_at": "2026-10-25T01:00:00Z"},
        {"start_at": "2026-10-25T05:00:00Z", "end_at": "2026-10-25T04:00:00Z", "note": 'a } , { in "it"'},
    ],
    [{"start_at": "2026-11-23T08:00:00Z", "end_at": "2026-11-23T09:00:00Z", "seen": [{"a": {"b": 1}}, {"c": {}}]}],
]


@contextmanager
def eventful(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse of three accounts after four runs, one account of v3: all that views and checks tell apart."""
    (folder / ".dlt").mkdir(parents=True)
    began = NOW - timedelta(days=20)
    worlds = {name: World.seeded(600, seed=seed, until=began) for seed, name in enumerate(("north", "south", "east"))}
    for world in worlds.values():
        _book_odd_ones(world)
    for slots in SLOTS:
        worlds["south"].book(carrier="brt", country="IT", time_slots=slots)
    with pytest.MonkeyPatch.context() as patched, serving(worlds) as apis:
        installation = Installation(folder, patched)
        configure(installation, apis, own={"south": {"api_version": "v3"}})
        assert installation.command("run").returncode == 0
        numbers = {name: [record["id"] for record in world.records()] for name, world in worlds.items()}
        for name, world in worlds.items():
            world.advance(days=5)
            world.change(numbers[name][3], carrier=None)
            world.put({"id": "x", "carrier": "dpd"})
        assert installation.command("run").returncode == 0
        for name, world in worlds.items():
            world.advance(days=15)
            world.change(numbers[name][3], carrier="dpd")
            world.remove(numbers[name][40])
        assert installation.command("run", "--sweep").returncode == 0
        apis["east"].fault(faults.status(401))
        assert installation.command("run").returncode == 3
        with duckdb.connect(str(installation.warehouse), read_only=True) as connection:
            connection.execute("set timezone = 'UTC'")
            yield connection


def _book_odd_ones(world: World) -> None:
    booked: Row = {"created_at": world.clock - timedelta(days=30), "contract": 57}
    for status in ("Lost in Übersee", "Cancellation_failed", "Announcing"):
        world.book(**booked, pickup_status=status, country="nl")
    gone = booked["created_at"] + timedelta(hours=3, microseconds=1)
    world.book(**booked, pickup_status="Cancellation_requested", cancelled_at=gone)
    world.book(**booked, pickup_status="Created", cancelled_at=gone, carrier="a_new_one")
    world.book(created_at=gone + timedelta(hours=24), contract=57, carrier="a_new_one")
    for country, opens in (
        ("ES", SPRING),
        ("IT", SPRING),
        ("GB", AUTUMN),
        ("PT", AUTUMN),
        ("XX", AUTUMN),
        ("", AUTUMN),
    ):
        world.book(**booked, country=country, pickup_from=opens, pickup_until=opens + timedelta(hours=4))
    for opens in (datetime(2021, 1, 1, tzinfo=UTC), datetime(2045, 7, 2, 3, 4, 5, 678901, tzinfo=UTC)):
        world.book(created_at=booked["created_at"], pickup_from=opens, tracking_number="")
        world.book(**booked, pickup_from=opens, pickup_until=opens - timedelta(hours=1), country="DE")


def unlikely(seed: int, pickups: int = 600) -> duckdb.DuckDBPyConnection:
    """Tables in memory that no API would give: every state with every time, none and those of other centuries, rows
    twice and rows without a key.
    """
    random = Random(seed)
    rows = [_unlikely_pickup(random) for _ in range(pickups)]
    without = dict.fromkeys(("account", "carrier", "pickup_status", "created_at"))
    runs = [
        run(
            account=random.choice("abd"),
            observed_at=_some_time(random),
            outcome=random.choice(["succeeded", "failed"]),
            rows_in_table=random.randrange(3),
            checks_failed=random.choice([None, "{}", '{"unique_key": 3}']),
        )
        for _ in range(8)
    ]
    return fill(duckdb.connect(), [*rows, *rows[:3], pickup(**without)], runs)


def _unlikely_pickup(random: Random) -> Row:
    names = {name: _some_time(random, or_none=True, odd=True) for name in ("pickup_from", "pickup_until")}
    return pickup(
        **names,
        created_at=_some_time(random),
        cancelled_at=_some_time(random, or_none=True),
        account=random.choice("abc"),
        carrier=random.choice(["dpd", "ups", "Ünï"]),
        country=random.choice([None, "", "NL", "nl", "ES", "GB", "PT", "XX", " DE"]),
        tracking_number=random.choice([None, "", "1"]),
        pickup_status=random.choice(
            ["Created", "CANCELLED", "failed", "Announcing", "CANCELLATION_REQUESTED", "Cancellation failed", "ñ of ß"]
        ),
        contract=random.choice([None, 0, 1, -5]),
        time_slots=_some_slots(random) if random.random() < 0.3 else None,
        api_version=random.choice([None, "v2", "v3"]),
    )


def _some_time(random: Random, *, or_none: bool = False, odd: bool = False) -> datetime | None:
    """Around the night in which clocks go forward, often the same one."""
    if or_none and random.random() < 0.3:
        return None
    if odd and random.random() < 0.05:
        return datetime(random.choice([1, 1890, 1950, 2100, 9999]), 7, 1, tzinfo=UTC)
    hours = random.choice([0, 1, 24, random.randrange(400), random.random() * 400])
    return datetime(2026, 3, 25, tzinfo=UTC) + timedelta(hours=hours, microseconds=random.choice([0, 1, 999_999]))


def _some_slots(random: Random) -> str:
    def slot() -> Row:
        times = {name: _some_time(random, or_none=name == "end_at") for name in ("end_at", "start_at")}
        return {name: time and time.isoformat() for name, time in times.items() if time or random.random() < 0.5}

    return json.dumps([slot() for _ in range(random.randrange(5))], separators=(",", ":"))


def tables_of(connection: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[str, str]]]:
    """The columns of each of our tables, and their DuckDB types."""
    query = """
        select table_name, column_name, data_type from duckdb_columns()
        where schema_name = 'sendcloud' and not starts_with(table_name, '_dlt') order by table_name, column_index
    """
    tables: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in connection.execute(query).fetchall():
        tables.setdefault(table, []).append((column, kind))
    return tables


def rows_in(connection: duckdb.DuckDBPyConnection, table: str) -> list[Row]:
    rows: list[Row] = connection.sql(f"select * from {table}").to_arrow_table().to_pylist()
    return rows


TOLERANCE = 1e-12  # of a double, relative; all else must be equal, and of one type


def assert_same(found: list[Row], expected: list[Row]) -> None:
    """The same rows in whatever order; the last digits of doubles may differ, for they depend on that order."""
    assert len(found) == len(expected)
    for row, wanted in zip(sorted(found, key=_exact_part), sorted(expected, key=_exact_part), strict=True):
        assert row.keys() == wanted.keys()
        differing = {name: (row[name], wanted[name]) for name in row if not _is_same(row[name], wanted[name])}
        assert not differing, row


def _exact_part(row: Row) -> str:
    return repr({name: value for name, value in row.items() if not isinstance(value, float)})


def _is_same(value: Any, wanted: Any) -> bool:
    if type(value) is not type(wanted):
        return False
    return math.isclose(value, wanted, rel_tol=TOLERANCE) if isinstance(wanted, float) else bool(value == wanted)
