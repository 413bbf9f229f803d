"""Checks whether a run could write its files: permissions, access to the warehouse and disk space. Writes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shutil import disk_usage

from pipelines.destinations.duckdb.contents import find_damage
from pipelines.destinations.duckdb.recovery import FileRecovery, index_problem
from pipelines.destinations.duckdb.session import open_database
from pipelines.destinations.file_lock import exclusive_lock
from pipelines.errors import DestinationError, RunInProgress
from pipelines.finding import Finding, error_finding

MB = 10**6
SPACE_MB = 1_000  # a first load of a million pickups takes 400 MB, including dlt's working files (2026-11)
HOLDER_PID = re.compile(r"\(PID (\d+)\)")  # DuckDB's error names the process that has the file open


def file_findings(files: FileRecovery) -> Iterator[Finding]:
    """Yields the findings about both files and their disks."""
    warehouse, published = files.warehouse, files.published
    for what, path in (("warehouse", warehouse), ("published", published)):
        if problem := _why_not_writable(path):
            yield error_finding(what, DestinationError(str(path), problem, "Grant this user write permission."))
        elif what == "warehouse" and path.parent.exists():
            yield _warehouse_finding(files)
        elif damage := find_damage(path, warehouse):
            yield Finding(what, "warning", f"{path} is damaged ({damage}); the next run publishes a complete file")
        else:
            yield Finding(what, "ok", f"{path}{'' if path.exists() else ' (not created yet)'}")
    size_mb = warehouse.stat().st_size / MB if warehouse.exists() else 0.0
    for folder in dict.fromkeys(_nearest_existing(path.parent) for path in (warehouse, published)):
        yield _space_finding(folder, size_mb)


def _why_not_writable(path: Path) -> str | None:
    """Returns the reason why the file can't be created or replaced, or None if there is no such reason.

    Replacing a file requires write permission for its folder.
    """
    folder = _nearest_existing(path.parent)
    if not folder.is_dir():
        return f"{folder} is a file, but it must be a folder"
    if path.is_dir():
        return "it is a folder, but it must be a file"
    for place in (folder, path) if path.exists() else (folder,):
        if not os.access(place, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            return f"this user can't write to {place}"
    return None


def _nearest_existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _warehouse_finding(files: FileRecovery) -> Finding:
    """Returns whether a run can use the warehouse, and what it would do about a damaged one.

    The check holds the same lock as a run. Otherwise, a run that started during the check could not open the file.
    """
    warehouse = files.warehouse
    try:
        if not warehouse.exists() and not files.published.exists() and not files.had_log:
            return Finding("warehouse", "ok", f"{warehouse} (not created yet)")
        with exclusive_lock(warehouse):
            if problem := files.finding() or ". ".join(index_problem(warehouse) or ()):
                return Finding("warehouse", "warning", f"{warehouse}: {problem}")
            with open_database(warehouse, read_only=True):
                return Finding("warehouse", "ok", f"{warehouse}, {warehouse.stat().st_size / MB:,.0f} MB")
    except RunInProgress as error:
        return Finding("warehouse", "ok", str(error))
    except DestinationError as error:
        found = error_finding("warehouse", error)
        holder = HOLDER_PID.search(found.message)
        command = _command_of(int(holder[1])) if holder else ""
        return found._replace(message=f"{found.message} Held by: {command}") if command else found


def _command_of(pid: int) -> str:
    """Returns the process's program with its script or module, or "" if the system doesn't report them.

    The script or module is included because the name of an interpreter alone doesn't identify the program.
    """
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        # the remaining arguments may be long, or contain a secret
        return " ".join(" ".join(words[:3] if words[1:2] == ["-m"] else words[:2]).split())[:120]
    return ""


def _space_finding(folder: Path, warehouse_mb: float) -> Finding:
    """Returns whether the disk has enough free space for a run.

    A run copies the warehouse to publish it, and dlt stores each package until it is loaded.
    """
    free_mb, needed_mb = disk_usage(folder).free / MB, warehouse_mb + 100
    free_space = f"{free_mb:,.0f} MB free at {folder}"
    if free_mb < needed_mb:
        remedy = f"A run needs {needed_mb:,.0f} MB, because it copies the warehouse. Free up disk space."
        return error_finding("disk", DestinationError(str(folder), free_space, remedy))
    if free_mb < max(SPACE_MB, 3 * warehouse_mb):
        return Finding("disk", "warning", f"{free_space}: enough for now, but the warehouse and its copy will grow")
    return Finding("disk", "ok", free_space)
