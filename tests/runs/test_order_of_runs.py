"""Tests that the last run is the one that was made last, whatever this machine's clock said during it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.bookkeeping.last_runs import last_runs
from pipelines.destinations.duckdb.session import open_database
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import Installation
from tests.support.worlds import NOW, twenty

pytestmark = [pytest.mark.duckdb2]
IN_2031 = "update sendcloud.pickup_runs set started_at = '2031-05-05 05:05:00Z', finished_at = '2031-05-05 05:06:00Z'"
NUMBERS = "select run_number, outcome from sendcloud.pickup_runs order by run_number"


@pytest.fixture
def world() -> World:
    return twenty()


def set_clock_of_all_runs_so_far(installation: Installation) -> None:
    for path in (installation.warehouse, installation.published):
        with duckdb.connect(str(path)) as connection:
            connection.execute(IN_2031)


def status(installation: Installation) -> dict[str, Any]:
    (account,) = json.loads(installation.command("status", "--json").stdout)
    return dict(account)


def test_status_shows_the_run_that_was_made_last_after_one_in_2031(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The failed run had a clock five years ahead. For five years, its receipt would hide every later one."""
    installation.loaded(api)
    assert installation.command("run", api=api, SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY="wrong").returncode == 3
    set_clock_of_all_runs_so_far(installation)
    world.advance(hours=1)
    world.cancel(world.book())
    receipt = installation.run(api)

    shown = status(installation)

    assert (receipt.run_number, installation.rows(NUMBERS)) == (
        3,
        [
            {"run_number": 1, "outcome": "succeeded"},
            {"run_number": 2, "outcome": "failed"},
            {"run_number": 3, "outcome": "succeeded"},
        ],
    )
    assert (shown["last_outcome"], shown["last_error"], shown["open_pickups"]) == ("succeeded", None, 20)
    assert shown["last_run_at"] == str(receipt.started_at)
    assert shown["newest_created_at"] == str(world.clock)


def test_receipts_of_an_older_version_have_no_number_and_come_first(
    installation: Installation, world: World, api: Sandbox
) -> None:
    installation.loaded(api)
    for path in (installation.warehouse, installation.published):
        with duckdb.connect(str(path)) as connection:
            connection.execute(
                "drop schema analytics cascade; alter table sendcloud.pickup_runs drop column run_number"
            )
    assert status(installation)["last_outcome"] == "succeeded"
    set_clock_of_all_runs_so_far(installation)
    world.advance(hours=1)
    receipts = [installation.run(api), installation.run(api)]

    assert [receipt.run_number for receipt in receipts] == [1, 2]
    assert [row["run_number"] for row in installation.rows(f"{NUMBERS} nulls first")] == [None, 1, 2]
    assert status(installation)["last_run_at"] == str(receipts[1].started_at)
    ((as_of,),) = [tuple(row.values()) for row in installation.rows("select max(as_of_utc) from analytics.pickups")]
    assert as_of == world.clock.replace(tzinfo=None)
    assert world.clock > NOW


def test_the_last_good_run_is_the_one_that_was_made_last(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """Its time is the bound for clocks. The first run had the right API clock and a machine clock in 2031."""
    installation.loaded(api)
    set_clock_of_all_runs_so_far(installation)
    world.advance(hours=1)
    second = installation.run(api)

    with open_database(installation.warehouse) as session:
        last = last_runs(session)["default"]
    assert (last.observed_at, last.highest_observed_at) == (second.observed_at, second.observed_at)


def test_the_last_good_run_is_dated_by_a_clock_that_was_right(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """If this machine's clock stood in 2031 or 2001, a good run is dated by the API's clock."""
    world.clock = datetime.now(UTC) - timedelta(hours=3)
    installation.run(api)
    set_clock_of_all_runs_so_far(installation)
    observed_at = str(world.clock.replace(microsecond=0))
    assert status(installation)["last_success_at"] == observed_at

    with duckdb.connect(str(installation.published)) as connection:
        connection.execute("update sendcloud.pickup_runs set finished_at = '2001-01-01 00:00:00Z'")
    assert status(installation)["last_success_at"] == observed_at
    assert status(installation)["age_hours"] == pytest.approx(3, abs=0.2)

    world.advance(hours=1)
    receipt = installation.run(api)
    assert status(installation)["last_success_at"] > str(receipt.started_at)


def test_a_backup_is_dated_by_the_run_that_was_made_last(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    installation.loaded(api)
    set_clock_of_all_runs_so_far(installation)
    world.advance(hours=1)
    installation.run(api)

    made = installation.command("backup", "--to", str(tmp_path))

    assert f"20 pickups of default, newest good run {world.clock:%Y-%m-%d %H:%M} UTC" in made.stdout


def test_findings_are_compared_with_the_run_that_was_made_last(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The run of 2031 found nothing. The second run's finding is known by the third."""
    installation.loaded(api)
    set_clock_of_all_runs_so_far(installation)
    world.book(carrier="nobody_knows")

    assert [installation.run(api).has_new_findings for _ in range(2)] == [True, False]
