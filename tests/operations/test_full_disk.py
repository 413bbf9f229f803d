"""Tests a disk that is full at the start of a run or fills up during it.

The run prints one line and damages nothing, and the next run catches up.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.cases import quick
from tests.support.installation import REPOSITORY, Installation, as_rows, environment
from tests.support.invariants import differences, published_pickups, tables_of
from tests.support.templates import Templates
from tests.support.worlds import thousand

PROGRESS = ("reading:", "loading:", "publishing:")


def run_on_full_disk(installation: Installation, api: Sandbox, phase: str, limit: int) -> tuple[int, list[str]]:
    """Limits every file to `limit` bytes from this phase of a run on. Returns the exit code and the error lines."""
    running = installation.begin("full", phase, str(limit), "run", api=api, module="tests.support.instants")
    _, said = running.communicate(timeout=60)
    return running.returncode, [line for line in said.splitlines() if not any(word in line for word in PROGRESS)]


@pytest.fixture
def world() -> World:
    return thousand()


@pytest.fixture
def loaded(installation: Installation, templates: Templates) -> Installation:
    return installation.as_in(templates.loaded("thousand"))


@pytest.mark.parametrize("phase", quick(["extract", "normalise", "load"]))
def test_next_run_recovers_if_the_disk_fills_up_during_the_first_load(
    installation: Installation, world: World, api: Sandbox, phase: str
) -> None:
    code, said = run_on_full_disk(installation, api, phase, limit=8_192)
    assert (code, len(said)) == (6, 1), said
    assert "The destination failed" in said[0]
    assert published_pickups(installation) is None

    installation.run(api)

    assert differences(installation, world) == []


@pytest.mark.parametrize(
    ("phase", "limit"),
    quick(
        [
            ("extract", 8_192),
            ("normalise", 8_192),
            ("record states", 8_192),
            ("load", 8_192),
            ("finalize", 8_192),
            ("publish", 8_192),
            ("last receipt", 64),
        ],
        only=(3,),
    ),
)
def test_next_run_recovers_if_the_disk_fills_up_during_a_later_run(
    loaded: Installation, world: World, api: Sandbox, phase: str, limit: int
) -> None:
    before = as_rows(world.records())
    world.advance(days=20)

    code, said = run_on_full_disk(loaded, api, phase, limit)
    assert (code, len(said)) == (6, 1), said
    assert "The destination failed" in said[0]
    assert published_pickups(loaded) == (as_rows(world.records()) if phase == "last receipt" else before)

    loaded.run(api)

    assert differences(loaded, world) == []


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["extract", "record states", "load", "finalize", "publish", "last receipt"])
def test_a_warehouse_that_cannot_grow_is_never_published_in_part(
    loaded: Installation, world: World, api: Sandbox, phase: str
) -> None:
    """The new rows fit into DuckDB's log but not into its file, so the run may succeed or fail.

    Readers see either all old rows or all new rows.
    """
    before = as_rows(world.records())
    world.advance(days=20)

    code, _ = run_on_full_disk(loaded, api, phase, limit=0)
    if code == 0 or phase == "last receipt":
        assert tables_of(loaded.published) == tables_of(loaded.warehouse)
        assert published_pickups(loaded) == as_rows(world.records())
    else:
        assert code == 6
        assert published_pickups(loaded) == before

    loaded.run(api)

    assert differences(loaded, world) == []


@pytest.mark.slow
def test_a_first_run_on_a_full_disk_leaves_nothing_that_blocks_the_next_run(
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
