"""Computes the views from Parquet files with Spark, for tables that are too large for one machine.

The results are also Parquet files. The views are translated from the SQL that DuckDB runs. Tables and views are
temporary views in one Spark session, so other sessions don't see them. The machine that runs this module needs Java 17
and the cluster's version of pyspark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import pyarrow as pa

from pipelines.analytics.views import query_of, view_files
from pipelines.bookkeeping.receipts import receipt_schema
from pipelines.destinations.migrations import RENAMED_COLUMNS
from pipelines.dialects.translate import translate
from pipelines.export.manifest import MANIFEST, MONTH_COLUMNS, check_folder, manifest_text
from pipelines.export.spark_session import spark_errors, spark_session
from sources.sendcloud.records.tables import INSTANT, QUARANTINE_SCHEMA, ROW_SCHEMA

DIALECT = "spark"
OWN_SCHEMAS = re.compile(r"('(?:[^'\\]|\\.)*')|\b(sendcloud|analytics)\.(\w+)")  # string literals stay unchanged

SPARK_TYPES = {
    pa.string(): "string",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    INSTANT: "timestamp",
}


def _ddl(schema: pa.Schema) -> str:
    return ", ".join(f"`{field.name}` {SPARK_TYPES[field.type]}" for field in schema)


# These are the columns that views and checks read. Missing columns are added to tables that have no files yet, or only
# files from older versions.
TABLE_COLUMNS = {
    "pickups": f"{_ddl(ROW_SCHEMA)}, _dlt_load_id string",
    "pickup_runs": _ddl(receipt_schema()),
    "pickups_quarantine": _ddl(QUARANTINE_SCHEMA),
    "pickups_quarantine_resolved": "account string, record_hash string, resolved_at timestamp",
    "pickups_unlisted": "account string, id bigint, unlisted_since timestamp",
    "pickup_status_history": (
        "account string, id bigint, pickup_status string, cancelled_at timestamp, pickup_from timestamp, "
        "pickup_until timestamp, observed_at timestamp, _dlt_load_id string, is_first boolean"
    ),
}
_QUARANTINE = """
    select refused.*, resolved.resolved_at
    from sendcloud.pickups_quarantine_refused as refused
    left join sendcloud.pickups_quarantine_resolved as resolved on resolved.account = refused.account
        and resolved.record_hash = refused.record_hash and resolved.resolved_at >= refused.last_seen_at
"""


class Result:
    """Provides the rows that a query returns."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.to_arrow_table = frame.toArrow

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self._frame.toArrow().to_pylist()]


class SparkSession:
    """Executes statements in DuckDB's dialect against the tables and views of one Spark session.

    The class implements SqlConnection (analytics/views.py), so it can execute views and checks.
    """

    def __init__(self, spark: Any) -> None:
        self.spark = spark

    def execute(self, sql: str, parameters: Any = None) -> Result:
        """Executes one query and returns its result."""
        return Result(self.query(translate(sql, DIALECT), parameters))

    def query(self, text: str, parameters: Any = None) -> Any:
        """Returns the data frame for a query in Spark's own dialect."""
        return self.spark.sql(flatten_names(text), args=parameters or None)

    def show(self, name: str, frame: Any) -> None:
        """Makes a data frame available to statements under a name such as `sendcloud.pickups`."""
        frame.createOrReplaceTempView(name.replace(".", "__"))

    def show_tables(self, files: Mapping[str, Sequence[str]]) -> None:
        """Makes the tables in these files available to statements.

        Every table that views or checks read is available, even if the table has no files. It is then empty.
        """
        for name in {**files, **TABLE_COLUMNS}:
            self.show(f"sendcloud.{name}", self._table(name, files.get(name, ())))
        if "resolved_at" not in self.query("select * from sendcloud.pickups_quarantine").columns:
            self.show("sendcloud.pickups_quarantine_refused", self.query("select * from sendcloud.pickups_quarantine"))
            self.show("sendcloud.pickups_quarantine", self.query(_QUARANTINE))

    def _table(self, name: str, files: Sequence[str]) -> Any:
        nothing = self.spark.createDataFrame([], TABLE_COLUMNS.get(name, "account string"))
        if not files:
            return nothing
        frame = self.spark.read.option("mergeSchema", "true").parquet(*files)
        for old, new in RENAMED_COLUMNS.get(name, {}).items():
            if old in frame.columns and new not in frame.columns:
                frame = frame.withColumnRenamed(old, new)
        return frame.unionByName(nothing, allowMissingColumns=True) if name in TABLE_COLUMNS else frame


def flatten_names(text: str) -> str:
    """Returns the text with `analytics__pickups` instead of `analytics.pickups`.

    The names are flattened because a temporary view in Spark can't be in a schema.
    """
    return OWN_SCHEMAS.sub(lambda found: found[1] or f"{found[2]}__{found[3]}", text)


