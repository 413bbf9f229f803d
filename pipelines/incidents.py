"""Which accounts fail, and since when: what has to outlive the process, so that an incident is told once.

A file of its own beside the warehouse, for an incident may be that the warehouse can't be opened, or was never made.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from copy import copy
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pipelines.in_place import sweep_leftovers, written_anew

EVERY = "*"  # no account's name: a run that fails before it knows whose it is
ABANDONED_SECONDS = 3600.0  # nobody takes so long to write the file


class Incident(msgspec.Struct):
    """Of one account. Instants are UTC, by this machine's clock."""

    since: datetime
    failed_runs: int = 0  # those counted; 0 where none could be
    is_told: bool = False
    well_at: datetime | None = None  # it is over, and that is still to be told


Incidents = dict[str, Incident]


def after(
    before: Incidents, failing: Collection[str], well: Collection[str], known: Collection[str], now: datetime
) -> Incidents:
    """The incidents after a run in which these accounts failed and these were well; `known` are all that there are.

    What failed before the accounts were known was every account's. One that is no longer configured has no incident.
    """
    incidents = {name: copy(incident) for name, incident in before.items()}
    if known:
        if every := incidents.pop(EVERY, None):
            incidents = {name: copy(every) for name in known} | incidents
        incidents = {name: incident for name, incident in incidents.items() if name in {*known, *failing}}
    for name in failing:
        if name not in incidents or incidents[name].well_at:
            incidents[name] = Incident(now)
        incidents[name].failed_runs += 1
    for name in incidents.keys() & well:
        incidents[name].well_at = incidents[name].well_at or now
    return incidents


def elsewhere(project: Path) -> Path:
    """Where they are noted when it can't be beside the warehouse: that is not known, or its disk is read-only."""
    mark = hashlib.sha256(str(project).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"sendcloud-pickups-{mark}.incidents.json"


def read(places: Sequence[Path]) -> Incidents:
    """Those in the newest of these files; none where there is none, or it can't be read: better told twice than not."""
    try:
        path = max((place for place in places if _is_ours(place)), key=lambda place: place.stat().st_mtime)
        if not (written := path.read_bytes()):  # the disk was full
            return {EVERY: Incident(datetime.fromtimestamp(path.stat().st_mtime, UTC), is_told=True)}
        return msgspec.json.decode(written, type=Incidents)
    except (OSError, ValueError, msgspec.DecodeError):
        return {}


def write(places: Sequence[Path], incidents: Incidents) -> None:
    """Puts them into the first of these files that can be written, and takes the others away. If none can be, the next
    run tells again.
    """
    for place in places:
        if _is_written(place, incidents):
            incidents = {}


def _is_written(path: Path, incidents: Incidents) -> bool:
    """Whether the file says so now; without incidents there is none.

    A disk that is full has room for a file without a byte: since its time all have failed, and that is told.
    """
    try:
        if not incidents:
            path.unlink(missing_ok=True)
            return True
        sweep_leftovers(path, older_than_seconds=ABANDONED_SECONDS)
        with written_anew(path) as fresh:
            fresh.write_bytes(msgspec.json.encode(incidents))
        return True
    except OSError:
        if incidents and all(incident.is_told for incident in incidents.values()):
            with suppress(OSError):
                if not path.exists() or path.stat().st_size:  # or its time would move
                    path.write_bytes(b"")
                return True
        return False


def _is_ours(path: Path) -> bool:
    """In a folder for everybody a file may be somebody else's."""
    return path.is_file() and (not hasattr(os, "getuid") or path.stat().st_uid == os.getuid())
