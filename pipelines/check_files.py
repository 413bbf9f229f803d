"""Whether a run could write its files: permissions, who holds the warehouse, room on the disk. Nothing is written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shutil import disk_usage

from pipelines.errors import AnotherRun, DestinationFailed
from pipelines.finding import Finding, wrong
from pipelines.lock import one_run_at_a_time
from pipelines.warehouse import opened

MB = 10**6
ROOM_MB = 1_000  # a first load of a million pickups takes 400 MB, dlt's working files included (2026-11)
HOLDER = re.compile(r"\(PID (\d+)\)")  # as DuckDB names who has the file open


def files(warehouse: Path, published: Path) -> Iterator[Finding]:
    """What there is to say about both files, and the disks that they lie on."""
    for what, path in (("warehouse", warehouse), ("published", published)):
        if problem := _not_writable(path):
            yield wrong(what, DestinationFailed(str(path), problem, "Give this user the right to write there."))
        elif what == "warehouse" and path.exists():
            yield _opened(path, published)
        else:
            yield Finding(what, "ok", f"{path}{'' if path.exists() else ' (not made yet)'}")
    size_mb = warehouse.stat().st_size / MB if warehouse.exists() else 0.0
    for folder in dict.fromkeys(_nearest(path.parent) for path in (warehouse, published)):
        yield _room(folder, size_mb)


def _not_writable(path: Path) -> str | None:
    """Why a file can't be made or replaced there: a file is put in place by its folder."""
    folder = _nearest(path.parent)
    if not folder.is_dir():
        return f"{folder} is a file, and a folder is needed"
    if path.is_dir():
        return "it is a folder"
    for place in (folder, path) if path.exists() else (folder,):
        if not os.access(place, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            return f"{place} can't be written to by this user"
    return None


def _nearest(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _opened(warehouse: Path, published: Path) -> Finding:
    """Whether DuckDB opens it. Under the run's own lock: a run that began meanwhile would not get the file."""
    try:
        with one_run_at_a_time(warehouse), opened(warehouse, read_only=True, backup=published):
            return Finding("warehouse", "ok", f"{warehouse}, {warehouse.stat().st_size / MB:,.0f} MB")
    except AnotherRun as error:
        return Finding("warehouse", "ok", str(error))
    except DestinationFailed as error:
        found = wrong("warehouse", error)
        holder = HOLDER.search(found.said)
        command = _command_of(int(holder[1])) if holder else ""
        return found._replace(said=f"{found.said} Held by: {command}") if command else found


def _command_of(pid: int) -> str:
    """A process's program and script or module, where the system tells: more than an interpreter's name."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        # no more: what stands behind may be long, or a secret
        return " ".join(" ".join(words[:3] if words[1:2] == ["-m"] else words[:2]).split())[:120]
    return ""


def _room(folder: Path, warehouse_mb: float) -> Finding:
    """A run copies the warehouse to publish it, and dlt keeps what it loads until it is loaded."""
    free_mb, needed_mb = disk_usage(folder).free / MB, warehouse_mb + 100
    said = f"{free_mb:,.0f} MB free at {folder}"
    if free_mb < needed_mb:
        remedy = f"A run needs {needed_mb:,.0f} MB, for it copies the warehouse. Make room."
        return wrong("disk", DestinationFailed(str(folder), said, remedy))
    if free_mb < max(ROOM_MB, 3 * warehouse_mb):
        return Finding("disk", "look", f"{said}: enough for now, but the warehouse and its copy grow")
    return Finding("disk", "ok", said)
