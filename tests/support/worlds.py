"""Creates the accounts that several test files start with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sources.sendcloud.sandbox import World

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)  # Friday noon, by the sandbox's clock, not the local one


def ten(world: World | None = None) -> World:
    """Returns ten pickups whose windows have ended. 1 of 4 dhl pickups and 1 of 6 ups pickups are cancelled."""
    world = world or World(clock=NOW)
    for number in range(10):
        pickup = world.book(created_at=NOW - timedelta(days=20, hours=-number), carrier="dhl" if number < 4 else "ups")
        if number in (0, 9):
            world.cancel(pickup, at=NOW - timedelta(days=19))
    return world


def twenty() -> World:
    """Returns 20 pickups from the last week, all of them open."""
    world = World(clock=NOW)
    for number in range(20):
        world.book(created_at=NOW - timedelta(hours=8 * (20 - number)))
    return world


def fifty() -> World:
    """Returns 50 pickups from the last four weeks. The newest 17 are open."""
    world = World(clock=NOW)
    for number in range(50):
        world.book(created_at=NOW - timedelta(hours=13 * (50 - number)))
    return world


def thousand() -> World:
    """Returns a world of 1,000 pickups, with the clock 20 days before the last booking."""
    world = World.seeded(1_000, until=NOW)
    world.clock = NOW - timedelta(days=20)
    return world


def settled(pickups: int = 100) -> World:
    """Returns settled pickups, booked at one a day until three weeks ago."""
    world = World(clock=NOW)
    for number in range(pickups):
        world.book(created_at=NOW - timedelta(days=20 + pickups - number), pickup_status="Failed")
    return world


def a_year_of_settled_pickups(world: World, count: int) -> None:
    """Books `count` pickups, one a day, the last one 31 days ago. Their windows ended long ago."""
    for number in range(count, 0, -1):
        world.book(created_at=NOW - timedelta(days=30 + number))
