"""The views and checks on a real Spark with two executor processes, compared with DuckDB, and exports from a lake."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from pipelines.analytics.checks import run_checks
from pipelines.analytics.views import query_of, view_files
from pipelines.config.project import project_context
from pipelines.dialects.translate import translate
from pipelines.errors import ViewsNotExported
from pipelines.export.parquet import export_views
from pipelines.export.spark import SparkSession, export_with_spark, flatten_names
from pipelines.export.spark_session import spark_session
from pipelines.warehouse import read_rows
from sources.sendcloud.errors import SettingsError
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.by_hand import fill, pickup, readable
from tests.support.cases import quick
from tests.support.engines import Row, assert_same, eventful, rows_in, tables_of
from tests.support.installation import Installation
from tests.support.unlikely_rows import unlikely

pytest.importorskip("pyspark", reason="pyspark is not installed; make test-engines installs it")

pytestmark = pytest.mark.engines
JAVA = shutil.which("java")
VERSION = subprocess.run([JAVA, "-version"], capture_output=True, text=True, check=True).stderr if JAVA else ""
if int((re.findall(r'version "(\d+)', VERSION) or ["0"])[0]) < 17:
    pytest.skip("Spark needs Java 17 or newer, which is not installed", allow_module_level=True)

MASTER = "local-cluster[2,1,700]"
Export = tuple[duckdb.DuckDBPyConnection, Path, dict[str, list[str]]]


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Yields the only Spark session of this file.

    It doesn't compile queries, because on a machine with two cores that would take longer than their execution.
    """
    work = tmp_path_factory.mktemp("spark")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SPARK_WORKER_DIR", str(work))
        small = {
            "sql.shuffle.partitions": 2,
            "sql.codegen.wholeStage": "false",
            "default.parallelism": 2,
            "executor.memory": "512m",
        }
        settings = " ".join(f"--conf spark.{name}={value}" for name, value in small.items())
        interpreted = "--conf spark.sql.codegen.factoryMode=NO_CODEGEN"
        warehouse = f"--conf spark.sql.warehouse.dir={work}"
        patched.setenv("PYSPARK_SUBMIT_ARGS", f"{settings} {interpreted} {warehouse} pyspark-shell")
        with spark_session(MASTER) as started:
            yield started


def files_of(connection: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, list[str]]:
    """Writes our tables to Parquet files and returns their paths by table."""
    folder.mkdir()
    for table in tables_of(connection):
        connection.execute(f"copy (select * from sendcloud.{table}) to '{folder}/{table}.parquet'")
    return {table: [f"{folder}/{table}.parquet"] for table in tables_of(connection)}


@pytest.fixture(scope="module", params=quick(["eventful", "unlikely"]))
def export(
    request: pytest.FixtureRequest,
    spark: Any,  # noqa: ARG001  # the export uses the running session
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Export]:
    """Yields tables in DuckDB, the folder of the views that Spark exported from these tables, and the tables' files."""
    folder = tmp_path_factory.mktemp("built")
    with unlikely(seed=3) if request.param == "unlikely" else eventful(folder / "project") as connection:
        files = files_of(connection, folder / "tables")
        export_with_spark(files, str(folder / "views"), MASTER)
        yield connection, folder / "views", files


ASKED = ("pickups", "carrier_windows")  # Spark takes minutes to analyse the views of rates


@pytest.fixture
def spark_with(spark: Any, tmp_path: Path) -> Callable[..., SparkSession]:
    """Returns a function that gives Spark these pickups and the receipt of a run that observed them."""

    def filled(*pickups: Row) -> SparkSession:
        connection = SparkSession(spark.newSession())
        for name in ("spark.sql.session.timeZone",):
            connection.spark.conf.set(name, "UTC")
        with fill(duckdb.connect(), pickups) as tables:
            connection.show_tables(files_of(tables, tmp_path / "tables"))
        for path in view_files():
            if path.stem in ASKED:
                connection.show(f"analytics.{path.stem}", connection.query(translate(query_of(path), "spark")))
        return connection

    return filled


def rows_of(connection: SparkSession, query: str) -> list[tuple[Any, ...]]:
    """Returns the rows of the query, with dates and times as texts."""
    return [tuple(map(readable, row)) for row in connection.execute(query).fetchall()]


