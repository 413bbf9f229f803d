"""Measured beside the runs: what receipts take that are kept, in bytes and in each run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

import duckdb
from measure import serving
from scale_points import Group
from scale_postgres import Postgres, fresh
from scale_run import run

COPIES = 100_000
A_YEAR = 365 * 96
# another run's receipt: its own id and clocks; the counts of a run that found nothing are alike
_COPY = """
    insert into sendcloud.pickup_runs {by_name}
    select receipt.* {replaced}
    from (select * from sendcloud.pickup_runs order by started_at desc limit 1) as receipt, {numbers} as numbers(n)
"""


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


def receipts_cost(server: Postgres) -> dict[str, dict[str, float]]:
    """CPU seconds, process and server, of a run over one small account, and of one with a year of receipts."""
    found = {}
    for place in ("duckdb", "postgres"):
        group = Group(1_000, place=place)
        with serving(group.listed) as address, tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            fresh(server, "a_year", group)
            run(folder, f"{address}/first/api/v2", group, server, "a_year")
            before = _median_of_runs(folder, address, group, server)
            for schema in ("sendcloud",) if place == "duckdb" else ("sendcloud_of_a0", "sendcloud"):
                _a_year_of_receipts(folder, server, place, schema)
            found[place] = {"few": before, "a_year": _median_of_runs(folder, address, group, server)}
    return found


def _median_of_runs(folder: Path, address: str, group: Group, server: Postgres) -> float:
    runs = [run(folder, f"{address}/first/api/v2", group, server, "a_year") for _ in range(5)]
    return round(median(one.cpu_s + one.server_cpu_s for one in runs), 3)


def _a_year_of_receipts(folder: Path, server: Postgres, place: str, schema: str) -> None:
    """Every quarter of an hour one, before the first that there is."""
    if place == "duckdb":
        replaced = (
            "replace (run_id || n as run_id, started_at - to_minutes(15 * n) as started_at, "
            "finished_at - to_minutes(15 * n) as finished_at, observed_at - to_minutes(15 * n) as observed_at)"
        )
        with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
            connection.execute(_COPY.format(by_name="by name", replaced=replaced, numbers=f"range(1, {A_YEAR})"))
        return
    columns = server.execute(
        f"select column_name from information_schema.columns where table_schema = '{schema}' "
        "and table_name = 'pickup_runs' order by ordinal_position",
        "a_year",
    )
    earlier = {name: f"{name} - make_interval(mins => 15 * n)" for name in ("started_at", "finished_at", "observed_at")}
    earlier |= {"run_id": "run_id || n"}
    values = ", ".join(earlier.get(name, f'"{name}"') for (name,) in columns)
    server.execute(
        f"insert into {schema}.pickup_runs select {values} "
        f"from (select * from {schema}.pickup_runs order by started_at desc limit 1) as receipt, "
        f"generate_series(1, {A_YEAR}) as numbers(n)",
        "a_year",
    )
    server.execute("vacuum analyze", "a_year")
