"""Tests second runs on a warehouse that was moved, deleted, restored or given a duplicate row."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from sources.sendcloud.reading import pages
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.cases import quick
from tests.support.destinations import DESTINATION, of_files
from tests.support.installation import Installation, as_rows
from tests.support.worlds import NOW, a_year_of_settled_pickups

pytestmark = [pytest.mark.duckdb2, pytest.mark.v3, pytest.mark.places]


def make_the_loader_duplicate_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "keep_latest", lambda tables: pa.concat_tables([*tables, tables[0].slice(0, 1)]))


@pytest.mark.slow
@of_files
def test_run_resumes_from_a_moved_warehouse_file_without_its_working_folder(
    installation: Installation, world: World, api: Sandbox
) -> None:
    a_year_of_settled_pickups(world, 60)
    installation.run(api, page_size=10)
    moved = installation.folder / "elsewhere"
    moved.mkdir()
    installation.warehouse.rename(moved / "warehouse.duckdb")
    world.book()
    installation.monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(moved / "warehouse.duckdb"))

    receipt = installation.run(api, page_size=10)

    assert receipt.requests == 2
    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
@of_files
def test_run_reads_everything_again_if_the_warehouse_was_deleted(
    installation: Installation, world: World, api: Sandbox
) -> None:
    a_year_of_settled_pickups(world, 30)
    installation.run(api)
    installation.warehouse.unlink()
    installation.published.unlink()  # otherwise, the run would restore the warehouse from it

    assert installation.run(api).rows_new == 30
    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
@of_files
def test_run_resumes_from_the_state_of_a_restored_older_warehouse(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    """The backup is older than the cancellation.

    The pickup has since settled, so a run with the newer state would not read it again.
    """
    pickup = world.book(created_at=NOW - timedelta(hours=1))
    installation.run(api)
    backup = tmp_path / "backup.duckdb"
    shutil.copy(installation.warehouse, backup)
    world.cancel(pickup)
    for _ in range(10):
        world.book(pickup_status="Failed")
    world.advance(days=30)
    for _ in range(20):
        world.book()
    installation.run(api, page_size=5)
    assert installation.run(api, page_size=5).frontier == world.clock - timedelta(hours=1)
    shutil.copy(backup, installation.warehouse)

    installation.run(api, page_size=5)

    assert installation.pickups() == as_rows(world.records())


@pytest.mark.skipif(DESTINATION == "postgres", reason="PostgreSQL merges rows by their key and never appends them")
@pytest.mark.parametrize("loaded_before", quick([True, False]))
def test_run_detects_a_row_that_the_loader_duplicates(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, *, loaded_before: bool
) -> None:
    a_year_of_settled_pickups(world, 40)
    if loaded_before:
        installation.run(api)
        world.book()
    make_the_loader_duplicate_a_row(monkeypatch)

    receipt = installation.run(api)

    assert receipt.checks_failed["unique_key"] == 1
    assert receipt.exit_code == 1


@pytest.mark.slow
@pytest.mark.skipif(DESTINATION != "postgres", reason="this destination appends rows if there is nothing to replace")
def test_row_repeated_within_one_package_is_stored_once_in_postgresql(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_year_of_settled_pickups(world, 40)
    make_the_loader_duplicate_a_row(monkeypatch)

    receipt = installation.run(api)

    assert installation.pickups() == as_rows(world.records())
    assert (receipt.checks_failed, receipt.exit_code) == ({}, 0)
