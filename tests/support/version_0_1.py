"""Describes the data that version 0.1.0 (commit 174e15f) left in DuckDB, PostgreSQL and a lake, and its account.

The files were created with that commit's code and the world below. One day after a first run, another run was killed
before its load. A sweep then found the late change to 8_000_003 and the unknown carrier.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from sources.sendcloud.sandbox import World
from tests.support.worlds import NOW

DATA = Path(__file__).parents[1] / "data"
OLD_NAMES = ("reached", "first_missed", "check_values", "discarded_to")
NEW_NAMES = ("oldest_read_at", "missed_ids", "unexpected_values", "discarded_dir")
# the old setting, its value, and the name that the message must contain
RENAMED = {
    "receipt_days": ("KEEP__RECEIPT_DAYS", "400", "[retention] receipt_days"),
    "bookkeeping_days": ("KEEP__BOOKKEEPING_DAYS", "60", "[retention] bookkeeping_days"),
    "free_share": ("KEEP__FREE_SHARE", "0.4", "[retention] free_share"),
    "destination": ("PIPELINE__DESTINATION", "filesystem", "delta"),
}


def world_of_0_1() -> World:
    """Returns the account as the last run of version 0.1.0 read it."""
    world = World(clock=NOW)
    for number in range(20):
        opens = NOW - timedelta(days=39 - number)
        world.book(
            id=8_000_000 + number,
            created_at=NOW - timedelta(days=40 - number),
            pickup_from=opens,
            pickup_until=opens + timedelta(days=0.2),
            carrier=("dhl", "ups", "dpd")[number % 3],
            **({"pickup_status": "Failed"} if number < 10 else {}),
        )
    world.book(id=8_000_100, carrier="brandnew", created_at=NOW - timedelta(hours=3))
    world.advance(days=1)
    world.change(8_000_003, pickup_status="Cancelled")
    world.book(id=8_000_101)
    return world
