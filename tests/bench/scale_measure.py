"""Measures what scale.md is worked out from: CPU seconds of whole processes, and of the server that they write to.

An hour on two cores. Everything is gone through several times, and not each run several times in a row: a rented
machine is slower for some minutes, by half where this was written. (Seconds of work that is always the same, measured
before and after each run, foretold nothing of that run: 2026-11.) CPU seconds, not those of the clock, are what the
model is fitted to: other work on the machine moves them less.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from cases import grow
from measure import serving
from scale_beside import depths, table_bytes
from scale_points import GROUPS, POINTS, Group, Point, write
from scale_postgres import Postgres, fresh, grow_server, postgres
from scale_receipts import receipt_bytes, receipts_cost
from scale_run import Run, run

TIMES = 5


def measure_all() -> None:
    """Into scale.json whatever is not in there yet, as it comes; to begin anew, delete the file."""
    told: dict[str, Any] = {"runs": []}
    if POINTS.exists():
        kept = json.loads(POINTS.read_text())
        told |= {**kept["about"], "runs": kept["runs"]}
    told |= {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, dlt {version('dlt')}, duckdb {version('duckdb')}",
    }
    told.setdefault("load_averages", [])
    there = Counter(Point(**run).shape for run in told["runs"] if run["kind"] == "first")
    with tempfile.TemporaryDirectory() as name, postgres(Path(name)) as server:
        if "depths" not in told:
            told["depths"], told["receipt_bytes"] = depths(), receipt_bytes(server)
            told["table_bytes_a_pickup"] = table_bytes()
            told["receipts_cpu_s"] = receipts_cost(server)
        for number, group in product(range(TIMES), GROUPS):
            if there[group.shape] > number:
                continue
            told["runs"] += [point._asdict() for point in _measured(group, server)]
            told["load_averages"].append(round(os.getloadavg()[0], 1))
            write(told)


def _measured(group: Group, server: Postgres) -> Iterator[Point]:
    with (
        serving(group.listed, group.delay_seconds, group.rows_a_page) as address,
        tempfile.TemporaryDirectory() as name,
    ):
        kept = Path(name) / "kept"
        fresh(server, "first", group)
        done = run(kept, f"{address}/first/api/v2", group, server, "first")
        yield _point(group, "first", 0, done, kept, server, "first")
        given = group.accounts * group.listed
        if group.place == "postgres":
            server.execute("vacuum analyze", "first")  # as a server does by itself, now and then
        yield from _second_runs(group, given, kept, address, server)
        for size in group.grown:
            grown = Path(name) / "grown"
            shutil.rmtree(grown, ignore_errors=True)
            shutil.copytree(kept, grown)
            if group.place == "postgres":
                grow_server(server, "first", size - given, group)
            else:
                grow(grown / "warehouse.duckdb", size - given)
            yield from _second_runs(group, size, grown, address, server)


def _second_runs(group: Group, table: int, kept: Path, address: str, server: Postgres) -> Iterator[Point]:
    if "nothing" in group.kinds:
        done = run(kept, f"{address}/first/api/v2", group, server, "first")
        yield _point(group, "nothing", table, done, kept, server, "first")
    if "later" in group.kinds:
        copy = kept.with_name("copy")
        shutil.copytree(kept, copy)
        fresh(server, "later", group, "first")
        done = run(copy, f"{address}/later/api/v2", group, server, "later")
        yield _point(group, "later", table, done, copy, server, "later")
        shutil.rmtree(copy)


def _point(group: Group, kind: str, table: int, done: Run, folder: Path, server: Postgres, database: str) -> Point:
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
        requests=done.total("requests"),
        rows_read=done.total("rows_read"),
        rows_loaded=done.total("rows_new") + done.total("rows_changed"),
        cpu_s=round(done.cpu_s, 3),
        wall_s=round(done.wall_s, 3),
        server_cpu_s=round(done.server_cpu_s, 3),
        peak_mb=round(done.peak_mb),
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
