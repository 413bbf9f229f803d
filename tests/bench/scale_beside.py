"""Measured beside the runs: bytes of each table and of a receipt, and how far back a run reads."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from measure import serving
from scale_points import Group
from scale_postgres import Postgres
from scale_run import run

COPIES = 100_000
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAYS = 180
WORLDS = (2_000, 20_000, 100_000)
# another run's receipt: its own id and clocks; the counts of a run that found nothing are alike
_COPY = """
    insert into sendcloud.pickup_runs {by_name}
    select receipt.* {replaced}
    from (select * from sendcloud.pickup_runs order by started_at desc limit 1) as receipt, {numbers} as numbers(n)
"""


def table_bytes() -> dict[str, float]:
    """Bytes a pickup of each of the larger tables, after a first load of a million: each in a file of its own."""
    group = Group(1_000_000)
    with serving(group.listed) as address, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(folder, f"{address}/first/api/v2", group, Postgres(folder))
        return {
            table: round(_size_of(folder, table) / group.listed, 1) for table in ("pickups", "pickup_status_history")
        }


def _size_of(folder: Path, table: str) -> int:
    alone = folder / f"{table}.duckdb"
    with duckdb.connect(str(alone)) as connection:
        connection.execute(f"attach '{folder / 'warehouse.duckdb'}' as whole (read_only)")
        connection.execute(f"create table {table} as select * from whole.sendcloud.{table}")
    return alone.stat().st_size


def receipt_bytes(server: Postgres) -> dict[str, float]:
    """What one more run that found nothing leaves in the table of receipts."""
    group = Group(1_000)
    with serving(group.listed) as address, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(folder, f"{address}/first/api/v2", group, server)
        warehouse = folder / "warehouse.duckdb"
        before = warehouse.stat().st_size
        with duckdb.connect(str(warehouse)) as connection:
            replaced = "replace (md5(run_id || n) as run_id, started_at + to_minutes(15 * n) as started_at, "
            replaced += (
                "finished_at + to_minutes(15 * n) as finished_at, observed_at + to_minutes(15 * n) as observed_at, "
            )
            replaced += "random() as seconds_read, random() / 10 as seconds_published)"
            connection.execute(_COPY.format(by_name="by name", replaced=replaced, numbers=f"range({COPIES})"))
        return {
            "duckdb": round((warehouse.stat().st_size - before) / COPIES, 1),
            "postgres": round(_in_postgres(server, folder / "pg", address), 1),
        }


def _in_postgres(server: Postgres, folder: Path, address: str) -> float:
    """In the account's own schema, and once more for people."""
    server.execute("drop database if exists receipts")
    server.execute("create database receipts")
    run(folder, f"{address}/first/api/v2", Group(1_000, place="postgres"), server, "receipts")
    size = "select pg_total_relation_size('sendcloud.pickup_runs')"
    ((before,),) = server.execute(size, "receipts")
    server.execute(_COPY.format(by_name="", replaced="", numbers=f"generate_series(1, {COPIES})"), "receipts")
    ((after,),) = server.execute(size, "receipts")
    return float(2 * (after - before) / COPIES)


def depths() -> list[dict[str, Any]]:
    """How many days of bookings a run reads again: the sandbox's accounts, whose lead times differ by carrier."""
    from sources.sendcloud.sandbox import World, serve

    found = []
    for pickups in WORLDS:
        world = World.seeded(pickups, seed=3, until=NOW, days=DAYS)
        with serve(world) as api, tempfile.TemporaryDirectory() as name:
            folder, group, keys = Path(name), Group(pickups), (api.public_key, api.secret_key)
            run(folder, api.base_url, group, Postgres(folder), keys=keys)
            (receipt,) = run(folder, api.base_url, group, Postgres(folder), keys=keys).receipts
            reached = datetime.fromisoformat(receipt["watermark"]) - datetime.fromisoformat(receipt["frontier"])
            found.append(
                {
                    "pickups": pickups,
                    "bookings_a_day": round(pickups / DAYS, 1),
                    "requests": receipt["requests"],
                    "rows_read": receipt["rows_read"],
                    "open_pickups": receipt["open_pickups"],
                    "stored_bytes": (folder / "warehouse.duckdb").stat().st_size,
                    "days": round(reached / timedelta(days=1), 2),
                }
            )
    return found
