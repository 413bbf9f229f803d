"""An account whose list is long and no longer changes, and where a run that read some of it stands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sources.sendcloud.sandbox import Sandbox, World

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def settled(pickups: int) -> World:
    """One a day until three weeks ago, all settled."""
    made = World(clock=NOW)
    for number in range(pickups):
        made.book(created_at=NOW - timedelta(days=20 + pickups - number), pickup_status="Failed")
    return made


def as_at_first(api: Sandbox, world: World) -> None:
    """The sandbox serves what that world holds, at the address where it always was: a stored link leads to it still."""
    api.heal()
    api.on_request = None
    api.order = "descending"
    held = {name: value for name, value in vars(world).items() if name not in ("_lock", "version")}
    vars(api.world).update(held)
    api.world.version += 1
