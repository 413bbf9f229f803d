"""Accounts that several files of tests begin with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sources.sendcloud.sandbox import World

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)  # a Friday noon; the sandbox's clock, not this machine's


def ten(world: World | None = None) -> World:
    """Ten pickups, all windows over; of them dhl has cancelled 1 of 4, ups 1 of 6."""
    world = world or World(clock=NOW)
    for number in range(10):
        pickup = world.book(created_at=NOW - timedelta(days=20, hours=-number), carrier="dhl" if number < 4 else "ups")
        if number in (0, 9):
            world.cancel(pickup, at=NOW - timedelta(days=19))
    return world


def twenty() -> World:
    """20 pickups of the last week, which may all still change."""
    world = World(clock=NOW)
    for number in range(20):
        world.book(created_at=NOW - timedelta(hours=8 * (20 - number)))
    return world


def fifty() -> World:
    """50 pickups of the last four weeks; the newest 20 may still change."""
    world = World(clock=NOW)
    for number in range(50):
        world.book(created_at=NOW - timedelta(hours=13 * (50 - number)))
    return world


def thousand() -> World:
    """1,000 pickups as they stood 20 days before the last of them was booked."""
    world = World.seeded(1_000, until=NOW)
    world.clock = NOW - timedelta(days=20)
    return world


def settled(pickups: int = 100) -> World:
    """One a day until three weeks ago, all settled."""
    world = World(clock=NOW)
    for number in range(pickups):
        world.book(created_at=NOW - timedelta(days=20 + pickups - number), pickup_status="Failed")
    return world


def a_year_of_settled_pickups(world: World, count: int) -> None:
    """Booked one a day, the last of them 30 days ago; their windows are long over."""
    for number in range(count, 0, -1):
        world.book(created_at=NOW - timedelta(days=30 + number))
