"""A disk that is full, at the start or in the middle of a run: one line, nothing broken, the next run catches up."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.installation import REPOSITORY, Installation, as_rows, environment, first_load
from tests.truth import differences, published_pickups, tables_of

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PROGRESS = ("reading:", "loading:", "publishing:")


def on_a_full_disk(installation: Installation, api: Sandbox, phase: str, limit: int) -> tuple[int, list[str]]:
    """A run for which, from that phase on, no file may grow beyond so many bytes: its exit code, what it said."""
    running = installation.begin("full", phase, str(limit), "run", api=api, module="tests.instants")
    _, said = running.communicate(timeout=60)
    return running.returncode, [line for line in said.splitlines() if not line.startswith(PROGRESS)]


def twenty_days_ago() -> World:
    """As it was 20 days before the last of its 1,000 bookings."""
    world = World.seeded(1_000, until=NOW)
    world.clock = NOW - timedelta(days=20)
    return world


@pytest.fixture
def world() -> World:
    return twenty_days_ago()


@pytest.fixture(scope="module")
def loaded_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose first load is done."""
    return first_load(tmp_path_factory.mktemp("loaded"), twenty_days_ago())


@pytest.fixture
def loaded(installation: Installation, loaded_once: Path) -> Installation:
    return installation.as_in(loaded_once)


@pytest.mark.parametrize("phase", ["extract", "normalise", "load"])
def test_a_disk_that_fills_up_in_the_first_load(
    installation: Installation, world: World, api: Sandbox, phase: str
) -> None:
    code, said = on_a_full_disk(installation, api, phase, limit=8_192)
    assert (code, len(said)) == (6, 1), said
    assert "The destination failed" in said[0]
    assert published_pickups(installation) is None

    installation.run(api)

    assert differences(installation, world) == []


@pytest.mark.parametrize(
    ("phase", "limit"),
    [
        ("extract", 8_192),
        ("normalise", 8_192),
        ("record states", 8_192),
        ("load", 8_192),
        ("conclude", 8_192),
        ("publish", 8_192),
        ("last receipt", 64),
    ],
)
def test_a_disk_that_fills_up_when_there_was_something_before(
    loaded: Installation, world: World, api: Sandbox, phase: str, limit: int
) -> None:
    before = as_rows(world.records())
    world.advance(days=20)

    code, said = on_a_full_disk(loaded, api, phase, limit)
    assert (code, len(said)) == (6, 1), said
    assert "The destination failed" in said[0]
    assert published_pickups(loaded) == (as_rows(world.records()) if phase == "last receipt" else before)

    loaded.run(api)

    assert differences(loaded, world) == []


@pytest.mark.parametrize("phase", ["extract", "record states", "load", "conclude", "publish", "last receipt"])
def test_a_warehouse_that_cannot_grow_is_never_published_in_part(
    loaded: Installation, world: World, api: Sandbox, phase: str
) -> None:
    """What is new fits into duckdb's log, not into the file: the run may succeed or not, readers see old or new."""
    before = as_rows(world.records())
    world.advance(days=20)

    code, _ = on_a_full_disk(loaded, api, phase, limit=0)
    if code == 0 or phase == "last receipt":
        assert tables_of(loaded.published) == tables_of(loaded.warehouse)
        assert published_pickups(loaded) == as_rows(world.records())
    else:
        assert code == 6
        assert published_pickups(loaded) == before

    loaded.run(api)

    assert differences(loaded, world) == []


def test_a_disk_that_was_full_at_the_very_first_start_leaves_nothing_in_the_way(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    words = f"ulimit -f 8; exec {sys.executable} -m pipelines run"
    settings = {**environment(api), "DLT_PROJECT_DIR": str(installation.folder), "PYTHONPATH": str(REPOSITORY)}
    full = subprocess.run(["bash", "-c", words], env={**os.environ, **settings}, capture_output=True, text=True)
    assert full.returncode == 6, full.stderr
    assert "Traceback" not in full.stderr

    installation.run(api)

    assert installation.pickups() == as_rows(world.records())
