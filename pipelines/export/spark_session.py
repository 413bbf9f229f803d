"""Opens a Spark session with settings under which the views return the same rows as in DuckDB."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from pipelines.errors import DestinationError
from sources.sendcloud.errors import SettingsError

SETTINGS = {
    "spark.sql.session.timeZone": "UTC",  # This setting applies to casts between an instant and a time without a zone
    "spark.sql.ansi.enabled": "true",
    # Other readers can't read year 1 in Spark's default timestamp type.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
}
REMEDY = (
    "Each view is complete, in either its old or its new version. "
    "Fix the cause (master, memory, access to files) and export again."
)


@contextmanager
def spark_session(master: str) -> Iterator[Any]:
    """Yields a new Spark session with SETTINGS.

    If Spark is already running in this process, the block gets an additional session, and Spark keeps running.
    Otherwise, Spark is started for the block and then stopped.

    Args:
        master: the URL of the Spark master, which is used only if Spark must be started.

    Raises:
        SettingsError: pyspark or Java is missing.
        DestinationError: Spark can't start.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise SettingsError(
            "Spark is not installed. Install this program with the extra spark: see docs/how-to/install.md#extras"
        ) from None
    logging.getLogger("SQLQueryContextLogger").disabled = True  # this logger prints errors that are also raised
    running = SparkSession.getActiveSession()
    spark = running.newSession() if running else _start_spark(SparkSession.builder, master)
    try:
        for name, value in SETTINGS.items():
            spark.conf.set(name, value)
        yield spark
    finally:
        if not running:
            spark.stop()


def _start_spark(builder: Any, master: str) -> Any:
    with _divert_stderr() as output, spark_errors(master, output):
        spark = builder.master(master).appName("pickups").config("spark.ui.enabled", "false").getOrCreate()
        spark.sparkContext.setLogLevel("OFF")
    return spark


@contextmanager
def _divert_stderr() -> Iterator[IO[str]]:
    """Redirects stderr to a temporary file, and yields the file.

    A Java process that is started inside the block inherits the file. As long as the process runs, it writes its
    log to this file, so the log doesn't appear in the terminal.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile("w+") as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield aside
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@contextmanager
def spark_errors(master: str, output: IO[str] | None = None) -> Iterator[None]:
    """Converts Spark's errors in the block to SettingsError or DestinationError, with a one-line message.

    Args:
        master: the URL of the Spark master, for the message.
        output: Java's output, if Spark is being started.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError, OSError) as error:
        evidence = str(getattr(error, "java_exception", None) or error).strip().split("\n")[0]
        if "JAVA_GATEWAY_EXITED" in str(error) or isinstance(error, FileNotFoundError):
            evidence = _failure_reason(output)
            if "Exception" not in evidence:
                raise SettingsError(
                    f"Spark needs Java 17 or newer, but Java doesn't start on this machine. {evidence}".strip()
                ) from None
        raise DestinationError(f"Spark at {master}", evidence[:300], REMEDY) from error


def _failure_reason(output: IO[str] | None) -> str:
    """Returns the first exception in Java's output, or the last line if there is no exception."""
    if not output:
        return ""
    output.seek(0)
    lines = output.read().strip().split("\n")
    thrown = [line.split('"main" ')[-1] for line in lines if line.startswith("Exception in thread")]
    return (thrown or lines[-1:])[0]
