"""A second run over a warehouse that was moved, deleted, restored or written to by another hand."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from sources.sendcloud import pages
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.cases import quick
from tests.support.destinations import DESTINATION, of_files
from tests.support.installation import Installation, as_rows
from tests.support.worlds import NOW, a_year_of_settled_pickups

pytestmark = [pytest.mark.duckdb2, pytest.mark.v3, pytest.mark.places]


def a_loader_that_doubles_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "latest_sightings", lambda tables: pa.concat_tables([*tables, tables[0].slice(0, 1)]))


@pytest.mark.slow
@of_files
def test_a_lost_working_folder_or_a_moved_file_goes_on_where_the_file_stands(
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
def test_a_warehouse_that_was_deleted_is_read_again_from_the_start(
    installation: Installation, world: World, api: Sandbox
) -> None:
    a_year_of_settled_pickups(world, 30)
    installation.run(api)
    installation.warehouse.unlink()

    assert installation.run(api).rows_new == 30
    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
@of_files
def test_an_older_copy_of_the_warehouse_is_read_on_from_where_it_stands(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    """A backup from before the cancellation; by now that pickup has settled, and no later run would look at it."""
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


@pytest.mark.skipif(DESTINATION == "postgres", reason="a server's rows are merged by their key, never appended")
@pytest.mark.parametrize("loaded_before", quick([True, False]))
def test_a_loader_that_doubles_a_row_is_found_out_by_the_run_itself(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, *, loaded_before: bool
) -> None:
    a_year_of_settled_pickups(world, 40)
    if loaded_before:
        installation.run(api)
        world.book()
    a_loader_that_doubles_a_row(monkeypatch)

    receipt = installation.run(api)

    assert receipt.checks_failed["unique_key"] == 1
    assert receipt.exit_code == 1


@pytest.mark.slow
@pytest.mark.skipif(DESTINATION != "postgres", reason="here rows are appended where there is nothing to replace")
def test_a_row_that_comes_twice_in_one_package_is_there_once_on_a_server(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_year_of_settled_pickups(world, 40)
    a_loader_that_doubles_a_row(monkeypatch)

    receipt = installation.run(api)

    assert installation.pickups() == as_rows(world.records())
    assert (receipt.checks_failed, receipt.exit_code) == ({}, 0)
