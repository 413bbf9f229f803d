"""The file that people read: a whole copy of the warehouse, put in place in one step.

DuckDB lets one process write or many read, never both, so a notebook must not open the file that runs write.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import duckdb

HELD_OPEN = (5, 32)  # Windows' codes for a file that cannot be replaced while a program has it open
WAITS = (0.1, 0.2, 0.4, 0.8, 1.6)  # seconds between tries: whoever reads with `read` lets go of the file within these


def publish(warehouse: Path, published: Path) -> None:
    """Copies the closed warehouse beside `published`, then renames it over: a reader sees the old file or the new.

    A reader that has the old file open goes on reading the old one; on Windows it stands in the way, and is waited for
    a little. Raises OSError or duckdb.Error; then the published file is as it was.
    """
    if warehouse.with_name(warehouse.name + ".wal").exists():
        # what a dead or crowded-out writer left in the log goes into the file; closing would do it too, but it says
        # nothing when it can't (duckdb 1.5.5 on a full disk), and the copy would be a mixture
        with duckdb.connect(str(warehouse)) as connection:
            connection.execute("checkpoint")
    published.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{published.name}.", suffix=".new", dir=published.parent)
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as target:
            shutil.copyfile(warehouse, fresh)  # by the kernel: a quarter of the time of reading and writing (2026-11)
            os.fsync(target.fileno())
        fresh.chmod(0o666 & ~_umask())
        _put_in_place(fresh, published)
    finally:
        fresh.unlink(missing_ok=True)


def _put_in_place(fresh: Path, published: Path) -> None:
    for wait in (*WAITS, None):
        try:
            fresh.replace(published)
            return
        except PermissionError as error:
            if getattr(error, "winerror", None) not in HELD_OPEN:
                raise
            if wait is None:
                raise PermissionError(_held_open(error)) from error
            time.sleep(wait)


def _held_open(error: PermissionError) -> str:
    return (
        f"it cannot be replaced while a program has it open ({error.strerror}). Close it there, or let that program "
        "read through pipelines.warehouse.read, which lets go of the file at once; the next run publishes"
    )


def sweep_leftovers(published: Path) -> None:
    """Removes half-made copies of runs that were killed while publishing. Call with the run's lock held."""
    for leftover in published.parent.glob(f".{published.name}.*.new"):
        leftover.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
