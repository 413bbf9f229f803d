"""Tests that the time changes the findings of one check only, and that a quick run knows when."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import duckdb

from pipelines.bookkeeping.findings import TIMED, due_times
from pipelines.destinations.duckdb.session import DuckDBSession
from tests.numbers.test_models_checks import WRONG_ROWS, findings
from tests.support.by_hand import cancelled, pickup, run

# before and after the booking, the window and the settling of the everyday pickup, and long after it
TIMES = [
    f"{day} 12:00Z" for day in ("2026-03-05", "2026-03-07", "2026-03-10", "2026-03-11", "2026-03-18", "2027-04-01")
]
Warehouse = Callable[..., duckdb.DuckDBPyConnection]


def odd_pickups() -> list[dict[str, Any]]:
    """Returns every pickup that a check reports, and some without a tracking number."""
    lone = [row for rows in WRONG_ROWS.values() for row in rows if row["created_at"]]
    days = [
        pickup(tracking_number=None, pickup_from=f"2026-03-{day} 09:00Z", pickup_until=None) for day in ("09", "16")
    ]
    return [*lone, *days, cancelled(tracking_number=None), pickup(tracking_number=" ", pickup_status="Announcing")]


def test_the_time_changes_the_findings_of_no_other_check(warehouse: Warehouse) -> None:
    rows = odd_pickups()
    found = [findings(warehouse(*rows, runs=[run(observed_at=at)])) for at in TIMES]

    assert any(before[TIMED] != after[TIMED] for before, after in pairwise(found))
    for each in found:
        del each[TIMED]
    assert all(before == after for before, after in pairwise(found))
    assert sum(map(bool, found[0].values())) > 6


def test_a_quick_run_knows_when_the_next_pickup_without_a_tracking_number_counts(warehouse: Warehouse) -> None:
    """Of three such pickups, one is cancelled. The window of the next one opens on 16 March, and has no end."""
    con = warehouse(*odd_pickups(), runs=[run(observed_at="2026-03-11 00:00Z")])

    assert due_times(DuckDBSession(con)) == {"shop": datetime(2026, 3, 16, 9, tzinfo=UTC)}
