"""The views on Spark, for tables that one machine takes too long for: from Parquet files, into Parquet files.

The same SQL, translated; the tables and the views are temporary views of the session, so nothing is registered where
others would find it. Java 17 and pyspark of the cluster's version are needed where this runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any
from uuid import uuid4

from pipelines import models
from pipelines.models.translate import translated
from pipelines.spark_session import failing_at, session

DIALECT = "spark"
OURS = re.compile(r"('(?:[^'\\]|\\.)*')|\b(sendcloud|analytics)\.(\w+)")  # a text stays as it is
# those of a row for each pickup: folders like month=2026-11, by UTC, so that who asks for some months reads no others;
# the label is in no file, so whoever takes all files together has the view's own columns
BY_MONTH = {"pickups": "created_at_utc", "pickup_slots": "slot_opens_utc", "rebookings": "cancelled_at_utc"}
BUILT = "_built.json"

# what views and checks read, for tables of which there are no files yet, or older ones
COLUMNS = {
    "pickups": """account string, id bigint, carrier string, country string, tracking_number string,
        pickup_from timestamp, pickup_until timestamp, pickup_status string, created_at timestamp,
        cancelled_at timestamp, contract bigint, _dlt_load_id string, time_slots string, api_version string""",
    "pickup_runs": """run_id string, account string, started_at timestamp, finished_at timestamp, observed_at timestamp,
        outcome string, error string, pages bigint, requests bigint, retries bigint, waited_seconds double,
        rows_read bigint, rows_new bigint, rows_changed bigint, rows_unchanged bigint, rows_cancelled bigint,
        rows_in_table bigint, quarantined bigint, order string, stopped_because string, open_pickups bigint,
        open_beyond_lookback bigint, history_complete boolean, sweep string, rows_missed bigint, rows_unlisted bigint,
        seconds_read double, seconds_loaded double, seconds_published double, checks_failed string,
        check_values string, unknown_fields string, must_pass_failed boolean, version string""",
    "pickups_quarantine": """account string, record_hash string, reason string, first_seen_at timestamp,
        last_seen_at timestamp""",
    "pickups_quarantine_resolved": "account string, record_hash string, resolved_at timestamp",
    "pickups_unlisted": "account string, id bigint, unlisted_since timestamp",
}
_QUARANTINE = """
    select refused.*, resolved.resolved_at
    from sendcloud.pickups_quarantine_refused as refused
    left join sendcloud.pickups_quarantine_resolved as resolved on resolved.account = refused.account
        and resolved.record_hash = refused.record_hash and resolved.resolved_at >= refused.last_seen_at
"""


class Answer:
    """Rows that were found."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.to_arrow_table = frame.toArrow

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self._frame.toArrow().to_pylist()]


class OnSpark:
    """Tables and views of one session, as `models` wants a connection; statements in DuckDB's dialect."""

    def __init__(self, spark: Any) -> None:
        self.spark = spark

    def execute(self, sql: str, parameters: Any = None) -> Answer:
        """Of one query."""
        return Answer(self.query(translated(sql, DIALECT), parameters))

    def query(self, text: str, parameters: Any = None) -> Any:
        """A frame; the text is in Spark's own words."""
        return self.spark.sql(in_place(text), args=parameters or None)

    def show(self, name: str, frame: Any) -> None:
        """Lets statements read it by this name, such as `sendcloud.pickups`."""
        frame.createOrReplaceTempView(name.replace(".", "__"))

    def show_tables(self, files: Mapping[str, Sequence[str]]) -> None:
        """Every table with its files, and those that views and checks read: empty where there are none."""
        for name in {**files, **COLUMNS}:
            self.show(f"sendcloud.{name}", self._table(name, files.get(name, ())))
        if "resolved_at" not in self.query("select * from sendcloud.pickups_quarantine").columns:
            self.show("sendcloud.pickups_quarantine_refused", self.query("select * from sendcloud.pickups_quarantine"))
            self.show("sendcloud.pickups_quarantine", self.query(_QUARANTINE))

    def _table(self, name: str, files: Sequence[str]) -> Any:
        nothing = self.spark.createDataFrame([], COLUMNS.get(name, "account string"))
        if not files:
            return nothing
        frame = self.spark.read.option("mergeSchema", "true").parquet(*files)
        return frame.unionByName(nothing, allowMissingColumns=True) if name in COLUMNS else frame

    def show_views(self) -> None:
        """Each is computed whenever it is read."""
        for path in models.views():
            self.show(f"analytics.{path.stem}", self.query(translated(models.query_of(path), DIALECT)))


def in_place(text: str) -> str:
    """Temporary views have no schema: `analytics.pickups` is analytics__pickups there."""
    return OURS.sub(lambda found: found[1] or f"{found[2]}__{found[3]}", text)


def build_on_spark(
    files: Mapping[str, Sequence[str]], to: str, master: str, on_progress: Callable[[str], None] = lambda _view: None
) -> dict[str, int]:
    """Writes every view as Parquet files to a folder of its own in `to`; how many rows each has.

    All are computed beside what is there, each once: views that read others read their files. Then they take the old
    ones' places, and `_built.json` says what was built when. In a folder or in HDFS a reader sees the old view or the
    new, or for a moment none; in a bucket, where a rename is a copy, it can see a part of the new.

    Args:
        files: Parquet files by table, `pickups` among them. Every executor must reach them, and `to`.
        master: what Spark calls so: `local[2]`, `spark://host:7077`, `yarn`. A session that is running in this process
            is used as it is, and goes on running.

    Raises NotConfigured without pyspark or Java, DestinationFailed for what Spark can't do.
    """
    mark, counts = uuid4().hex[:8], {}
    with session(master) as spark, failing_at(master):
        connection, folder = OnSpark(spark), _Folder(spark, to)
        connection.show_tables(files)
        try:
            for path in models.views():
                frame = connection.query(translated(models.query_of(path), DIALECT))
                beside = f"{to}/.{path.stem}.{mark}"
                written = _write(frame, BY_MONTH.get(path.stem), beside)
                connection.show(f"analytics.{path.stem}", written)
                counts[path.stem] = written.count()
                on_progress(path.stem)
            ((as_of,),) = connection.execute("select max(as_of_utc) from analytics.pickups").fetchall()
            for view in counts:
                folder.replace(f".{view}.{mark}", view)
        finally:
            folder.remove_all(f".*.{mark}*")
        folder.write(BUILT, receipt("spark", counts, as_of, master))
    return counts


def _write(frame: Any, month_of: str | None, to: str) -> Any:
    """The same rows, read from the files that were written; of none there is a file with the columns."""
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


def receipt(engine: str, rows: Mapping[str, int], as_of: datetime | None, master: str | None = None) -> str:
    """What `_built.json` says."""
    told = {"built_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "engine": engine, "master": master}
    told |= {"as_of": f"{as_of:%Y-%m-%dT%H:%M:%SZ}" if as_of else None, "version": version("sendcloud-pickups")}
    return json.dumps({**told, "rows": dict(rows)}, indent=2) + "\n"


class _Folder:
    """Where views are written, by Spark's own way to files: a folder, HDFS or a bucket."""

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

    def remove_all(self, pattern: str) -> None:
        for found in self._files.globStatus(self._path(f"{self._to}/{pattern}")) or ():
            self._files.delete(found.getPath(), True)

    def write(self, name: str, text: str) -> None:
        stream = self._files.create(self._path(f"{self._to}/{name}"), True)
        stream.write(text.encode())
        stream.close()
