"""Creates tables for several SQL engines, and compares the engines' results."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sources.sendcloud.sandbox import World, faults
from tests.support.accounts import configure, serving
from tests.support.installation import Installation
from tests.support.worlds import NOW

Row = dict[str, Any]
# the clocks change shortly after both times
SPRING, AUTUMN = datetime(2026, 3, 28, 23, 30, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
SLOTS: list[list[Row]] = [
    [
        {"start_at": "2026-11-23T08:00:00Z", "end_at": "2026-11-23T11:00:00.5Z"},
        # RFC 3339 allows a lowercase t
        {"start_at": "2026-11-23t15:00:00+02:00", "end_at": "2026-11-23t17:15:00+02:00"},
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
    """Yields a warehouse with three accounts after four runs. One account uses v3.

    The rows cover every case that the views and checks distinguish.
    """
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
        for _ in range(30):
            worlds["north"].put({"carrier": "dpd"})
        apis["east"].fault(faults.refusal(401), times=None)
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
    world.book(**{**booked, "contract": 57.10}, depot=1.10, far=int("9" * 30))
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


def tables_of(connection: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[str, str]]]:
    """Returns the columns of each of the product's tables, with their DuckDB types."""
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


TOLERANCE = 1e-12  # relative, for doubles; all other values must be equal and of the same type


def assert_same(found: list[Row], expected: list[Row]) -> None:
    """Fails if the rows differ. Row order does not matter.

    The last digits of doubles may differ, because they depend on the row order.
    """
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