def export_with_spark(
    files: Mapping[str, Sequence[str]], to: str, master: str, on_progress: Callable[[str], None] = lambda _view: None
) -> dict[str, int]:
    """Computes every view with Spark and writes it as Parquet files to its own folder in `to`.

    Each view is first computed once, alongside the existing views. If a view reads another view, it reads that view's
    new files. The new views then replace the old ones, and `_built.json`, which describes the export, is written last.

    In a folder or in HDFS, a reader sees the old view, the new view or, for a moment, no view. In a bucket, a rename is
    a copy, so a reader may see only part of the new view.

    Args:
        files: the Parquet files of each table, including `pickups`. Every executor must have access to these files.
        to: the folder to write to. Every executor must have access to this folder.
        master: the URL of the Spark master, such as `local[2]`, `spark://host:7077` or `yarn`. If Spark is already
            running in this process, the export uses it with its own master and leaves it running.
        on_progress: called with the name of each view once it has been computed.

    Returns:
        The number of rows in each view.

    Raises:
        SettingsError: pyspark or Java is missing.
        ForeignObject: the folder contains a file or folder with a view's name that no earlier export has written.
        DestinationError: Spark can't start, or it fails to read, compute or write.
    """
    mark, counts = uuid4().hex[:8], {}
    with spark_session(master) as spark, spark_errors(master):
        connection, folder = SparkSession(spark), _Folder(spark, to)
        views = [path.stem for path in view_files()]
        is_claimed = check_folder(to, folder.names([*views, MANIFEST]), folder.read(MANIFEST), views)
        connection.show_tables(files)
        try:
            for path in view_files():
                frame = connection.query(translate(query_of(path), DIALECT))
                beside = f"{to}/.{path.stem}.{mark}"
                written = _write(frame, MONTH_COLUMNS.get(path.stem), beside)
                connection.show(f"analytics.{path.stem}", written)
                counts[path.stem] = written.count()
                on_progress(path.stem)
            ((as_of,),) = connection.execute("select max(as_of_utc) from analytics.pickups").fetchall()
            if not is_claimed:
                folder.write(MANIFEST, manifest_text("spark", counts, as_of, master))
            for view in counts:
                folder.replace(f".{view}.{mark}", view)
        finally:
            folder.remove_all(f".*.{mark}*")
        folder.write(MANIFEST, manifest_text("spark", counts, as_of, master))
    return counts


def _write(frame: Any, month_of: str | None, to: str) -> Any:
    """Writes the rows and returns a data frame that reads them from the files.

    If there are no rows, one file that contains only the columns is written.
    """
    from pyspark.sql.functions import date_format

    spark = frame.sparkSession
    if month_of is None:
        frame.coalesce(1).write.parquet(to)
    else:
        by_month = frame.withColumn("month", date_format(month_of, "yyyy-MM")).repartition("month")
        by_month.write.partitionBy("month").parquet(to)
    written = spark.read.schema(frame.schema).option("recursiveFileLookup", "true").parquet(to)
    if month_of is not None and written.isEmpty():
        spark.createDataFrame([], frame.schema).coalesce(1).write.mode("overwrite").parquet(to)
    return written


class _Folder:
    """Changes files in an export's folder through Spark, on a local filesystem, in HDFS or in a bucket."""

    def __init__(self, spark: Any, to: str) -> None:
        self._to, self._path = to, spark._jvm.org.apache.hadoop.fs.Path
        self._files = self._path(to).getFileSystem(spark._jsc.hadoopConfiguration())

    def replace(self, fresh: str, name: str) -> None:
        old = self._path(f"{self._to}/{fresh}.old")
        place = self._path(f"{self._to}/{name}")
        had_one = self._files.exists(place)
        if had_one:
            self._move(place, old)
        try:
            self._move(self._path(f"{self._to}/{fresh}"), place)
        except BaseException:
            if had_one:
                self._move(old, place)
            raise
        self._files.delete(old, True)

    def _move(self, what: Any, to: Any) -> None:
        if not self._files.rename(what, to):
            raise OSError(f"{what} can't be renamed to {to.getName()}")

    def names(self, wanted: Sequence[str]) -> list[str]:
        """Returns which of the names exist in the folder."""
        return [name for name in wanted if self._files.exists(self._path(f"{self._to}/{name}"))]

    def read(self, name: str) -> str | None:
        """Returns the text of a file, or None if it doesn't exist."""
        place = self._path(f"{self._to}/{name}")
        if not self._files.exists(place):
            return None
        stream = self._files.open(place)
        try:
            return bytes(stream.readAllBytes()).decode("utf-8", "replace")
        finally:
            stream.close()

    def remove_all(self, pattern: str) -> None:
        for found in self._files.globStatus(self._path(f"{self._to}/{pattern}")) or ():
            self._files.delete(found.getPath(), True)

    def write(self, name: str, text: str) -> None:
        stream = self._files.create(self._path(f"{self._to}/{name}"), True)
        stream.write(text.encode())
        stream.close()
