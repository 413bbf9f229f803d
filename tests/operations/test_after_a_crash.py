"""A run may die at any instant: the next one puts it right by itself, with nothing lost and nothing doubled."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path

import dlt
import pytest

from pipelines.errors import DestinationFailed
from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.cases import quick
from tests.support.installation import Installation, as_rows
from tests.support.invariants import differences
from tests.support.worlds import NOW

pytestmark = pytest.mark.v3


def die_while(what: str, installation: Installation, api: Sandbox, **settings: object) -> None:
    """One run whose dlt gives up in the middle of `normalize` or `load`, its package left behind."""
    with installation.monkeypatch.context() as patched:
        patched.setattr(dlt.Pipeline, what, lambda *_args, **_named: (_ for _ in ()).throw(OSError("power cut")))
        with pytest.raises(DestinationFailed, match="power cut"):
            installation.run(api, **settings)


def killed_after(delay: float, installation: Installation, api: Sandbox, **settings: object) -> None:
    """A run in a process of its own, killed so many seconds after its first request."""
    reading = threading.Event()
    api.on_request = lambda _api, _number: reading.set()
    running = installation.begin("run", api=api, **settings)
    assert reading.wait(30)
    time.sleep(delay)
    running.kill()
    running.communicate()


@pytest.mark.slow
def test_killed_at_any_instant_the_next_run_makes_the_table_equal_the_world(installation: Installation) -> None:
    """While reading, normalising, loading, publishing, or when it was done already."""
    world = World.seeded(3_000, until=NOW)
    world.clock = NOW - timedelta(days=20)
    with serve(world) as api:
        for delay in (0.02, 0.3, 0.5):
            killed_after(delay, installation, api)
            world.advance(days=3)
        installation.run(api)

    assert differences(installation, world) == []


@pytest.mark.slow
def test_killed_again_and_again_in_its_first_load_it_comes_to_the_end(installation: Installation) -> None:
    """Six pages of 500, each a package: every attempt that gets a package loaded leaves less to do."""
    world = World.seeded(3_000, until=NOW)
    with serve(world) as api:
        for delay in (0.3, 0.9):
            killed_after(delay, installation, api, pages_per_package=1)
        installation.run(api, pages_per_package=1)

    assert differences(installation, world) == []


@pytest.mark.parametrize("phase", quick(["normalize", "load"]))
def test_a_package_that_a_dead_run_left_is_read_again_and_told(
    installation: Installation, world: World, api: Sandbox, phase: str
) -> None:
    world.book()
    die_while(phase, installation, api)

    receipt = installation.run(api)

    assert installation.pickups() == as_rows(world.records())
    assert (receipt.discarded_packages, receipt.rows_new) == (1, 1)
    assert "1 load package of a run that died: set aside" in " ".join(receipt.remarks())
    assert receipt.discarded_to
    assert list(Path(receipt.discarded_to).rglob("pickups.*.parquet"))
    assert installation.run(api).discarded_packages == 0


def test_a_package_half_moved_by_a_killed_run_blocks_nothing(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """dlt 1.31 killed while normalising: the package is in `normalized` and still in `extracted`, and every later
    attempt to load it fails with 'Directory not empty'."""
    world.book()
    die_while("load", installation, api)
    (work,) = (installation.folder / "data" / ".dlt-pipelines").glob("*/sendcloud_pickups_default")
    (package,) = (work / "load" / "normalized").iterdir()
    shutil.copytree(package, work / "normalize" / "extracted" / package.name)

    installation.run(api)

    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_a_dead_runs_package_does_not_land_in_another_warehouse(
    installation: Installation, world: World, api: Sandbox
) -> None:
    for _ in range(5):
        world.book()
    die_while("load", installation, api)
    other = World(clock=NOW)
    other.book(carrier="ups")
    installation.monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", "data/south.duckdb")

    with serve(other) as other_api:
        installation.run(other_api)

    assert installation.pickups() == as_rows(other.records())


@pytest.mark.slow
def test_a_warehouse_deleted_after_a_crash_is_read_from_the_start(
    installation: Installation, world: World, api: Sandbox
) -> None:
    for number in range(40):
        world.book(created_at=NOW - timedelta(days=60 - number), pickup_status="Failed")
    installation.run(api, page_size=5)
    world.book()
    die_while("load", installation, api, page_size=5)
    installation.warehouse.unlink()

    installation.run(api, page_size=5)

    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_two_projects_that_share_dlts_data_folder_keep_their_working_folders_apart(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    installation.monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "shared"))
    neighbour = Installation(tmp_path / "neighbour", installation.monkeypatch)
    (neighbour.folder / ".dlt").mkdir(parents=True)
    world.book()
    installation.run(api)
    neighbour.run(api)

    assert len(list((tmp_path / "shared" / "pipelines").iterdir())) == 2
    assert not (installation.folder / "data" / ".dlt-pipelines").exists()


def test_an_interrupted_run_says_so_and_the_next_one_goes_on(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    asked, go_on = threading.Event(), threading.Event()

    def hold(_api: Sandbox, number: int) -> None:
        if number == 1:
            asked.set()
            go_on.wait(20)

    api.on_request = hold
    running = installation.begin("run", api=api)
    assert asked.wait(30)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    go_on.set()

    assert running.returncode == 130
    assert [line for line in said.splitlines() if not line.startswith("reading")] == [
        "pickups: interrupted. What was loaded before is as it was; the next run reads what this one missed."
    ]
    installation.run(api)
    assert installation.pickups() == as_rows(world.records())
