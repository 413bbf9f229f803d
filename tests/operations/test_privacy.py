"""Tests `pickups forget` and `[retention] pickups_months`, whose results no later sweep may undo."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.config.project import project_context
from pipelines.loading.privacy import retention_starts_at
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.destinations import of_files
from tests.support.installation import Installation
from tests.support.worlds import NOW

pytestmark = pytest.mark.places
NUMBER = "JVGL0612345678"
IDS = "select id from sendcloud.pickups order by id"


def ids(installation: Installation) -> list[int]:
    return [row["id"] for row in installation.rows(IDS)]


@pytest.fixture
def two(installation: Installation, world: World, api: Sandbox) -> list[int]:
    """Loads two pickups, the first with the number, and a rejected record that contains the number."""
    pickups = [world.book(tracking_number=NUMBER), world.book(tracking_number="OTHER")]
    world.change(pickups[0], to={"phone": NUMBER})
    world.put({"id": 77, "carrier": None, "tracking_number": NUMBER, "created_at": "2026-11-01T10:00:00Z"})
    installation.loaded(api)
    return pickups


def numbers(installation: Installation) -> dict[int, Any]:
    rows = installation.rows("select id, tracking_number, extra from sendcloud.pickups")
    return {row["id"]: (row["tracking_number"], row["extra"]) for row in rows}


def test_forgotten_number_is_in_no_table_and_no_later_run_brings_it_back(
    installation: Installation, world: World, api: Sandbox, two: list[int]
) -> None:
    asked = installation.command("forget", NUMBER, "--dry-run")
    assert asked.stdout.splitlines() == ["Account default: pickups 1, pickups_quarantine 1"]
    assert numbers(installation)[two[0]][0] == NUMBER

    done = installation.command("forget", NUMBER, "--yes")

    assert (done.returncode, done.stderr) == (0, "")
    masked = {two[0]: ("forgotten", None), two[1]: ("OTHER", None)}
    assert numbers(installation) == masked
    assert installation.rows("select 1 from sendcloud.pickups_quarantine") == []
    unchanged = installation.run(api, sweep=True)
    assert (unchanged.rows_new, unchanged.rows_changed, unchanged.rows_unlisted) == (0, 0, 0)
    world.advance(hours=1)
    world.cancel(two[0])
    changed = installation.run(api, sweep=True)
    assert (changed.rows_new, changed.rows_changed, changed.rows_cancelled) == (0, 1, 1)
    assert numbers(installation) == masked
    assert installation.rows("select 1 from sendcloud.pickups_quarantine") == []
    assert len(installation.rows("select 1 from sendcloud.pickup_status_history")) == 3
    again = installation.command("forget", NUMBER, "--yes")
    assert (again.returncode, "No pickup or rejected record" in again.stderr) == (3, True)


@of_files
def test_forgotten_number_is_in_no_byte_of_the_files(installation: Installation, two: list[int]) -> None:  # noqa: ARG001
    """DuckDB keeps deleted rows in free blocks until the file is rewritten."""
    assert installation.command("forget", NUMBER, "--yes").returncode == 0

    files = [path for path in Path(installation.folder / "data").rglob("*") if path.is_file()]
    assert [path.name for path in files if NUMBER.encode() in path.read_bytes()] == []


def test_without_a_terminal_forget_needs_yes(installation: Installation, two: list[int]) -> None:
    done = installation.command("forget", NUMBER)

    assert (done.returncode, "--yes" in done.stderr) == (2, True)
    assert numbers(installation)[two[0]][0] == NUMBER


def test_pickups_older_than_the_limit_are_deleted_and_no_sweep_loads_them_again(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six months are 181 to 184 days. A window that ends after the limit keeps an older booking."""
    old = world.book(created_at=NOW - timedelta(days=200))
    kept = world.book(created_at=NOW - timedelta(days=199), pickup_from=NOW - timedelta(days=170))
    new = world.book(created_at=NOW - timedelta(days=3))
    installation.run(api)
    assert ids(installation) == [old, kept, new]
    monkeypatch.setenv("RETENTION__PICKUPS_MONTHS", "6")

    first = installation.run(api)
    swept = installation.run(api, sweep=True)

    assert ids(installation) == [kept, new]
    assert [row["id"] for row in installation.rows("select id from sendcloud.pickup_status_history order by 1")] == [
        kept,
        new,
    ]
    assert (first.rows_new, swept.rows_new, swept.rows_changed, swept.rows_unlisted) == (0, 0, 0, 0)
    assert swept.rows_expired == 1
    assert first.outcome == swept.outcome == "succeeded"


def test_first_load_with_a_limit_loads_no_older_pickup(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETENTION__PICKUPS_MONTHS", "1")
    world.book(created_at=NOW - timedelta(days=90))
    new = world.book(created_at=NOW - timedelta(days=3))
    receipt = installation.run(api)

    assert (receipt.rows_new, receipt.rows_expired, ids(installation)) == (1, 1, [new])
    assert receipt.remarks() == ["1 row not loaded because of age ([retention] pickups_months)"]


def test_limit_counts_from_the_earlier_clock(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock in 2099 would otherwise delete every pickup. August has 31 days, and February 29 in 2020."""
    monkeypatch.setenv("RETENTION__PICKUPS_MONTHS", "6")
    with project_context(installation.folder):
        by_the_api = retention_starts_at(datetime(2020, 8, 31, 23, tzinfo=UTC))
        by_the_machine = retention_starts_at(datetime(2099, 1, 1, tzinfo=UTC))

    assert by_the_api == datetime(2020, 2, 28, tzinfo=UTC)
    assert by_the_machine
    assert by_the_machine < datetime.now(UTC)
