"""Tests that a run may crash at any instant: the next run recovers by itself and loses or duplicates no row."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path

import dlt
import pytest

from pipelines.errors import DestinationError
from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.cases import quick
from tests.support.installation import Installation, as_rows
from tests.support.invariants import differences
from tests.support.worlds import NOW

pytestmark = pytest.mark.v3


def crash_during(step: str, installation: Installation, api: Sandbox, **settings: object) -> None:
    """Starts a run whose dlt fails in `normalize` or `load`, so that its load package stays behind."""
    with installation.monkeypatch.context() as patched:
        patched.setattr(dlt.Pipeline, step, lambda *_args, **_named: (_ for _ in ()).throw(OSError("power cut")))
        with pytest.raises(DestinationError, match="power cut"):
            installation.run(api, **settings)


def kill_after(delay: float, installation: Installation, api: Sandbox, **settings: object) -> None:
    """Starts a run in its own process, and kills it `delay` seconds after its first request."""
    reading = threading.Event()
    api.on_request = lambda _api, _number: reading.set()
    running = installation.begin("run", api=api, **settings)
    assert reading.wait(30)
    time.sleep(delay)
    running.kill()
    running.communicate()


@pytest.mark.slow
def test_next_run_recovers_after_a_kill_at_any_instant(installation: Installation) -> None:
    """The run is killed while it reads, normalizes, loads or publishes, or after it has finished."""
    world = World.seeded(3_000, until=NOW)
    world.clock = NOW - timedelta(days=20)
    with serve(world) as api:
        for delay in (0.02, 0.3, 0.5):
            kill_after(delay, installation, api)
            world.advance(days=3)
        installation.run(api)

    assert differences(installation, world) == []


@pytest.mark.slow
def test_first_load_completes_after_repeated_kills(installation: Installation) -> None:
    """Each of the six pages of 500 is a load package, so every attempt that loads one leaves fewer pages."""
    world = World.seeded(3_000, until=NOW)
    with serve(world) as api:
        for delay in (0.3, 0.9):
            kill_after(delay, installation, api, pages_per_package=1)
        installation.run(api, pages_per_package=1)

    assert differences(installation, world) == []


@pytest.mark.parametrize("phase", quick(["normalize", "load"]))
def test_pickups_in_a_crashed_runs_load_package_are_read_again_and_the_receipt_says_so(
    installation: Installation, world: World, api: Sandbox, phase: str
) -> None:
    world.book()
    crash_during(phase, installation, api)

    receipt = installation.run(api)

    assert installation.pickups() == as_rows(world.records())
    assert (receipt.discarded_packages, receipt.rows_new) == (1, 1)
    assert "set aside 1 load package from a crashed run" in " ".join(receipt.remarks())
    assert receipt.discarded_dir
    assert list(Path(receipt.discarded_dir).rglob("pickups.*.parquet"))
    assert installation.run(api).discarded_packages == 0


def test_load_package_half_moved_by_a_killed_run_does_not_block_the_next_run(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """If dlt 1.31 is killed while it normalizes, the package is in `normalized` and still in `extracted`.

    Every later attempt to load the package then fails with 'Directory not empty'.
    """
    world.book()
    crash_during("load", installation, api)
    (work,) = (installation.folder / "data" / ".dlt-pipelines").glob("*/sendcloud_pickups_default")
    (package,) = (work / "load" / "normalized").iterdir()
    shutil.copytree(package, work / "normalize" / "extracted" / package.name)

    installation.run(api)

    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_load_package_of_a_crashed_run_is_not_loaded_into_another_warehouse(
    installation: Installation, world: World, api: Sandbox
) -> None:
    for _ in range(5):
        world.book()
    crash_during("load", installation, api)
    other = World(clock=NOW)
    other.book(carrier="ups")
    installation.monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", "data/south.duckdb")

    with serve(other) as other_api:
        installation.run(other_api)

    assert installation.pickups() == as_rows(other.records())


@pytest.mark.slow
def test_history_is_read_from_the_start_if_the_warehouse_is_deleted_after_a_crash(
    installation: Installation, world: World, api: Sandbox
) -> None:
    for number in range(40):
        world.book(created_at=NOW - timedelta(days=60 - number), pickup_status="Failed")
    installation.run(api, page_size=5)
    world.book()
    crash_during("load", installation, api, page_size=5)
    installation.warehouse.unlink()

    installation.run(api, page_size=5)

    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_projects_that_share_dlts_data_folder_use_separate_working_folders(
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


def test_interrupted_run_reports_the_interruption_and_the_next_run_catches_up(
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
    assert [line for line in said.splitlines() if "Z reading: " not in line] == [
        "pickups: interrupted. Previously loaded data is unchanged; the next run catches up."
    ]
    installation.run(api)
    assert installation.pickups() == as_rows(world.records())
