"""The file that people read: a whole copy of the warehouse, put in place in one step.

DuckDB lets one process write or many read, never both, so a notebook must not open the file that runs write.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb

from pipelines.in_place import HeldOpen, written_anew


def publish(warehouse: Path, published: Path) -> None:
    """Copies the closed warehouse beside `published`, then renames it over: a reader sees the old file or the new.

    Raises OSError or duckdb.Error; then the published file is as it was.
    """
    if warehouse.with_name(warehouse.name + ".wal").exists():
        # what a dead or crowded-out writer left in the log goes into the file; closing would do it too, but it says
        # nothing when it can't (duckdb 1.5.5 on a full disk), and the copy would be a mixture
        with duckdb.connect(str(warehouse)) as connection:
            connection.execute("checkpoint")
    try:
        with written_anew(published) as fresh:
            shutil.copyfile(warehouse, fresh)  # by the kernel: a quarter of the time of reading and writing (2026-11)
    except HeldOpen as error:
        raise PermissionError(
            f"{error}. Close it there, or let that program read through pipelines.warehouse.read, which lets go of the "
            "file at once; the next run publishes"
        ) from error
