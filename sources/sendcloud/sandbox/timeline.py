"""One pickup and everything that happens to it, from which its wire record at any instant follows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

Record = dict[str, Any]
"""A pickup as the list shows it. Any JSON value may stand in it: tests serve broken ones too."""


class Absent(Enum):
    """The one value that stands for a field that isn't on the wire at all, as distinct from null."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


def utc(instant: datetime) -> datetime:
    """The same instant in UTC. An instant without an offset is refused: whose hours would it be?"""
    if instant.tzinfo is None:
        raise ValueError(f"{instant!r} has no offset; say datetime(…, tzinfo=UTC)")
    return instant.astimezone(UTC)


def wire_time(instant: datetime) -> str:
    """The instant as the API writes it: `2022-04-06T12:00:00Z`, with microseconds only when they aren't zero."""
    return utc(instant).isoformat()[:-6] + "Z"


def wire(fields: Record) -> Record:
    """The fields as they go over the wire: instants as text, everything else untouched."""
    return {name: wire_time(value) if isinstance(value, datetime) else value for name, value in fields.items()}


@dataclass(slots=True)
class Pickup:
    """One row of the account's list: how it was born, and dated changes in the order in which they take effect."""

    position: int
    """Its place in the list; equal to the id, except where a test gave the order itself."""
    listed_from: datetime
    born: Record
    changes: tuple[tuple[datetime, Record], ...] = ()
    removed_at: datetime | None = None

    def is_listed(self, at: datetime) -> bool:
        """Whether the list shows it at that instant."""
        return self.listed_from <= at and (self.removed_at is None or at < self.removed_at)

    def record(self, at: datetime) -> Record:
        """Its wire record as of that instant: a fresh dict, fields in the published order."""
        record = self.born.copy()
        for since, fields in self.changes:
            if since <= at:
                record.update(fields)
        if ABSENT in record.values():
            return {name: value for name, value in record.items() if value is not ABSENT}
        return record

    def change(self, at: datetime, fields: Record, *, final: bool = False) -> None:
        """Let the fields change at that instant; a final change is the last: what was to happen later doesn't."""
        kept = (change for change in self.changes if not final or change[0] <= at)
        self.changes = tuple(sorted((*kept, (at, wire(fields))), key=lambda change: change[0]))
