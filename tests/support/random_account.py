"""Changes an account between runs, and tracks the rows that runs must have found.

The Hypothesis tests and the soak test use it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sources.sendcloud.sandbox import Record, World
from tests.support.installation import API_VERSION, as_row, compact, on_the_wire, utc
from tests.support.seen import Seen
from tests.support.worlds import NOW

WEEK = timedelta(days=7)
WAYS_TO_BREAK: list[Record] = [
    {"carrier": None},
    {"pickup_status": None},
    {"created_at": "2026-11-20T12:00:00"},  # no offset, so the instant is unknown
]


# optional fields that can't be read, each of which costs only its own value
WAYS_TO_BLUR: Record = {
    "pickup_from": "tomorrow",
    "pickup_until": "2026-11-20T12:00:00",  # no offset
    "cancelled_at": 1764590400,
    "contract": "57",
    "tracking_number": 1.5,
    "country": 7,
}
WINDOW = {"pickup_from", "pickup_until"}


def blurred_fields(record: Record) -> set[str]:
    return {name for name, value in WAYS_TO_BLUR.items() if record.get(name) == value}


def sharp(record: Record) -> Record:
    """Returns the record with null for each field that can't be read."""
    return record | dict.fromkeys(blurred_fields(record))


def row_of(record: Record) -> dict[str, Any]:
    """Returns the row that the table must hold: the unreadable values are in `extra`, under the API's names."""
    blurred, row = blurred_fields(record), as_row(sharp(record))
    if not blurred:
        return row
    sent = on_the_wire({name: record[name] for name in sorted(blurred | (WINDOW if blurred & WINDOW else set()))})
    names = set(sent) if API_VERSION == "v3" else blurred
    row["extra"] = compact({name: value for name, value in sent.items() if name in names})
    if blurred & WINDOW and API_VERSION == "v3":
        row["time_slots"] = None
    return row


def is_open(record: Record, now: datetime) -> bool:
    """Returns whether a pickup is open: its status is not final, and its latest time is less than seven days ago.

    The rule was written by hand from docs/explanation/reading.md.
    """
    record = sharp(record)
    booked = utc(record["created_at"])
    window = [utc(record[name]) for name in sorted(WINDOW) if record[name]]
    last = max([booked, *(window or [booked + WEEK])])
    return record["pickup_status"] not in ("Cancelled", "Failed") and now < last + WEEK


class Account:
    """A world that undergoes only the changes that a real account can. Settled pickups do not change."""

    def __init__(self) -> None:
        self.world = World(clock=NOW)
        self.broken: dict[int, tuple[datetime, Record]] = {}  # the time of the change, and the original fields
        self.blurred: dict[int, Record] = {}  # the original fields
        self.gone: set[int] = set()  # settled pickups that the API no longer lists
        self.seen = Seen()

    def begin(self, bookings: list[tuple[timedelta, int]]) -> None:
        for ago, lead_hours in sorted(bookings, reverse=True):
            self.book(lead_hours, created_at=NOW - ago)

    def book(self, lead_hours: int, created_at: datetime | None = None, **fields: Any) -> None:
        created_at = created_at or self.world.clock
        opens = created_at + timedelta(hours=lead_hours)
        until = opens + timedelta(hours=3)
        self.world.book(created_at=created_at, pickup_from=opens, pickup_until=until, **fields)

    def happen(self, what: str, where: float) -> None:
        """Changes one of the open pickups, seven minutes after the previous change."""
        self.world.advance(minutes=7)
        if not (may_change := [r for r in self.readable() if is_open(r, self.world.clock)]):
            return
        pickup = may_change[int(where * len(may_change))]
        if what == "relabel":
            self.world.change(pickup["id"], tracking_number=f"TN{where}", contract=int(where * 100))
        elif what == "blur":
            name = list(WAYS_TO_BLUR)[int(where * 100) % len(WAYS_TO_BLUR)]
            if name not in blurred_fields(pickup):
                self.blurred.setdefault(pickup["id"], {}).setdefault(name, pickup.get(name))
                self.world.change(pickup["id"], **{name: WAYS_TO_BLUR[name]})
        elif what == "move" and not blurred_fields(pickup) & WINDOW:
            moved = {name: utc(pickup[name]) + timedelta(days=2) for name in ("pickup_from", "pickup_until")}
            self.world.change(pickup["id"], **moved)
        elif what == "break":
            fields = WAYS_TO_BREAK[int(where * 100) % len(WAYS_TO_BREAK)]
            self.broken[pickup["id"]] = self.world.clock, {name: pickup[name] for name in fields}
            self.world.change(pickup["id"], **fields)
        elif what in ("cancel", "fail"):
            (self.world.cancel if what == "cancel" else self.world.fail)(pickup["id"])

    def settle_all(self) -> None:
        """Cancels every readable open pickup, so that only broken pickups still hold back the frontier."""
        self.world.advance(minutes=7)
        for pickup in self.readable():
            if is_open(pickup, self.world.clock):
                self.world.cancel(pickup["id"])

    def mend(self) -> None:
        """Repairs the pickups that broke less than a week ago, and the fields of open ones that can't be read.

        Runs need not find later repairs.
        """
        self.world.advance(minutes=7)
        for number, (since, fields) in list(self.broken.items()):
            if self.world.clock < since + WEEK:
                self.world.change(number, **fields)
                del self.broken[number]
        for record in self.readable():
            original = self.blurred.get(record["id"], {})
            if fields := {name: original[name] for name in blurred_fields(record) if is_open(record, self.world.clock)}:
                self.world.change(record["id"], **fields)

    def vanish(self, where: float, loaded: list[dict[str, Any]]) -> None:
        """Removes a settled pickup from the list. Only a pickup whose present state was loaded can be expected."""
        may_vanish = [r for r in self.readable() if not is_open(r, self.world.clock) and row_of(r) in loaded]
        if may_vanish:
            number = may_vanish[int(where * len(may_vanish))]["id"]
            self.world.remove(number)
            self.gone.add(number)

    def readable(self) -> list[Record]:
        return [record for record in self.world.records() if record["id"] not in self.broken]

    def table(self, before: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns the rows that the table must hold now. A broken or vanished pickup keeps its previous row."""
        kept = [row for row in before if row["id"] in self.broken.keys() | self.gone]
        return sorted([*map(row_of, self.readable()), *kept], key=lambda row: row["id"])

    def watched(self, *, succeeded: bool, run_id: str | None = None) -> None:
        """Records what the API showed to a run."""
        unreadable = [on_the_wire(record) for record in self.world.records() if record["id"] in self.broken]
        self.seen.add(map(row_of, self.readable()), unreadable, succeeded=succeeded, run_id=run_id)
