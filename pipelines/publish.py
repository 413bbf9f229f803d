"""Files written whole and put in place in one step: the copy that people read, and a warehouse that lies half empty.

DuckDB lets one process write or many read, never both, so a notebook must not open the file that runs write.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import duckdb

from pipelines.errors import DestinationFailed
from pipelines.in_place import HeldOpen, sweep_leftovers, written_anew
from pipelines.settings import setting
from pipelines.warehouse import IN_MEMORY, opened

WORTH_IT_BYTES = 64 * 2**20  # free, before the file is written anew


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


def shrink(warehouse: Path) -> None:
    """Writes the file anew where more of it lies free than `keep.free_share`, and puts it in place in one step. For
    who holds the lock.

    Where that can't be done, the warehouse is as it was, and the next run tries again.
    """
    if warehouse.stat().st_size <= WORTH_IT_BYTES:
        return
    with suppress(OSError, duckdb.Error, DestinationFailed):  # a disk without room for two: nothing is lost by waiting
        if _lies_free(warehouse):
            _write_anew(warehouse)


def clear_away(warehouse: Path) -> None:
    """What a run left that died while it wrote the file anew."""
    for suffix in ("new", "new.wal"):
        sweep_leftovers(warehouse, suffix)


def _lies_free(warehouse: Path) -> bool:
    sizes = "select block_size * free_blocks, free_blocks / total_blocks from pragma_database_size()"
    with opened(warehouse) as connection:
        ((free_bytes, share),) = connection.execute(sizes).fetchall()
    return bool(free_bytes > WORTH_IT_BYTES and share > setting("keep.free_share"))


def _write_anew(warehouse: Path) -> None:
    """A log that could not be folded in belongs to the old file alone, which then stays."""
    fresh = warehouse.with_name(f".{warehouse.name}.smaller.new")
    clear_away(warehouse)
    try:
        with opened(IN_MEMORY) as connection:
            old, new = (str(path).replace("'", "''") for path in (warehouse, fresh))
            connection.execute(f"attach '{old}' as old (read_only)")
            ((kept,),) = connection.execute(_FORMAT).fetchall()
            connection.execute(f"attach '{new}' as new (storage_version '{kept}')")
            connection.execute("copy from database old to new")
            connection.execute("checkpoint new")
        fresh.chmod(warehouse.stat().st_mode)
        if not warehouse.with_name(warehouse.name + ".wal").exists():
            fresh.replace(warehouse)
    finally:
        clear_away(warehouse)


# so that an older duckdb that can read the old file can read the new one
_FORMAT = "select rtrim(tags['storage_version'], '+') from duckdb_databases() where database_name = 'old'"