# comparison with DuckDB


@pytest.mark.parametrize("view", [path.stem for path in view_files()])
def test_view_has_the_same_rows_and_column_types_as_in_duckdb(export: Export, view: str) -> None:
    connection, folder, _ = export
    found = pq.read_table(folder / view, partitioning=None)
    assert_same(found.to_pylist(), rows_in(connection, f"analytics.{view}"))
    expected = connection.sql(f"select * from analytics.{view}").to_arrow_table().schema
    assert [(field.name, field.type) for field in found.schema] == [(field.name, field.type) for field in expected]


def test_checks_report_the_same_rows_as_in_duckdb(export: Export, spark: Any) -> None:
    connection, folder, files = export
    there = SparkSession(spark)
    there.show_tables(files)
    for path in view_files():
        there.show(f"analytics.{path.stem}", spark.read.parquet(str(folder / path.stem)))
    assert run_checks(there, "spark") == run_checks(connection)


def test_spark_has_two_executors_in_separate_processes(spark: Any) -> None:
    assert spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() == 3  # two executors and the driver


# expected values worked out by hand


def test_sunday_is_weekday_7_and_percentiles_are_interpolated_between_two_pickups(
    spark_with: Callable[..., SparkSession],
) -> None:
    """On Saturday 7 March at 23:30 UTC, it is Sunday 00:30 in Amsterdam, and still Saturday in London.

    The windows last 1, 2, 4 and 8 hours. The median is halfway from 2 to 4, p10 is three tenths of the way from 1 to 2,
    and p90 seven tenths from 4 to 8.
    """
    night = {"pickup_from": "2026-03-07 23:30Z", "created_at": "2026-03-01 23:30Z"}
    there = spark_with(
        pickup(country="NL", **night, pickup_until="2026-03-08 00:30Z"),
        pickup(country="GB", **night, pickup_until="2026-03-08 01:30Z"),
        pickup(pickup_until="2026-03-10 13:00Z"),
        pickup(pickup_until="2026-03-10 17:00Z"),
    )

    columns = "country, window_opens_isodow_local, window_opens_hour_local, booked_week_local_start, window_opens_local"
    where = "created_at_utc < timestamp '2026-03-02 00:00:00'"
    assert rows_of(there, f"select {columns} from analytics.pickups where {where} order by country") == [
        ("GB", 6, 23, "2026-02-23", "2026-03-07 23:30:00"),
        ("NL", 7, 0, "2026-03-02", "2026-03-08 00:30:00"),
    ]
    columns = "median_window_hours, p10_window_hours, p90_window_hours"
    (row,) = rows_of(there, f"select {columns} from analytics.carrier_windows where is_every_account")
    assert row == pytest.approx((3.0, 1.3, 6.8), rel=1e-12)


def test_arg_max_skips_nulls_arg_max_null_keeps_them_and_a_series_may_be_empty(
    spark_with: Callable[..., SparkSession],
) -> None:
    there = spark_with(
        pickup(country="NL", created_at="2026-03-01 00:00Z"), pickup(country=None, created_at="2026-03-02 00:00Z")
    )

    last = "select arg_max(country, created_at), arg_max_null(country, created_at) from sendcloud.pickups"
    assert rows_of(there, last) == [("NL", None)]
    assert rows_of(there, "select unnest(generate_series(0, -1)) as place from sendcloud.pickups") == []
    assert rows_of(there, "select count(*) from generate_series(1, 3) as numbers(n)") == [(3,)]


def test_table_names_in_a_string_literal_are_not_flattened() -> None:
    assert (
        flatten_names(r"select 'it\'s sendcloud.x' from sendcloud.x") == r"select 'it\'s sendcloud.x' from sendcloud__x"
    )


# export


def test_export_leaves_only_the_views_and_the_manifest(export: Export) -> None:
    _, folder, _ = export
    views = {path.stem for path in view_files()}
    assert {path.name for path in folder.iterdir() if path.suffix != ".crc"} == views | {"_built.json"}


