"""Measures what scale.md is worked out from: CPU seconds of whole processes, and of the server that they write to.

Half an hour on two cores. CPU seconds, not those of the clock, are what the model is fitted to: other work on the
machine moves them less.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from cases import grow
from measure import serving
from scale_beside import depths, table_bytes
from scale_points import GROUPS, POINTS, Group, Point
from scale_postgres import Postgres, fresh, grow_server, postgres
from scale_receipts import receipt_bytes, receipts_cost
from scale_run import Run, run


def measure_all() -> None:
    """Into scale.json whatever is not in there yet, as it comes; to begin anew, delete the file."""
    told: dict[str, Any] = json.loads(POINTS.read_text()) if POINTS.exists() else {"points": []}
    told |= {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, dlt {version('dlt')}, duckdb {version('duckdb')}",
    }
    told.setdefault("load_averages", [])
    there = {Point(**point).shape for point in told["points"]}
    with tempfile.TemporaryDirectory() as name, postgres(Path(name)) as server:
        if "depths" not in told:
            told["depths"], told["receipt_bytes"] = depths(), receipt_bytes(server)
            told["table_bytes_a_pickup"] = table_bytes()
            told["receipts_cpu_s"] = receipts_cost(server)
        for group in GROUPS:
            if group.shape in there:
                continue
            told["points"] += [point._asdict() for point in _measured(group, server)]
            told["load_averages"].append(round(os.getloadavg()[0], 1))
            POINTS.write_text(json.dumps(told, indent=1) + "\n")


def _measured(group: Group, server: Postgres) -> Iterator[Point]:
    with (
        serving(group.listed, group.delay_seconds, group.rows_a_page) as address,
        tempfile.TemporaryDirectory() as name,
    ):
        kept = Path(name) / "kept"
        runs = []
        for number in range(group.rounds):
            shutil.rmtree(kept, ignore_errors=True)
            database = f"first_{number}"
            fresh(server, database, group)
            runs.append(run(kept, f"{address}/first/api/v2", group, server, database))
        yield _point(group, "first", 0, runs, kept, server, database)
        given = group.accounts * group.listed
        if group.place == "postgres":
            server.execute("vacuum analyze", database)  # as a server does by itself, now and then
        yield from _second_runs(group, given, kept, address, server, database)
        for size in group.grown:
            grown = Path(name) / "grown"
            shutil.rmtree(grown, ignore_errors=True)
            shutil.copytree(kept, grown)
            if group.place == "postgres":
                grow_server(server, database, size - given, group)
            else:
                grow(grown / "warehouse.duckdb", size - given)
            yield from _second_runs(group, size, grown, address, server, database)


def _second_runs(
    group: Group, table: int, kept: Path, address: str, server: Postgres, database: str
) -> Iterator[Point]:
    if "nothing" in group.kinds:
        runs = [run(kept, f"{address}/first/api/v2", group, server, database) for _ in range(group.rounds)]
        yield _point(group, "nothing", table, runs, kept, server, database)
    if "later" in group.kinds:
        runs = []
        for number in range(group.rounds):
            copy = kept.with_name("copy")
            shutil.copytree(kept, copy)
            fresh(server, f"later_{number}", group, database)
            runs.append(run(copy, f"{address}/later/api/v2", group, server, f"later_{number}"))
            shutil.rmtree(copy)
        yield _point(group, "later", table, runs, kept, server, database)


def _point(
    group: Group, kind: str, table: int, runs: list[Run], folder: Path, server: Postgres, database: str
) -> Point:
    middle = runs[0]
    point = Point(
        place=group.place,
        kind=kind,
        accounts=group.accounts,
        listed=group.listed,
        table=table,
        rows_a_page=group.rows_a_page,
        per_minute=group.per_minute,
        delay_seconds=group.delay_seconds,
        is_fitted=group.is_fitted,
        requests=middle.total("requests"),
        rows_read=middle.total("rows_read"),
        rows_loaded=middle.total("rows_new") + middle.total("rows_changed"),
        cpu_s=round(median(run.cpu_s for run in runs), 3),
        wall_s=round(median(run.wall_s for run in runs), 3),
        server_cpu_s=round(median(run.server_cpu_s for run in runs), 3),
        peak_mb=round(max(run.peak_mb for run in runs)),
        load_average=round(os.getloadavg()[0], 1),
        stored_bytes=_stored(group, folder, server, database),
    )
    print(f"{point.place}: {point.name}: {point.cpu_s:.2f} s CPU, {point.wall_s:.2f} s", file=sys.stderr, flush=True)
    return point


def _stored(group: Group, folder: Path, server: Postgres, database: str) -> int:
    if group.place == "postgres":
        ((size,),) = server.execute(f"select pg_database_size('{database}')")
        ((empty,),) = server.execute("select pg_database_size('template1')")
        return int(size - empty)
    return (folder / "warehouse.duckdb").stat().st_size
