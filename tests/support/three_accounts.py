"""Serves three accounts with colliding pickup ids, and provides an installation that has loaded them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines import run_accounts
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.accounts import configure, serving
from tests.support.installation import Installation, made_once
from tests.support.worlds import NOW

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "several-accounts.md").read_text()
COUNT = "select account, count(*) as n from sendcloud.pickups group by account"
NAMES = ("north", "south", "east")


def three_worlds() -> dict[str, World]:
    worlds = {name: World(clock=NOW) for name in NAMES}
    for number, (name, world) in enumerate(worlds.items()):
        for day in range(3 + number):
            world.book(created_at=NOW - timedelta(days=20 - day), carrier=f"{name}_post")
    return worlds


@pytest.fixture
def apis() -> Iterator[dict[str, Sandbox]]:
    """Serves three accounts with three, four and five pickups, whose ids collide."""
    with serving(three_worlds()) as apis:
        yield apis


@pytest.fixture(scope="module")
def loaded_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with made_once(tmp_path_factory.mktemp("loaded")) as installation, serving(three_worlds()) as apis:
        configure(installation, apis)
        run_accounts(installation.folder)
    return installation.folder


@pytest.fixture
def loaded(installation: Installation, loaded_once: Path) -> Installation:
    """Returns an installation that has loaded all three accounts."""
    return installation.as_in(loaded_once)
