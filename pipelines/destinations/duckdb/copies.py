"""Makes verified copies of the published file, and restores the warehouse from a copy that a person chooses."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pipelines.atomic_file import remove_leftovers, replace_atomically
from pipelines.destinations.duckdb.blocks import read_format
from pipelines.destinations.duckdb.contents import Contents, first_line, read_contents, salvage_contents
from pipelines.destinations.duckdb.replacement import replace_warehouse
from pipelines.destinations.duckdb.session import PUBLISHED_REMEDY, DatabaseError
from pipelines.destinations.ownership import DERIVED_TABLES
from pipelines.errors import DestinationError, NoData

USE_ANOTHER = "Nothing was changed. Use another copy, such as an earlier backup."
CHECK_PATH = "Nothing was changed. Check [publish] path, which names this file."
COMPARE = "To compare the copies and decide, run: pickups restore"
RESTORE_BACKUP = (
    "To restore the newest file that pickups backup made, run: pickups restore --from FILE. Without a backup, move the "
    "damaged files and any .wal file away, then run: pickups run. Receipts, earlier states and pickups that the API no "
    "longer lists are then lost."
)
BACKUP_NAME = re.compile(r"-\d{8}T\d{6}Z\.duckdb$")


class Backup(NamedTuple):
    """A new backup: its file, its contents, and the older backups that were removed."""

    path: Path
    contents: Contents
    removed: list[Path]


def make_backup(published: Path, folder: Path, keep: int | None) -> Backup:
    """Copies the published file to the folder, adds the UTC time to the copy's name, and removes the oldest backups.

    A run replaces the published file as a whole, so a copy made during a run is consistent, and no lock is needed. The
    copy gets its final name only after every table in it has been read.

    Args:
        published: the published file.
        folder: the folder for backups. A missing folder is created.
        keep: how many backups of these accounts to keep, at least 1; None keeps all.

    Raises:
        NoData: no run has published anything.
        DestinationError: the copy can't be made, or the published file is damaged. Earlier backups remain.
    """
    if not published.is_file() or not published.stat().st_size:
        raise NoData(published)
    target = folder / f"{published.stem}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.duckdb"
    if target.exists():
        raise DestinationError(str(target), "a backup from this second exists", "Wait a second, then try again.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replace_atomically(target) as fresh:
            shutil.copyfile(published, fresh)
            contents = _checked(fresh, published, f"No backup was made. {PUBLISHED_REMEDY}")
    except OSError as error:
        remedy = "No backup was made. Specify a writable folder on a disk with enough space."
        raise DestinationError(str(target), str(error), remedy) from None
    return Backup(target, contents, _remove_oldest(target, contents.accounts, keep) if keep else [])


def _checked(copy: Path, source: Path, if_damaged: str, if_foreign: str = CHECK_PATH) -> Contents:
    """Returns the copy's contents. Raises DestinationError if the copy is damaged or another program wrote it.

    Args:
        copy: the file to read.
        source: the file that messages name, of which `copy` may be a temporary copy.
        if_damaged: what to do about a damaged file.
        if_foreign: what to do about another program's file.
    """
    try:
        contents = read_contents(copy)
    except (DatabaseError, DestinationError) as error:
        evidence = first_line(error.__cause__ or error).replace(str(copy), str(source))
        raise DestinationError(str(source), f"it is damaged ({evidence})", if_damaged) from None
    if contents.is_ours():
        return contents
    raise DestinationError(str(source), "it was not written by this program", if_foreign)


def _remove_oldest(newest: Path, accounts: Collection[str], keep: int) -> list[Path]:
    """Removes all but the newest `keep` backups of these accounts, and returns the removed files."""
    stem = BACKUP_NAME.sub("", newest.name)
    named = sorted((path for path in newest.parent.glob(f"{stem}-*.duckdb") if _has_name(path, stem)), reverse=True)
    old = [path for path in named[keep:] if _is_backup_of(path, accounts)]
    for path in old:
        path.unlink()
    for path in named:
        remove_leftovers(path)
    return old


def _has_name(path: Path, stem: str) -> bool:
    return BACKUP_NAME.sub("", path.name) == stem and path.is_file() and not path.is_symlink()


def _is_backup_of(path: Path, accounts: Collection[str]) -> bool:
    """Returns whether the file contains any of the accounts. Other projects may write backups to the same folder."""
    if read_format(path) is None:
        return False
    found = salvage_contents(path)
    return found.damage is None and found.is_ours() and bool(found.accounts & {*accounts})


def _is_kept(table: str) -> bool:
    """Returns whether the table is ours, and contains what a run could not compute again."""
    schema, name = table.split(".", 1)
    return schema == "sendcloud" and name.startswith("pickup") and name not in DERIVED_TABLES


class RestorePlan(NamedTuple):
    """Describes what a restore would do.

    Attributes:
        warehouse: the file to replace.
        source: the copy to replace it with.
        old: the warehouse's contents as far as they can be read, or None if there is no warehouse.
        new: the copy's contents.
    """

    warehouse: Path
    source: Path
    old: Contents | None
    new: Contents

    def losses(self) -> dict[str, int]:
        """Returns how many more rows each table has in the warehouse than in the copy. Skips unreadable tables."""
        old = self.old.rows if self.old else {}
        more = {table: rows - self.new.rows.get(table, 0) for table, rows in old.items() if _is_kept(table)}
        return {table: rows for table, rows in more.items() if rows > 0}

    def execute(self) -> Path | None:
        """Replaces the warehouse and returns the path of the old file. Raises DestinationError on failure."""
        damaged = self.old is not None and self.old.damage
        mark = self.old.mark if self.old else None
        return replace_warehouse(self.warehouse, self.source, "damaged" if damaged else "replaced", mark)


def plan_restore(warehouse: Path, published: Path, source: Path | None = None) -> RestorePlan:
    """Returns what a restore of the warehouse would do. Changes nothing. The caller must hold the lock.

    Args:
        warehouse: the file to replace.
        published: the published file.
        source: the copy to restore from; default the published file.

    Raises:
        DestinationError: the source is missing or damaged, was written by another program, or is a copy of another
            warehouse.
    """
    old = salvage_contents(warehouse) if warehouse.exists() else None
    remedies = (USE_ANOTHER, USE_ANOTHER)
    if source is None:
        source, remedies = published, (f"Nothing was changed. {_remedy_without_copy(warehouse, old)}", CHECK_PATH)
    if not source.is_file():
        raise DestinationError(str(source), "there is no such file", remedies[0])
    new = _checked(source, source, *remedies)
    if old and old.mark and new.mark and old.mark.warehouse_id != new.mark.warehouse_id:
        of = f"{new.mark.warehouse_path or 'a database'} (created {new.mark.created_at:%Y-%m-%d %H:%M} UTC)"
        remedy = f"Specify a backup of {warehouse}. To use this copy, first move that file and the published file away."
        raise DestinationError(str(source), f"it is a copy of another warehouse, {of}", remedy)
    return RestorePlan(warehouse, source, old, new)


def _remedy_without_copy(warehouse: Path, old: Contents | None) -> str:
    """Returns what to do if the published file can't be restored, depending on the warehouse's contents."""
    if old and old.damage is None and old.is_ours():
        return f"The warehouse {warehouse} is intact ({old}). To publish it again, run: pickups run"
    problem = "is missing" if not old else "can't be read either" if old.damage else "contains no pickups"
    return f"The warehouse {warehouse} {problem}. {RESTORE_BACKUP}"


def decision_remedy(warehouse: Path, published: Path) -> str:
    """Returns what a person can do about a warehouse that a run must not replace. The caller must hold the lock."""
    try:
        plan_restore(warehouse, published)
    except DestinationError:
        return RESTORE_BACKUP
    return COMPARE
