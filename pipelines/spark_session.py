"""A Spark session: ours, with the settings under which views have the same rows, or one that is running already."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from pipelines.errors import DestinationFailed, NotConfigured

SETTINGS = {
    "spark.sql.session.timeZone": "UTC",  # every cast between an instant and a time without zone
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",  # the default can't hold the year 1 for other readers
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
}
REMEDY = "Each view is whole, the old or the new: mend the cause (master, memory, access to the files) and build again."


@contextmanager
def session(master: str) -> Iterator[Any]:
    """A session with SETTINGS; one that was started for this is stopped, a running one is gone beside.

    Raises NotConfigured without pyspark or Java, DestinationFailed where Spark doesn't start.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise NotConfigured("Spark is an extra, and not installed: pip install 'sendcloud-pickups[spark]'.") from None
    logging.getLogger("SQLQueryContextLogger").disabled = True  # prints errors that are raised too
    running = SparkSession.getActiveSession()
    spark = running.newSession() if running else _started(SparkSession.builder, master)
    try:
        for name, value in SETTINGS.items():
            spark.conf.set(name, value)
        yield spark
    finally:
        if not running:
            spark.stop()


def _started(builder: Any, master: str) -> Any:
    with _stderr_aside() as said, failing_at(master, said):
        spark = builder.master(master).appName("pickups").config("spark.ui.enabled", "false").getOrCreate()
        spark.sparkContext.setLogLevel("OFF")
    return spark


@contextmanager
def _stderr_aside() -> Iterator[IO[str]]:
    """Java inherits it, and writes to it as long as it lives what is nothing to a person at a terminal."""
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
def failing_at(master: str, said: IO[str] | None = None) -> Iterator[None]:
    """Spark's errors as ours, in one line."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError, OSError) as error:
        evidence = str(getattr(error, "java_exception", None) or error).strip().split("\n")[0]
        if "JAVA_GATEWAY_EXITED" in str(error) or isinstance(error, FileNotFoundError):
            evidence = _why_it_ended(said)
            if "Exception" not in evidence:
                raise NotConfigured(f"Spark needs Java 17 or newer, and none starts here. {evidence}".strip()) from None
        raise DestinationFailed(f"Spark at {master}", evidence[:300], REMEDY) from error


def _why_it_ended(said: IO[str] | None) -> str:
    """The line that Java wrote of it; the last one where it didn't get as far as an exception."""
    if not said:
        return ""
    said.seek(0)
    lines = said.read().strip().split("\n")
    thrown = [line.split('"main" ')[-1] for line in lines if line.startswith("Exception in thread")]
    return (thrown or lines[-1:])[0]
