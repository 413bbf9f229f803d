"""Tests that a damaged or missing warehouse costs nothing that its published copy still holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.cases import quick
from tests.support.damages import DAMAGES, remove, zero_the_blocks_of_pickups
from tests.support.installation import Installation, made_once, rows_of
from tests.support.templates import Templates
from tests.support.worlds import NOW

ROWS = "select id, pickup_status from sendcloud.pickups order by id"
STATES = "select id, pickup_status from sendcloud.pickup_status_history order by id, observed_at"
RUNS = "select count(*) as n from sendcloud.pickup_runs where outcome = 'succeeded'"


def book_six(world: World) -> None:
    for number in range(1, 7):
        world.book(id=number, created_at=NOW - timedelta(days=7 - number))


def three_runs(folder: Path) -> None:
    world = World(clock=NOW)
    book_six(world)
    with made_once(folder) as installation, serve(world) as api:
        installation.run(api)
        world.cancel(1)
        installation.run(api)
        world.remove(2)
        installation.run(api)


@pytest.fixture
def shop(installation: Installation, world: World, templates: Templates) -> Installation:
    """Returns an installation after three runs over pickups 1 to 6.

    Pickup 1 was cancelled after the first run, and the API no longer lists pickup 2.
    """
    book_six(world)
    world.cancel(1)
    world.remove(2)
    return installation.as_in(templates.made("three-runs", three_runs))


def go_on(world: World) -> None:
    """Changes the account after the third run: pickup 3 is cancelled and pickup 7 is booked."""
    world.advance(minutes=15)
    world.cancel(3)
    world.book(id=7)


def expect_nothing_lost(shop: Installation, runs: int) -> None:
    """Compares with what is known about the account, worked out by hand from the three runs and the changes."""
    cancelled = {1, 3}
    assert shop.rows(ROWS) == [
        {"id": id_, "pickup_status": "Cancelled" if id_ in cancelled else "Created"} for id_ in range(1, 8)
    ]
    told = [(row["id"], row["pickup_status"]) for row in shop.rows(STATES)]
    expected = [(id_, "Created") for id_ in range(1, 8)] + [(1, "Cancelled"), (3, "Cancelled")]
    assert sorted(told) == sorted(expected)
    assert shop.rows(RUNS) == [{"n": runs}]


@pytest.mark.parametrize("damage", quick(DAMAGES, only=range(4)))
def test_a_run_replaces_a_damaged_warehouse_with_its_published_copy_and_loses_nothing(
    shop: Installation, world: World, api: Sandbox, damage: Callable[[Path], None]
) -> None:
    damage(shop.warehouse)
    damaged = shop.warehouse.read_bytes() if shop.warehouse.exists() else None
    go_on(world)

    done = shop.command("run", api=api)

    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "was replaced with the published copy" in line]
    assert len(told) == 1
    assert "6 pickups of default" in told[0]
    expect_nothing_lost(shop, runs=4)
    assert rows_of(shop.warehouse, ROWS) == shop.rows(ROWS)
    kept = [path for path in shop.warehouse.parent.iterdir() if path.name.startswith("warehouse.duckdb.damaged-")]
    assert len(kept) == (damaged is not None)
    assert all(str(path) in told[0] for path in kept)
    if damage not in (zero_the_blocks_of_pickups, remove):  # the run writes into a file that it can open
        assert kept[0].read_bytes() == damaged
    (last,) = shop.rows("from sendcloud.pickup_runs where warehouse_restored is not null")
    assert told[0] == f"pickups: {last['warehouse_restored']}"
    assert last["warehouse_restored"] in " ".join(done.stdout.split())
    assert shop.run(api).warehouse_restored is None


def test_a_copy_that_a_killed_run_left_unfinished_is_removed_by_the_next_run(shop: Installation, api: Sandbox) -> None:
    """Such a copy is as large as the warehouse, and every kill would leave another one (found by killing runs)."""
    left = shop.warehouse.with_name("..warehouse.duckdb.restored.k3ptx0aa.new")
    left.write_bytes(b"half a copy")

    shop.run(api)

    assert not left.exists()
