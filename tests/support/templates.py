"""Projects that are made once and copied by every test that goes on from them: a first load costs half a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from sources.sendcloud.sandbox import World, serve
from tests.support import worlds
from tests.support.destinations import DESTINATION
from tests.support.installation import made_once

PAGES_OF_TEN = {"page_size": 10, "pages_per_package": 2}
PAGES_OF_FIVE = {"page_size": 5, "pages_per_package": 4}
KINDS: dict[str, tuple[Callable[[], World], dict[str, Any]]] = {
    "ten": (worlds.ten, {}),
    "twenty": (worlds.twenty, PAGES_OF_TEN),
    "fifty": (worlds.fifty, PAGES_OF_TEN),
    "fifty-in-one-package": (worlds.fifty, {"page_size": 10}),
    "thousand": (worlds.thousand, {}),
    "settled": (worlds.settled, PAGES_OF_FIVE),
}


class Templates:
    """Projects by name. The worker that asks first makes one; the others wait for it."""

    def __init__(self, factory: pytest.TempPathFactory, worker: str) -> None:
        base = factory.getbasetemp()
        # a server's databases are one worker's own; files can be everybody's
        self._folder = base if worker == "master" or DESTINATION != "duckdb" else base.parent

    def loaded(self, kind: str) -> Path:
        """A project whose first load of that world is done."""
        world, settings = KINDS[kind]
        return self.made(kind, lambda folder: first_load(folder, world(), **settings))

    def made(self, name: str, make: Callable[[Path], object]) -> Path:
        """A project that `make` has filled; whoever gets it copies it (`Installation.as_in`)."""
        folder = self._folder / f"template-{name}"
        done = folder.with_suffix(".made")
        with FileLock(folder.with_suffix(".lock")):
            if not done.exists():
                folder.mkdir()
                make(folder)
                done.touch()
        return folder


def first_load(folder: Path, world: World, **settings: Any) -> None:
    with made_once(folder) as installation, serve(world) as api:
        installation.run(api, **settings)
