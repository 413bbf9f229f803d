"""The views and checks on a real Spark, of two executors in processes of their own: the same rows as in DuckDB, and
what is built from a lake.
"""

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

from pipelines import models
from pipelines.built import build
from pipelines.errors import NotBuilt, NotConfigured
from pipelines.on_spark import OnSpark, build_on_spark, in_place
from pipelines.project import inside
from pipelines.spark_session import session
from pipelines.warehouse import read_rows
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.by_hand import fill, pickup, readable
from tests.support.cases import quick
from tests.support.engines import Row, assert_same, eventful, rows_in, tables_of
from tests.support.installation import Installation
from tests.support.unlikely_rows import unlikely

pytest.importorskip("pyspark", reason="the extra `spark` is not installed: make test-engines does that")

pytestmark = pytest.mark.engines
JAVA = shutil.which("java")
VERSION = subprocess.run([JAVA, "-version"], capture_output=True, text=True, check=True).stderr if JAVA else ""
if int((re.findall(r'version "(\d+)', VERSION) or ["0"])[0]) < 17:
    pytest.skip("no Java 17 here, which Spark needs", allow_module_level=True)

MASTER = "local-cluster[2,1,700]"
Both = tuple[duckdb.DuckDBPyConnection, Path, dict[str, list[str]]]


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The file's one session, in small: a machine with two cores waits longer for Java to compile than for the rows."""
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
        with session(MASTER) as started:
            yield started


def files_of(connection: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, list[str]]:
    """Our tables as Parquet files."""
    folder.mkdir()
    for table in tables_of(connection):
        connection.execute(f"copy (select * from sendcloud.{table}) to '{folder}/{table}.parquet'")
    return {table: [f"{folder}/{table}.parquet"] for table in tables_of(connection)}


@pytest.fixture(scope="module", params=quick(["eventful", "unlikely"]))
def built(
    request: pytest.FixtureRequest,
    spark: Any,  # noqa: ARG001  # the session that is running, which is gone on with
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Both]:
    """The same tables in DuckDB and as files, and the views that Spark made of these."""
    folder = tmp_path_factory.mktemp("built")
    with unlikely(seed=3) if request.param == "unlikely" else eventful(folder / "project") as connection:
        files = files_of(connection, folder / "tables")
        build_on_spark(files, str(folder / "views"), MASTER)
        yield connection, folder / "views", files


@pytest.fixture
def by_hand(spark: Any, tmp_path: Path) -> Callable[..., OnSpark]:
    """A function that gives Spark these pickups, and a run that has seen them."""

    def filled(*pickups: Row) -> OnSpark:
        connection = OnSpark(spark.newSession())
        for name in ("spark.sql.session.timeZone",):
            connection.spark.conf.set(name, "UTC")
        with fill(duckdb.connect(), pickups) as tables:
            connection.show_tables(files_of(tables, tmp_path / "tables"))
        connection.show_views()
        return connection

    return filled


def answer(connection: OnSpark, query: str) -> list[tuple[Any, ...]]:
    return [tuple(map(readable, row)) for row in connection.execute(query).fetchall()]


# the same in both


@pytest.mark.parametrize("view", [path.stem for path in models.views()])
def test_a_view_has_the_same_rows_and_columns_of_the_same_types(built: Both, view: str) -> None:
    connection, folder, _ = built
    found = pq.read_table(folder / view, partitioning=None)
    assert_same(found.to_pylist(), rows_in(connection, f"analytics.{view}"))
    expected = connection.sql(f"select * from analytics.{view}").to_arrow_table().schema
    assert [(field.name, field.type) for field in found.schema] == [(field.name, field.type) for field in expected]


def test_the_checks_find_the_same(built: Both, spark: Any) -> None:
    connection, folder, files = built
    there = OnSpark(spark)
    there.show_tables(files)
    for path in models.views():
        there.show(f"analytics.{path.stem}", spark.read.parquet(str(folder / path.stem)))
    assert models.check(there, "spark") == models.check(connection)


def test_spark_has_two_executors_in_processes_of_their_own(spark: Any) -> None:
    assert spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() == 3  # and the driver


# worked out by hand


def test_a_sunday_is_the_seventh_day_and_medians_and_tenths_lie_between_two_pickups(
    by_hand: Callable[..., OnSpark],
) -> None:
    """23:30 UTC on Saturday 7 March is half past midnight on Sunday in Amsterdam, and Saturday in London. Of windows of
    1, 2, 4 and 8 hours: halfway from 2 to 4; three tenths from 1 to 2; seven tenths from 4 to 8.
    """
    night = {"pickup_from": "2026-03-07 23:30Z", "created_at": "2026-03-01 23:30Z"}
    there = by_hand(
        pickup(country="NL", **night, pickup_until="2026-03-08 00:30Z"),
        pickup(country="GB", **night, pickup_until="2026-03-08 01:30Z"),
        pickup(pickup_until="2026-03-10 13:00Z"),
        pickup(pickup_until="2026-03-10 17:00Z"),
    )

    columns = "country, window_opens_isodow_local, window_opens_hour_local, booked_week_local_start, window_opens_local"
    where = "created_at_utc < timestamp '2026-03-02 00:00:00'"
    assert answer(there, f"select {columns} from analytics.pickups where {where} order by country") == [
        ("GB", 6, 23, "2026-02-23", "2026-03-07 23:30:00"),
        ("NL", 7, 0, "2026-03-02", "2026-03-08 00:30:00"),
    ]
    columns = "median_window_hours, p10_window_hours, p90_window_hours"
    (row,) = answer(there, f"select {columns} from analytics.carrier_windows")
    assert row == pytest.approx((3.0, 1.3, 6.8), rel=1e-12)


