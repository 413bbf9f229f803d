"""Every view on DuckDB and on Spark, two executors of this machine: seconds of each, and whether they are the same.

`.venv/engines/bin/python tests/bench/spark_views.py --pickups 10000000` prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from pathlib import Path

import duckdb
from cases import grow, serving
from measure import measure

from pipelines.analytics.views import view_files
from pipelines.export.spark import export_with_spark
from pipelines.export.spark_session import spark_session

Seconds = dict[str, float]
TABLES = """
    select table_name from duckdb_tables() where schema_name = 'sendcloud' and not starts_with(table_name, '_dlt')
"""
FIRST = 10_000  # are loaded; the others are made of them


def warehouse_of(pickups: int, folder: Path) -> Path:
    with serving(FIRST) as address:
        measure("ours", folder, f"{address}/first/api/v2")
    warehouse = folder / "warehouse.duckdb"
    if pickups > FIRST:
        grow(warehouse, pickups - FIRST)
    return warehouse


def on_duckdb(warehouse: Path, folder: Path) -> tuple[Seconds, dict[str, list[str]]]:
    """Writes each view as Parquet, and then the tables, for Spark: several files, as a lake has."""
    seconds: Seconds = {}
    files: dict[str, list[str]] = {}
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set enable_progress_bar = false")
        for path in view_files():
            started = time.perf_counter()
            connection.execute(f"copy (from analytics.{path.stem}) to '{folder}/{path.stem}.parquet'")
            seconds[path.stem] = time.perf_counter() - started
        for (table,) in connection.execute(TABLES).fetchall():
            tables = folder / "tables" / table
            tables.mkdir(parents=True)
            connection.execute(
                f"copy (from sendcloud.{table}) to '{tables}' "
                "(format parquet, file_size_bytes '64MB', overwrite_or_ignore)"
            )
            files[table] = sorted(map(str, tables.glob("*.parquet")))
    return seconds, files


def on_spark(files: dict[str, list[str]], folder: Path, master: str, memory: str) -> tuple[float, Seconds]:
    """Of the start, and of each view; the first one's hold the compiling of what all need."""
    os.environ["SPARK_WORKER_DIR"] = str(folder / "work")
    os.environ["PYSPARK_SUBMIT_ARGS"] = (
        f"--conf spark.executor.memory={memory} --conf spark.sql.shuffle.partitions=4 pyspark-shell"
    )
    started = time.perf_counter()
    with spark_session(master):
        began = last = time.perf_counter()
        seconds: Seconds = {}

        def built(view: str) -> None:
            nonlocal last
            seconds[view] = time.perf_counter() - last
            last = time.perf_counter()

        export_with_spark(files, str(folder / "spark"), master, built)
    return began - started, seconds


def differing(folder: Path) -> list[str]:
    """Views of which rows, columns that are exact, or sums of the others differ."""
    with duckdb.connect() as connection:
        return [
            path.stem
            for path in view_files()
            if not _is_same(
                *(
                    _sums(connection, f"{folder}/{place}")
                    for place in (f"{path.stem}.parquet", f"spark/{path.stem}/**/*.parquet")
                )
            )
        ]


def _sums(connection: duckdb.DuckDBPyConnection, files: str) -> tuple[object, list[float]]:
    found = f"read_parquet('{files}', hive_partitioning = false)"
    columns = connection.execute(f"describe from {found}").fetchall()
    exact = ", ".join(f'"{name}"' for name, kind, *_ in columns if kind != "DOUBLE")
    doubles = "".join(f', coalesce(sum("{name}"), 0)' for name, kind, *_ in columns if kind == "DOUBLE")
    (row,) = connection.execute(f"select count(*), sum(hash({exact})) {doubles} from {found}").fetchall()
    return ([column[:2] for column in columns], *row[:2]), list(row[2:])


def _is_same(one: tuple[object, list[float]], other: tuple[object, list[float]]) -> bool:
    return one[0] == other[0] and all(math.isclose(a, b, rel_tol=1e-9) for a, b in zip(one[1], other[1], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pickups", type=int, default=200_000)
    parser.add_argument("--master", default="local-cluster[2,1,900]")
    parser.add_argument("--memory", default="700m", help="of each executor")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ours").mkdir()
        here, files = on_duckdb(warehouse_of(told.pickups, folder / "ours"), folder)
        started, there = on_spark(files, folder, told.master, told.memory)
        wrong = differing(folder)
    print(f"| {told.pickups:,} pickups, seconds | DuckDB | Spark, {told.master} |\n|---|---|---|")
    print(f"| start | | {started:.1f} |")
    for view in here:
        print(f"| {view} | {here[view]:.2f} | {there[view]:.1f} |")
    print(f"| all views | {sum(here.values()):.2f} | {sum(there.values()):.1f} |\n")
    print(f"Different: {', '.join(wrong) or 'none'}")


if __name__ == "__main__":
    main()
