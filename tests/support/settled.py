"""Serves an account with a long list that no longer changes, for runs that resume in the middle of the list."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.worlds import settled


def as_at_first(api: Sandbox, world: World) -> None:
    """Resets the sandbox to the contents of `world`. Its address does not change, so stored links still work."""
    api.heal()
    api.on_request = None
    api.order = "descending"
    held = {name: value for name, value in vars(world).items() if name not in ("_lock", "version")}
    vars(api.world).update(held)
    api.world.version += 1


@pytest.fixture(scope="module")
def one_api() -> Iterator[Sandbox]:
    with serve(settled(100)) as api:
        yield api


@pytest.fixture
def api(one_api: Sandbox, world: World) -> Sandbox:
    """Returns one sandbox for all tests in a module, so that the stored link of a copied project works."""
    assert one_api.world is world
    return one_api


@pytest.fixture
def world(one_api: Sandbox) -> World:
    """Returns a world of 100 settled pickups, which fill 20 pages of five."""
    as_at_first(one_api, settled(100))
    return one_api.world
