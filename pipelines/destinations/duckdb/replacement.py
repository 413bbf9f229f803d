"""Replaces the warehouse file with a verified copy. The old file is kept under an unused name."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path

from pipelines.atomic_file import replace_atomically
from pipelines.destinations.duckdb.contents import Contents, first_line, read_contents
from pipelines.destinations.duckdb.session import DatabaseError, open_database, own_names
from pipelines.destinations.warehouse_mark import WarehouseMark, store_mark
from pipelines.errors import DestinationError

FREE_SPACE = "Nothing was replaced. Free up disk space or fix the folder's permissions, then run again."


def log_of(warehouse: Path) -> Path:
    """Returns the path of the log that DuckDB writes before it changes the file."""
    return warehouse.with_name(f"{warehouse.name}.wal")


def has_log(warehouse: Path) -> bool:
    """Returns whether a killed writer left rows in the log."""
    log = log_of(warehouse)
    return log.exists() and log.stat().st_size > 0


def restored_path(warehouse: Path) -> Path:
    """Returns the path of the verified copy before it is renamed to the warehouse."""
    return warehouse.with_name(f".{warehouse.name}.restored")


def replace_warehouse(warehouse: Path, source: Path, why: str, mark: WarehouseMark | None = None) -> Path | None:
    """Replaces the warehouse with a copy of `source`, and returns the new path of the old file.

    The copy is complete, written to disk and verified before the old file is renamed. If the process dies between the
    two renames, the warehouse is missing until the next run replaces it. The log is renamed first, because a log left
    without its file would block the next run until a person intervenes.

    Args:
        warehouse: the file to replace. The file may be missing, or may be a folder.
        source: a complete file that this program wrote.
        why: the word to append to the old file's name, such as `damaged`.
        mark: the mark to store if an older version, which had no marks, wrote the copy. Without this mark, the next run
            would take the published file for that of another warehouse.

    Returns:
        The new path of the old file, or None if there was no warehouse.

    Raises:
        DestinationError: the copy can't be made or verified. Nothing has changed.
    """
    try:
        with replace_atomically(restored_path(warehouse)) as fresh:
            shutil.copyfile(source, fresh)
            expected = read_contents(fresh)
            if mark and not expected.mark:
                with open_database(fresh) as session:
                    store_mark(own_names(session, str(warehouse)), mark)
        kept = _set_aside(warehouse, why)
        restored_path(warehouse).replace(warehouse)
    except (OSError, DatabaseError) as error:
        raise DestinationError(str(warehouse), first_line(error), FREE_SPACE) from error
    _check_opened(warehouse, expected)
    return kept


def _set_aside(warehouse: Path, why: str) -> Path | None:
    """Renames the warehouse and its log, and returns the file's new path, or None if there was no warehouse."""
    kept = _unused_path(warehouse, f"{why}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    if log_of(warehouse).exists():
        log_of(warehouse).rename(log_of(kept))
    if not warehouse.exists():
        return None
    warehouse.rename(kept)
    return kept


def _unused_path(warehouse: Path, mark: str) -> Path:
    marks = chain([mark], (f"{mark}-{number}" for number in count(2)))
    paths = (warehouse.with_name(f"{warehouse.name}.{each}") for each in marks)
    return next(path for path in paths if not path.exists() and not log_of(path).exists())


def _check_opened(warehouse: Path, expected: Contents) -> None:
    """Raises DestinationError if this process still has the old file open, which DuckDB would continue to use."""
    with open_database(warehouse) as session:
        rows = own_names(session, str(warehouse)).execute("select count(*) from sendcloud.pickup_runs").fetchall()
    if rows != [(expected.rows["sendcloud.pickup_runs"],)]:
        remedy = "The file was replaced. Run again: the next run uses the new file."
        raise DestinationError(str(warehouse), "this process still has the old file open", remedy)
