"""Tracks what the API has shown to runs, and finds what the tables should have kept of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sources.sendcloud.sandbox import Record
from tests.support.invariants import State, state_of


class Seen:
    """The states, broken records and receipts of the runs so far, as far as a file tells of them."""

    def __init__(self) -> None:
        self.must_be_kept: list[Record] = []  # broken records that a successful run read
        self.may_be_kept: list[Record] = []  # broken records that a failed run may have read
        self.receipts: list[str] = []  # the ids of successful runs
        self.surely_seen: dict[int, list[State]] = {}
        self.shown: dict[int, list[State]] = {}

    def add(
        self, rows: Iterable[dict[str, Any]], unreadable: list[Record], *, succeeded: bool, run_id: str | None
    ) -> None:
        """Records the rows and broken records that the API showed to a run. A failed run need not have read them."""
        (self.must_be_kept if succeeded else self.may_be_kept).extend(unreadable)
        self.receipts += [run_id] if run_id else []
        for row in rows:
            for lists in (self.shown, self.surely_seen) if succeeded else (self.shown,):
                states = lists.setdefault(row["id"], [])
                if states[-1:] != [state_of(row)]:
                    states.append(state_of(row))

    def forget(self) -> None:
        """Forgets what runs have seen, because no file tells any longer. A new first run may still see it all."""
        self.may_be_kept += self.must_be_kept
        self.must_be_kept, self.receipts, self.surely_seen = [], [], {}

    def wrong_in_quarantine(self, kept: list[str]) -> list[str]:
        """Describes records (JSON) that are missing from quarantine, were never shown to a run, or are there twice."""
        told = sorted(map(_text, map(json.loads, kept)))
        must = set(map(_text, self.must_be_kept))
        may = must | set(map(_text, self.may_be_kept))
        wrong = [f"not in quarantine: {text}" for text in must - set(told)]
        wrong += [f"in quarantine, never shown: {text}" for text in set(told) - may]
        return wrong + (["in quarantine twice"] if len(set(told)) < len(told) else [])

    def wrong_in_receipts(self, told: list[str]) -> list[str]:
        """Describes receipts of successful runs that are missing, and receipts that are there twice."""
        wrong = [f"no receipt of run {run_id}" for run_id in set(self.receipts) - set(told)]
        return wrong + (["a receipt twice"] if len(set(told)) < len(told) else [])

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
