"""Backs up and restores a project's warehouse, for `pickups backup` and `pickups restore`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.config.project import project_context, published_path, warehouse_path
from pipelines.config.settings import get_setting, setting_location
from pipelines.destinations.duckdb.copies import Backup, RestorePlan, make_backup, plan_restore
from pipelines.destinations.file_lock import exclusive_lock
from pipelines.errors import locking_for_command
from sources.sendcloud.errors import SettingsError

INSTEAD = {
    "postgres": "Back up the server's database with pg_dump, and restore it with pg_restore",
    "delta": "Copy the lake's folder or bucket, or read an earlier version of a table (Delta's time travel)",
}


def back_up(folder: Path, keep: int | None) -> Backup:
    """Copies the published file of the current project into the folder.

    Args:
        folder: the folder for backups.
        keep: how many backups to keep; None keeps all.

    Raises:
        SettingsError: the destination is not a DuckDB file.
        NoData: no run has published anything.
        DestinationError: the copy can't be made.
    """
    with project_context() as project:
        _require_files()
        return make_backup(published_path(project), folder.expanduser().resolve(), keep)


@contextmanager
def restoring(source: Path | None) -> Iterator[RestorePlan]:
    """Yields the plan for a restore, and holds the lock during the block so that no run can begin.

    Args:
        source: the copy to restore from; default the published file.

    Raises:
        SettingsError: the destination is not a DuckDB file.
        RunInProgress: a run is under way.
        DestinationError: the copy can't be used.
    """
    with project_context() as project:
        _require_files()
        warehouse = warehouse_path(project)
        with locking_for_command(), exclusive_lock(warehouse):
            yield plan_restore(warehouse, published_path(project), source.resolve() if source else None)


def _require_files() -> None:
    """Raises SettingsError if the destination is a server or a lake, which has its own backup tools."""
    kind = get_setting("pipeline.destination")
    if instead := INSTEAD.get(kind):
        raise SettingsError(
            f"{setting_location('pipeline.destination')} is {kind!r}, but this command copies only DuckDB files. "
            f"{instead}: see docs/how-to/back-up.md"
        )
