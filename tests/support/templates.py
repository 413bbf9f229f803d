"""Creates projects once and lets every test copy them, because a first load takes half a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from sources.sendcloud.sandbox import World
from tests.support import worlds
from tests.support.destinations import DESTINATION
from tests.support.installation import first_load

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
    """Projects by name. The first worker that needs a project creates it, and the other workers wait."""

    def __init__(self, factory: pytest.TempPathFactory, worker: str) -> None:
        base = factory.getbasetemp()
        # the databases of a server belong to one worker, but all workers can share files
        self._folder = base if worker == "master" or DESTINATION != "duckdb" else base.parent

    def loaded(self, kind: str) -> Path:
        """Returns a project that has completed its first load of the `kind` world."""
        world, settings = KINDS[kind]
        return self.made(kind, lambda folder: first_load(folder, world(), **settings))

    def made(self, name: str, make: Callable[[Path], object]) -> Path:
        """Returns a project that `make` has filled. Tests must copy it with `Installation.as_in`."""
        folder = self._folder / f"template-{name}"
        done = folder.with_suffix(".made")
        with FileLock(folder.with_suffix(".lock")):
            if not done.exists():
                folder.mkdir()
                make(folder)
                done.touch()
        return folder
