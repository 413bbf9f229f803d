"""An account whose list is long and no longer changes, and where a run that read some of it stands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.worlds import settled


def as_at_first(api: Sandbox, world: World) -> None:
    """The sandbox serves what that world holds, at the address where it always was: a stored link leads to it still."""
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
    """The same for all tests here, so that a link which a copied project holds leads to it."""
    assert one_api.world is world
    return one_api


@pytest.fixture
def world(one_api: Sandbox) -> World:
    """100 settled pickups: 20 pages of five."""
    as_at_first(one_api, settled(100))
    return one_api.world
