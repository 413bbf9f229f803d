"""Checks whether a run could write its files: permissions, access to the warehouse and disk space. Writes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shutil import disk_usage

from pipelines.destinations.duckdb.contents import find_damage
from pipelines.destinations.duckdb.ownership import Files, check_published, check_warehouse
from pipelines.destinations.duckdb.recovery import FileRecovery, index_problem
from pipelines.destinations.duckdb.session import DuckDBSession, open_database
from pipelines.destinations.file_lock import exclusive_lock
from pipelines.destinations.schemas import DEFAULT_NAMES, SchemaNames
from pipelines.errors import DestinationError, NewerLayout, OwnershipError, RunInProgress
from pipelines.finding import Finding, error_finding

MB = 10**6
SPACE_MB = 1_000  # A first load of a million pickups takes 400 MB, including dlt's working files (2026-11).
HOLDER_PID = re.compile(r"\(PID (\d+)\)")  # DuckDB's error names the process that has the file open.
UNUSABLE = "it is damaged ({}), so no run can replace the warehouse with it"


def file_findings(recovery: FileRecovery, names: SchemaNames = DEFAULT_NAMES) -> Iterator[Finding]:
    """Yields the findings about both files and their disks."""
    files = Files(recovery.warehouse, recovery.published)
    warehouse, published = files
    found = {what: _place_finding(what, path) for what, path in files._asdict().items()}
    if all(finding.outcome == "ok" for finding in found.values()):
        found |= {finding.subject: finding for finding in _content_findings(recovery, files, names)}
    yield from found.values()
    size_mb = warehouse.stat().st_size / MB if warehouse.exists() else 0.0
    for folder in dict.fromkeys(_nearest_existing(path.parent) for path in (warehouse, published)):
        yield _space_finding(folder, size_mb)


def _place_finding(what: str, path: Path) -> Finding:
    if problem := _why_not_writable(path):
        return error_finding(what, DestinationError(str(path), problem, "Grant this user write permission."))
    return Finding(what, "ok", f"{path}{'' if path.exists() else ' (not created yet)'}")


def _why_not_writable(path: Path) -> str | None:
    """Returns the reason why the file can't be created or replaced, or None if it can.

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


def _content_findings(recovery: FileRecovery, files: Files, names: SchemaNames) -> Iterator[Finding]:
    """Yields findings about access to both files, damage that a run would repair, and other people's objects.

    The check holds the same lock as a run. Otherwise, a run that started during the check could not open the file.
    """
    warehouse, published = files
    if not warehouse.exists() and not published.exists() and not recovery.had_log:
        return
    try:
        with exclusive_lock(warehouse):
            if repair := recovery.finding():
                yield Finding("warehouse", "warning", f"{warehouse}: {repair}")
            elif not warehouse.exists():
                yield from _ownership_findings(files, names, None)
            else:
                yield from _open_findings(files, names)
    except RunInProgress as error:
        remedy = "To examine them, wait until that run has ended, then run the command again."
        message = str(error.reworded("The files were not examined.", remedy))
        yield Finding("warehouse", "ok" if error.is_holder_known else "warning", message)
    except DestinationError as error:
        found = error_finding("warehouse", error)
        holder = HOLDER_PID.search(found.message)
        command = _command_of(int(holder[1])) if holder else ""
        yield found._replace(message=f"{found.message} Held by: {command}") if command else found
        if damage := find_damage(published):
            yield found._replace(subject="published", message=f"{published}: {UNUSABLE.format(damage)}")


def _open_findings(files: Files, names: SchemaNames) -> Iterator[Finding]:
    warehouse, published = files
    with open_database(warehouse, read_only=True, names=names) as session:
        yield Finding("warehouse", "ok", f"{warehouse}, {warehouse.stat().st_size / MB:,.0f} MB")
        if problem := index_problem(session):
            yield Finding("warehouse", "warning", f"{warehouse}: {'. '.join(problem)}")
        if damage := find_damage(published):
            yield Finding("published", "warning", f"{published} is damaged ({damage}); the next run replaces it")
        yield from _ownership_findings(files, names, session)


def _ownership_findings(files: Files, names: SchemaNames, session: DuckDBSession | None) -> Iterator[Finding]:
    what, mark = "warehouse", None
    try:
        mark = check_warehouse(files.warehouse, names, session) if session else None
        what = "published"
        check_published(files, session, mark)
    except (OwnershipError, NewerLayout) as error:
        yield error_finding(what, error)


def _command_of(pid: int) -> str:
    """Returns the program and the script or module that the process runs, or "" if the system doesn't report them.

    The script or module is included because the name of an interpreter alone doesn't identify the program.
    """
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        # the remaining arguments may be long, or contain a secret
        return " ".join(" ".join(words[:3] if words[1:2] == ["-m"] else words[:2]).split())[:120]
    return ""


def _space_finding(folder: Path, warehouse_mb: float) -> Finding:
    """Returns a finding that says whether the disk has enough free space for a run.

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