def test_exported_pickups_are_partitioned_by_month_of_booking(export: Export) -> None:
    connection, folder, _ = export
    files = f"read_parquet('{folder}/pickups/*/*.parquet', hive_partitioning = true, hive_types = {{'month': varchar}})"
    months = connection.execute(f"select distinct month, strftime(created_at_utc, '%Y-%m') from {files}").fetchall()

    assert len(months) > 1
    assert all(label == booked for label, booked in months)


@pytest.mark.usefixtures("spark")
def test_exported_views_of_a_lake_are_read_unchanged_until_the_next_export(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE__DESTINATION", "delta")
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", str(tmp_path / "lake"))
    for _ in range(5):
        world.book()
    world.put({"id": "x", "carrier": "dpd"})
    installation.run(api)
    with project_context(installation.folder):
        computed = {path.stem: read_rows(path.stem) for path in view_files()}
        monkeypatch.setenv("PUBLISH__VIEWS", "built")
        with pytest.raises(ViewsNotExported, match="Build the views first: pickups models"):
            read_rows("pickups")

        for engine in ("duckdb", "spark"):
            folder, rows = export_views(engine, None, MASTER)
            assert folder == str(tmp_path / "lake" / "analytics")
            assert rows == {view: len(found) for view, found in computed.items()}
            for view, found in computed.items():
                assert_same(read_rows(view), found)
            built = json.loads((Path(folder) / "_built.json").read_text())
            assert (built["engine"], built["rows"]) == (engine, rows)

    world.book()
    installation.run(api)
    with project_context(installation.folder):
        assert len(read_rows("pickups")) == 5
        monkeypatch.setenv("PUBLISH__VIEWS", "computed")
        assert len(read_rows("pickups")) == 6


@pytest.mark.slow
def test_models_command_starts_its_own_spark_and_reports_the_exported_views(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pickup is cancelled, so `rebookings` is empty and its export has no month."""
    monkeypatch.setenv("PIPELINE__DESTINATION", "delta")
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", str(tmp_path / "lake"))
    small = "--conf spark.sql.shuffle.partitions=1 --conf spark.sql.codegen.factoryMode=NO_CODEGEN"
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", f"{small} --conf spark.sql.codegen.wholeStage=false pyspark-shell")
    for _ in range(3):
        world.book(pickup_status="Created")
    installation.run(api)

    done = installation.process("models", "--engine", "spark", "--master", "local[1]", "--json")
    shown = installation.process("show", "carriers", "--json", PUBLISH__VIEWS="built")

    assert (done.returncode, shown.returncode) == (0, 0), done.stderr + shown.stderr
    reported = json.loads(done.stdout)
    assert reported["folder"] == str(tmp_path / "lake" / "analytics")
    assert (reported["rows"]["pickups"], reported["rows"]["rebookings"], reported["rows"]["runs"]) == (3, 0, 1)
    assert done.stderr.splitlines() == [f"built {path.stem}" for path in view_files()]
    of_all = [row for row in json.loads(shown.stdout) if row["country"] == "all" and row["is_every_account"]]
    assert sum(row["pickups"] for row in of_all) == 3
    with project_context(installation.folder), monkeypatch.context() as built:
        built.setenv("PUBLISH__VIEWS", "built")
        assert read_rows("rebookings") == []


# error messages

START_SPARK = """
import sys
from pipelines.export.spark_session import spark_session
try:
    with spark_session(sys.argv[1]):
        pass
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("master", "changes", "message"),
    [
        (
            "nonsense",
            {},
            "DestinationError The destination failed: Spark at nonsense: org.apache.spark.SparkException",
        ),
        ("local[1]", {"PATH": "/bin", "JAVA_HOME": "/nowhere"}, "SettingsError Spark needs Java 17 or newer"),
    ],
)
def test_failed_start_of_spark_is_reported_in_one_line(master: str, changes: dict[str, str], message: str) -> None:
    command = [sys.executable, "-c", START_SPARK, master]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | changes)
    assert (done.stdout.startswith(message), done.stdout.count("\n"), done.stderr) == (True, 1, "")


def test_without_pyspark_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with (
        pytest.raises(SettingsError, match="with the extra spark: see docs/how-to/install"),
        spark_session("local[1]"),
    ):
        pass