def test_the_last_that_there_is_and_the_last_even_if_it_is_null_and_a_series_of_none(
    by_hand: Callable[..., OnSpark],
) -> None:
    there = by_hand(
        pickup(country="NL", created_at="2026-03-01 00:00Z"), pickup(country=None, created_at="2026-03-02 00:00Z")
    )

    last = "select arg_max(country, created_at), arg_max_null(country, created_at) from sendcloud.pickups"
    assert answer(there, last) == [("NL", None)]
    assert answer(there, "select unnest(generate_series(0, -1)) as place from sendcloud.pickups") == []
    assert answer(there, "select count(*) from generate_series(1, 3) as numbers(n)") == [(3,)]


def test_names_in_a_text_stay_as_they_are() -> None:
    assert in_place(r"select 'it\'s sendcloud.x' from sendcloud.x") == r"select 'it\'s sendcloud.x' from sendcloud__x"


# building


def test_building_again_leaves_one_state_and_nothing_beside_it(built: Both) -> None:
    _, folder, _ = built
    views = {path.stem for path in models.views()}
    assert {path.name for path in folder.iterdir() if path.suffix != ".crc"} == views | {"_built.json"}


def test_pickups_are_in_a_folder_for_each_month_of_their_booking(built: Both) -> None:
    connection, folder, _ = built
    files = f"read_parquet('{folder}/pickups/*/*.parquet', hive_partitioning = true, hive_types = {{'month': varchar}})"
    months = connection.execute(f"select distinct month, strftime(created_at_utc, '%Y-%m') from {files}").fetchall()

    assert len(months) > 1
    assert all(label == booked for label, booked in months)


@pytest.mark.usefixtures("spark")
def test_a_lake_is_built_by_spark_and_read_as_it_was_built(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE__DESTINATION", "filesystem")
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", str(tmp_path / "lake"))
    for _ in range(5):
        world.book()
    world.put({"id": "x", "carrier": "dpd"})
    installation.run(api)
    with inside(installation.folder):
        computed = {path.stem: read_rows(path.stem) for path in models.views()}
        monkeypatch.setenv("PUBLISH__VIEWS", "built")
        with pytest.raises(NotBuilt, match="Build them first: pickups models"):
            read_rows("pickups")

        for engine in ("duckdb", "spark"):
            folder, rows = build(engine, None, MASTER)
            assert folder == str(tmp_path / "lake" / "analytics")
            assert rows == {view: len(found) for view, found in computed.items()}
            for view, found in computed.items():
                assert_same(read_rows(view), found)
            built = json.loads((Path(folder) / "_built.json").read_text())
            assert (built["engine"], built["rows"]) == (engine, rows)

    world.book()
    installation.run(api)
    with inside(installation.folder):
        assert len(read_rows("pickups")) == 5
        monkeypatch.setenv("PUBLISH__VIEWS", "computed")
        assert len(read_rows("pickups")) == 6


@pytest.mark.slow
def test_the_command_starts_a_spark_of_its_own_and_tells_what_it_built(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing cancelled, so that there is no rebooking to look for, and so no month of one."""
    monkeypatch.setenv("PIPELINE__DESTINATION", "filesystem")
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", str(tmp_path / "lake"))
    small = "--conf spark.sql.shuffle.partitions=1 --conf spark.sql.codegen.factoryMode=NO_CODEGEN"
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", f"{small} --conf spark.sql.codegen.wholeStage=false pyspark-shell")
    for _ in range(3):
        world.book(pickup_status="Created")
    installation.run(api)

    done = installation.process("models", "--engine", "spark", "--master", "local[1]", "--json")
    shown = installation.process("show", "carriers", "--json", PUBLISH__VIEWS="built")

    assert (done.returncode, shown.returncode) == (0, 0), done.stderr + shown.stderr
    told = json.loads(done.stdout)
    assert told["folder"] == str(tmp_path / "lake" / "analytics")
    assert (told["rows"]["pickups"], told["rows"]["rebookings"], told["rows"]["runs"]) == (3, 0, 1)
    assert done.stderr.splitlines() == [f"built {path.stem}" for path in models.views()]
    assert sum(row["pickups"] for row in json.loads(shown.stdout) if row["country"] == "all") == 3
    with inside(installation.folder), monkeypatch.context() as built:
        built.setenv("PUBLISH__VIEWS", "built")
        assert read_rows("rebookings") == []


# what a person is told

BEGIN = """
import sys
from pipelines.spark_session import session
try:
    with session(sys.argv[1]):
        pass
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("master", "changes", "told"),
    [
        (
            "nonsense",
            {},
            "DestinationFailed The destination failed: Spark at nonsense: org.apache.spark.SparkException",
        ),
        ("local[1]", {"PATH": "/bin", "JAVA_HOME": "/nowhere"}, "NotConfigured Spark needs Java 17 or newer"),
    ],
)
def test_a_spark_that_does_not_start_is_one_line(master: str, changes: dict[str, str], told: str) -> None:
    command = [sys.executable, "-c", BEGIN, master]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | changes)
    assert (done.stdout.startswith(told), done.stdout.count("\n"), done.stderr) == (True, 1, "")


def test_without_pyspark_one_is_told_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(NotConfigured, match=r"pip install 'sendcloud-pickups\[spark\]'"), session("local[1]"):
        pass
