"""An account whose list is long and no longer changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sources.sendcloud.sandbox import World

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def settled(pickups: int) -> World:
    """One a day until three weeks ago, all settled."""
    made = World(clock=NOW)
    for number in range(pickups):
        made.book(created_at=NOW - timedelta(days=20 + pickups - number), pickup_status="Failed")
    return made
