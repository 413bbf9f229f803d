"""Creates, publishes and compacts the warehouse. Each new file is complete before it atomically replaces the old file.

DuckDB lets either one process write to a file or several processes read it. Notebooks must not open the warehouse.
"""

from __future__ import annotations

from contextlib import suppress
from io import FileIO
from pathlib import Path

import duckdb

from pipelines.atomic_file import FileInUse, remove_leftovers, replace_atomically
from pipelines.config.settings import get_setting
from pipelines.destinations.duckdb.blocks import NEW_FILE, NEWEST_READABLE, FileFormat, copy_and_verify
from pipelines.destinations.duckdb.contents import find_damage, read_contents
from pipelines.destinations.duckdb.replacement import log_of
from pipelines.destinations.duckdb.session import IN_MEMORY, DuckDBSession, open_database, quote_path
from pipelines.errors import DestinationError
from pipelines.file_access import new_file_mode

MIN_FREE_BYTES = 64 * 2**20  # the minimum free space inside the file that justifies a rewrite


def create_database(warehouse: Path) -> None:
    """Creates an empty warehouse if there is none.

    The file is created under another name and then renamed. A full disk therefore can't leave an incomplete file that
    no later run can open.

    Raises:
        OSError, duckdb.Error: the file can't be created.
    """
    if warehouse.exists():
        return
    fresh = warehouse.with_name(warehouse.name + ".new")
    fresh.unlink(missing_ok=True)
    try:
        with open_database(IN_MEMORY) as session:
            session.execute(f"attach '{quote_path(fresh)}' as fresh ({NEW_FILE})")
        fresh.chmod(new_file_mode(warehouse.parent))
        fresh.replace(warehouse)
    finally:
        fresh.unlink(missing_ok=True)


def publish(warehouse: FileIO, published: Path) -> str | None:
    """Copies the warehouse to a file beside `published`, then renames the copy to `published`.

    Readers see either the old file or the new file.

    Args:
        warehouse: the warehouse after a checkpoint, open for reading. Nothing may write to it.
        published: the file that people read.

    Returns:
        The evidence that the old file was damaged, or None if it was intact or missing.

    Raises:
        OSError, duckdb.Error: the warehouse can't be copied or is damaged. The published file is unchanged.
    """
    try:
        with replace_atomically(published) as fresh:
            damages = copy_and_verify(warehouse, fresh, published, may_share=get_setting("publish.share_blocks"))
            if damages.of_file:  # otherwise, a damaged copy would replace the only good one
                read_contents(fresh)
            return find_damage(published) if damages.of_earlier and published.stat().st_size else None
    except FileInUse as error:
        remedy = "Close the file in that program, or let the program read through pipelines.warehouse.read, "
        remedy += "which closes the file at once; the next run publishes the data"
        raise PermissionError(f"{error}. {remedy}") from error


def needs_compaction(warehouse: Path, found: FileFormat | None, session: DuckDBSession) -> bool:
    """Returns whether the warehouse's share of free space exceeds `retention.free_share`.

    A file that DuckDB 1.4 can't open also needs compaction. An older version of this package wrote such files with
    DuckDB 2.

    Args:
        warehouse: the file that runs write to.
        found: its storage format. The caller reads it before opening the session, see `DuckDBBackend.session`.
        session: an open session over the file.
    """
    if found and found.version > NEWEST_READABLE:
        return True
    if warehouse.stat().st_size <= MIN_FREE_BYTES:
        return False
    sizes = "select block_size * free_blocks, free_blocks / total_blocks from pragma_database_size()"
    ((free_bytes, share),) = session.execute(sizes).fetchall()
    return bool(free_bytes > MIN_FREE_BYTES and share > get_setting("retention.free_share"))


def compact(warehouse: Path) -> None:
    """Rewrites the warehouse. The new file atomically replaces the old file.

    If the rewrite fails, the warehouse is unchanged and the next run tries again. The caller must hold the lock.
    """
    # If the disk lacks space for a second file, nothing is lost, and the next run tries again.
    with suppress(OSError, duckdb.Error, DestinationError):
        rewrite(warehouse)


def remove_compaction_files(warehouse: Path) -> None:
    """Removes the files left behind by a run that crashed during a rewrite."""
    for suffix in ("new", "new.wal"):
        remove_leftovers(warehouse, suffix)


def rewrite(warehouse: Path) -> None:
    """Copies the warehouse to a new file, then replaces the warehouse with the new file.

    If the warehouse still has a log, the old file is kept, because the log belongs only to that file.
    """
    fresh = warehouse.with_name(f".{warehouse.name}.smaller.new")
    remove_compaction_files(warehouse)
    try:
        with open_database(IN_MEMORY) as connection:
            connection.attach(warehouse, "old")
            connection.execute(f"attach '{quote_path(fresh)}' as new ({NEW_FILE})")
            connection.execute("copy from database old to new")
            connection.execute("checkpoint new")
        fresh.chmod(warehouse.stat().st_mode)
        if not log_of(warehouse).exists():
            fresh.replace(warehouse)
    finally:
        remove_compaction_files(warehouse)
