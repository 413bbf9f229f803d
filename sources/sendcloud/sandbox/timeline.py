"""Defines a pickup and its dated changes, which determine the wire record at any time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

Record = dict[str, Any]
"""A pickup as the list shows it. A field may contain any JSON value, because tests also serve invalid values."""


class Absent(Enum):
    """The type of ABSENT. A field set to ABSENT is not sent at all, whereas None is sent as null."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


def utc(instant: datetime) -> datetime:
    """Returns the time in UTC.

    Raises:
        ValueError: `instant` has no UTC offset, so its time zone is unknown.
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant!r} has no offset; use datetime(…, tzinfo=UTC)")
    return instant.astimezone(UTC)


def wire_time(instant: datetime) -> str:
    """Returns the time in the API's format: `2022-04-06T12:00:00Z`, with microseconds unless they are zero."""
    return utc(instant).isoformat()[:-6] + "Z"


def wire(fields: Record) -> Record:
    """Returns the fields as sent over the wire, with times as text and all other values unchanged."""
    return {name: wire_time(value) if isinstance(value, datetime) else value for name, value in fields.items()}


@dataclass(slots=True)
class Pickup:
    """One row of the account's list: the fields at booking, and dated changes in the order in which they apply."""

    position: int
    """The position in the list, which equals the id unless a test sets the order."""
    listed_from: datetime
    born: Record
    changes: tuple[tuple[datetime, Record], ...] = ()
    removed_at: datetime | None = None

    def is_listed(self, at: datetime) -> bool:
        """Returns whether the list shows the pickup at the given time."""
        return self.listed_from <= at and (self.removed_at is None or at < self.removed_at)

    def record(self, at: datetime) -> Record:
        """Returns the wire record at the given time as a new dict, with the fields in the published order."""
        record = self.born.copy()
        for since, fields in self.changes:
            if since <= at:
                record.update(fields)
        if ABSENT in record.values():
            return {name: value for name, value in record.items() if value is not ABSENT}
        return record

    def change(self, at: datetime, fields: Record, *, final: bool = False) -> None:
        """Adds a change to the fields at the given time. A final change removes all later changes."""
        kept = (change for change in self.changes if not final or change[0] <= at)
        self.changes = tuple(sorted((*kept, (at, wire(fields))), key=lambda change: change[0]))
