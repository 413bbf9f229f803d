"""Changes an account between runs, and tracks the rows that runs must have found.

The Hypothesis tests and the soak test use it.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from sources.sendcloud.sandbox import Record, World
from tests.support.installation import as_row, on_the_wire, utc
from tests.support.invariants import State, state_of
from tests.support.worlds import NOW

WEEK = timedelta(days=7)
WAYS_TO_BREAK: list[Record] = [
    {"carrier": None},
    {"pickup_status": None},
    {"pickup_from": "tomorrow"},
    {"created_at": "2026-11-20T12:00:00"},  # no offset, so the instant is unknown
]


def is_open(record: Record, now: datetime) -> bool:
    """Returns whether a pickup is open: its status is not final, and its latest time is less than seven days ago.

    The rule was written by hand from docs/explanation/reading.md.
    """
    last = max(utc(record[name]) for name in ("created_at", "pickup_from", "pickup_until") if record[name])
    return record["pickup_status"] not in ("Cancelled", "Failed") and now < last + WEEK


class Account:
    """A world that undergoes only the changes that a real account can. Settled pickups do not change."""

    def __init__(self) -> None:
        self.world = World(clock=NOW)
        self.broken: dict[int, tuple[datetime, Record]] = {}  # the time of the change, and the original fields
        self.must_be_kept: list[Record] = []  # broken records that a successful run read
        self.may_be_kept: list[Record] = []  # broken records that a failed run may have read
        self.surely_seen: dict[int, list[State]] = {}
        self.shown: dict[int, list[State]] = {}

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
        elif what == "move":
            moved = {name: utc(pickup[name]) + timedelta(days=2) for name in ("pickup_from", "pickup_until")}
            self.world.change(pickup["id"], **moved)
        elif what == "break":
            fields = WAYS_TO_BREAK[int(where * 100) % len(WAYS_TO_BREAK)]
            self.broken[pickup["id"]] = self.world.clock, {name: pickup[name] for name in fields}
            self.world.change(pickup["id"], **fields)
        else:
            (self.world.cancel if what == "cancel" else self.world.fail)(pickup["id"])

    def settle_all(self) -> None:
        """Cancels every readable open pickup, so that only broken pickups still hold back the frontier."""
        self.world.advance(minutes=7)
        for pickup in self.readable():
            if is_open(pickup, self.world.clock):
                self.world.cancel(pickup["id"])

    def mend(self) -> None:
        """Repairs the pickups that broke less than a week ago. Runs need not find later repairs."""
        self.world.advance(minutes=7)
        for number, (since, fields) in list(self.broken.items()):
            if self.world.clock < since + WEEK:
                self.world.change(number, **fields)
                del self.broken[number]

    def readable(self) -> list[Record]:
        return [record for record in self.world.records() if record["id"] not in self.broken]

    def table(self, before: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns the rows that the table must hold now. A broken pickup keeps its previous row."""
        kept = [row for row in before if row["id"] in self.broken]
        return sorted([*map(as_row, self.readable()), *kept], key=lambda row: row["id"])

    def watched(self, *, succeeded: bool) -> None:
        """Records the states and broken records that the API showed to a run."""
        unreadable = [on_the_wire(record) for record in self.world.records() if record["id"] in self.broken]
        (self.must_be_kept if succeeded else self.may_be_kept).extend(unreadable)
        for row in map(as_row, self.readable()):
            for lists in (self.shown, self.surely_seen) if succeeded else (self.shown,):
                states = lists.setdefault(row["id"], [])
                if states[-1:] != [state_of(row)]:
                    states.append(state_of(row))

    def wrong_in_quarantine(self, kept: list[str]) -> list[str]:
        """Describes records (JSON) that are missing from quarantine, were never shown to a run, or are there twice."""
        told = sorted(map(_text, map(json.loads, kept)))
        must = set(map(_text, self.must_be_kept))
        may = must | set(map(_text, self.may_be_kept))
        wrong = [f"not in quarantine: {text}" for text in must - set(told)]
        wrong += [f"in quarantine, never shown: {text}" for text in set(told) - may]
        return wrong + (["in quarantine twice"] if len(set(told)) < len(told) else [])

    def wrong_in_history(self, told: dict[int, list[State]]) -> list[str]:
        """Describes wrong states in the history.

        The history must hold every state that a successful run saw, and no state that was never shown to a run.
        """
        wrong = []
        for number, states in told.items():
            following = iter(states)
            if not all(state in following for state in self.surely_seen.get(number, [])):
                wrong.append(f"history of {number}: {states}, but seen were {self.surely_seen[number]}")
            if not set(states) <= set(self.shown.get(number, [])):
                wrong.append(f"history of {number}: {states}, but shown were {self.shown.get(number)}")
        return wrong


def _text(record: Record) -> str:
    return json.dumps(record, sort_keys=True)
