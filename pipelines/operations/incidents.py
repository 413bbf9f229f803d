"""Stores which accounts are failing and since when, so that each incident is reported only once.

The incidents are stored in a separate file beside the warehouse. The warehouse can't store incidents, because the
incident itself may be that the warehouse can't be opened or was never created.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from copy import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from pipelines.atomic_file import remove_leftovers, replace_atomically
from pipelines.file_access import PRIVATE_FILE_MODE, is_own, is_own_folder, temporary_folder

UNKNOWN_HOLDER = "?"  # Stands for runs that find the lock held by an unknown program; not a valid account name.
ALL_ACCOUNTS = "*"  # Stands for a run that fails before its accounts are known; not a valid account name.
TEMPORARY_NAME = "sendcloud-pickups"
LOCKED_OUT = "*locked"  # Stands for runs that find the lock held by another run; not a valid account name.
ABANDONED_SECONDS = 3600.0  # Writing the file never takes this long.


class Incident(msgspec.Struct):
    """A period during which one account keeps failing. Timestamps are in UTC and come from this machine's clock.

    Attributes:
        since: the start of the incident.
        failed_runs: the number of failed runs; 0 if they could not be counted.
        is_told: whether the start of the incident was reported.
        well_at: the end of the incident if it has not been reported yet, else None.
    """

    since: datetime
    failed_runs: int = 0
    is_told: bool = False
    well_at: datetime | None = None


Incidents = dict[str, Incident]


def update_incidents(
    before: Incidents, failing: Collection[str], well: Collection[str], known: Collection[str], now: datetime
) -> Incidents:
    """Returns the incidents, updated with the results of a run.

    An incident for ALL_ACCOUNTS, which began before the accounts were known, becomes an incident for every known
    account. Incidents for accounts that are no longer configured are dropped. An unreported UNKNOWN_HOLDER is dropped
    too, because a run that has just started may not have recorded itself yet.

    Args:
        before: the incidents before the run.
        failing: the accounts that failed in the run.
        well: the accounts that succeeded in the run.
        known: all configured accounts; empty if they are unknown.
        now: the time of the run, in UTC.
    """
    incidents = {name: copy(incident) for name, incident in before.items()}
    if UNKNOWN_HOLDER in incidents and UNKNOWN_HOLDER not in failing:
        incidents[UNKNOWN_HOLDER].well_at = now
        if not incidents[UNKNOWN_HOLDER].is_told:
            del incidents[UNKNOWN_HOLDER]
    if known:
        if every := incidents.pop(ALL_ACCOUNTS, None):
            incidents = {name: copy(every) for name in known} | incidents
        kept = {*known, *failing, LOCKED_OUT, UNKNOWN_HOLDER}
        incidents = {name: incident for name, incident in incidents.items() if name in kept}
    for name in failing:
        if name not in incidents or incidents[name].well_at:
            incidents[name] = Incident(now)
        incidents[name].failed_runs += 1
    for name in incidents.keys() & well:
        incidents[name].well_at = incidents[name].well_at or now
    return {name: one for name, one in incidents.items() if name != LOCKED_OUT or one.is_told or not one.well_at}


def is_due(name: str, incident: Incident, locked_out_hours: float, now: datetime) -> bool:
    """Returns whether the start of the incident must be reported now.

    A single run that finds the lock held is not an incident. The lock is reported once no run has ended for
    `locked_out_hours`.
    """
    if name == LOCKED_OUT and now - incident.since < timedelta(hours=locked_out_hours):
        return False
    return not incident.is_told and incident.failed_runs > (name == UNKNOWN_HOLDER)


def fallback_path(project: Path) -> Path:
    """Returns the file that stores the project's incidents if they can't be stored beside the warehouse.

    The file is used if the warehouse is unknown or its disk is read-only.
    """
    mark = hashlib.sha256(str(project).encode()).hexdigest()[:12]
    return temporary_folder(TEMPORARY_NAME) / f"{mark}.incidents.json"


def read_incidents(places: Sequence[Path]) -> Incidents:
    """Returns the incidents from the newest of these files, or none if no file can be read.

    If the file can't be read, incidents are reported again, because a repeated report is better than a missing one.
    """
    try:
        path = max((place for place in places if is_own_file(place)), key=lambda place: place.stat().st_mtime)
        if not (written := path.read_bytes()):  # the disk was full; see _write_file
            return {ALL_ACCOUNTS: Incident(datetime.fromtimestamp(path.stat().st_mtime, UTC), is_told=True)}
        return msgspec.json.decode(written, type=Incidents)
    except (OSError, ValueError, msgspec.DecodeError):
        return {}


def write_incidents(places: Sequence[Path], incidents: Incidents) -> None:
    """Writes the incidents to the first of these files that can be written, and deletes the others.

    If no file can be written, the next run reports the incidents again.
    """
    for place in places:
        if _write_file(place, incidents):
            incidents = {}


def _write_file(path: Path, incidents: Incidents) -> bool:
    """Writes the incidents, or deletes the file if there are no incidents. Returns whether this succeeded.

    If the disk is full and all incidents were reported, the function leaves an empty file, which still fits on the
    disk. An empty file means that all accounts have been failing since its modification time and that the failure was
    reported.
    """
    if not incidents:
        return _delete_file(path)
    if not is_in_own_folder(path, create=True):
        return False
    try:
        remove_leftovers(path, older_than_seconds=ABANDONED_SECONDS)
        with replace_atomically(path) as fresh:
            fresh.write_bytes(msgspec.json.encode(incidents))
        return True
    except OSError:
        if all(incident.is_told for incident in incidents.values()):
            with suppress(OSError):
                if not path.exists() or path.stat().st_size:  # rewriting an empty file would change its timestamp
                    _empty_file(path)
                return True
        return False


def _delete_file(path: Path) -> bool:
    if not is_in_own_folder(path):
        return True
    try:
        path.unlink(missing_ok=True)
        if path.parent == temporary_folder(TEMPORARY_NAME) and not any(path.parent.iterdir()):
            path.parent.rmdir()
        return True
    except OSError:
        return False


def _empty_file(path: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    os.close(os.open(path, flags, PRIVATE_FILE_MODE))


def is_own_file(path: Path) -> bool:
    """Returns whether the file exists and this user created it.

    In a shared folder, the file may belong to another user.
    """
    return path.is_file() and is_own(path) and is_in_own_folder(path)


def is_in_own_folder(path: Path, *, create: bool = False) -> bool:
    """Returns whether the file is outside the temporary folder, or in a folder to which only this user can write."""
    if path.parent != temporary_folder(TEMPORARY_NAME):
        return True
    try:
        return is_own_folder(path.parent, create=create)
    except OSError:
        return False
