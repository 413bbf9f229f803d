"""Measured beside the runs: bytes of each table, and how far back a run reads."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from measure import serving
from scale_points import Group
from scale_postgres import Postgres
from scale_run import run

from tests.support.worlds import NOW

DAYS = 180
WORLDS = (2_000, 20_000, 100_000)


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
