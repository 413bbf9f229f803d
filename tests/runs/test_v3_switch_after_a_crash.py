"""Tests a switch from v2 to v3 that is interrupted by a crash.

The switch is under way until a run has read the whole list.
"""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipelines.errors import IdMismatch
from sources.sendcloud.errors import Unavailable
from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.installation import Installation, as_rows
from tests.support.worlds import NOW

pytestmark = pytest.mark.slow

SMALL = {"page_size": 5, "pages_per_package": 2}  # ten pickups per package


@pytest.fixture
def half_switched(installation: Installation, world: World, api: Sandbox) -> Installation:
    """Returns an installation that has read forty pickups with v2.

    A v3 run was then killed after loading two of its four packages.
    """
    for number in range(40):
        world.book(created_at=NOW - timedelta(days=60, hours=-12 * number))
    installation.run(api, api_version="v2")
    kill_run_at(installation, api, "entering extract", 3)
    return installation


def kill_run_at(installation: Installation, api: Sandbox, instant: str, number: int) -> None:
    """Starts a v3 run and kills it when it reaches the instant for the `number`-th time."""
    words = ["kill", instant, str(number), "run"]
    running = installation.begin(*words, api=api, module="tests.support.instants", api_version="v3", **SMALL)
    said = running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL, f"the run never reached {instant}: {said}"


def with_other_ids(ids: set[int]) -> faults.Fault:
    """Returns a fault that gives these pickups unknown ids on every page."""

    def given(due: Any) -> Any:
        page = json.loads(due.body)
        records = page["data"] if "data" in page else page["pickups"]
        for record in records:
            record["id"] += 5_000 if record["id"] in ids else 0
        return replace(due, body=json.dumps(page).encode())

    return given


def test_run_that_completes_the_switch_reports_it_and_the_next_run_does_not(
    half_switched: Installation, world: World, api: Sandbox
) -> None:
    receipt = half_switched.run(api, api_version="v3", **SMALL)

    assert half_switched.pickups() == as_rows(world.records(), api_version="v3")
    assert half_switched.rows("select count(*) as n from sendcloud.pickup_status_history") == [{"n": 40}]
    assert (receipt.api_version, receipt.api_version_before, receipt.is_first_read) == ("v3", "v2", False)
    assert "API: v3, was v2; everything is read again" in receipt.remarks()
    assert half_switched.run(api, api_version="v3", **SMALL).api_version_before is None


def test_every_receipt_reports_the_switch_until_a_run_completes_it(
    half_switched: Installation, world: World, api: Sandbox
) -> None:
    """A run that is killed after its last load writes no receipt, so the next run reports the switch."""
    api.fault(faults.status(503), page=7)
    with pytest.raises(Unavailable):
        half_switched.run(api, api_version="v3", request_max_attempts=1, **SMALL)
    kill_run_at(half_switched, api, "entering finalize", 1)
    half_switched.run(api, api_version="v3", **SMALL)
    half_switched.run(api, api_version="v3", **SMALL)

    told = "select api_version, api_version_before, outcome from sendcloud.pickup_runs order by started_at"
    assert [tuple(row.values()) for row in half_switched.rows(told)] == [
        ("v2", None, "succeeded"),
        ("v3", "v2", "failed"),
        ("v3", "v2", "succeeded"),
        ("v3", None, "succeeded"),
    ]
    assert half_switched.pickups() == as_rows(world.records(), api_version="v3")


def test_earlier_start_date_set_during_the_switch_does_not_end_it(
    half_switched: Installation, world: World, api: Sandbox
) -> None:
    config = half_switched.folder / ".dlt" / "config.toml"
    section = "[sources.sendcloud.pickups.created_at]\ninitial_value = {}\n"
    config.write_text(section.format("2026-09-22T00:00:00Z"))
    kill_run_at(half_switched, api, "entering extract", 3)  # it loads the head and one of the two remaining packages
    config.write_text(section.format("2026-09-01T00:00:00Z"))

    receipt = half_switched.run(api, api_version="v3", **SMALL)

    assert (receipt.api_version_before, receipt.is_first_read) == ("v2", False)
    assert half_switched.pickups() == as_rows(world.records(), api_version="v3")


def test_return_to_v2_during_the_switch_reads_everything_again(
    half_switched: Installation, world: World, api: Sandbox
) -> None:
    asked = len(api.requests)
    receipt = half_switched.run(api, api_version="v2", **SMALL)

    assert len(api.requests) - asked == 8  # eight pages of five pickups
    assert (receipt.api_version, receipt.api_version_before) == ("v2", "v3")
    assert half_switched.pickups() == as_rows(world.records(), api_version="v2")
    assert half_switched.rows("select count(*) as n from sendcloud.pickup_status_history") == [{"n": 40}]
    assert half_switched.run(api, api_version="v2", **SMALL).api_version_before is None


@pytest.mark.parametrize("link_is_stale", [False, True])
def test_mismatched_ids_in_a_later_package_stop_the_resumed_run(
    half_switched: Installation, world: World, api: Sandbox, link_is_stale: bool
) -> None:
    """Thirty pickups have v3's spelling, and none of the other ten are merged.

    If an earlier run restarted at the top and failed too, the packages begin at other pages. Five of the thirty are
    then in a package with some of the ten, so they are not merged either.
    """
    if link_is_stale:
        fail_after_a_restart(half_switched, api)
    api.fault(with_other_ids({record["id"] for record in world.records()[-10:]}), times=None)
    with pytest.raises(IdMismatch, match="Neither this pickup nor the pickups read with it were merged"):
        half_switched.run(api, api_version="v3", **SMALL)

    by_version = "select api_version, count(*) as n from sendcloud.pickups group by all order by all"
    merged = 25 if link_is_stale else 30
    assert half_switched.rows(by_version) == [
        {"api_version": "v2", "n": 40 - merged},
        {"api_version": "v3", "n": merged},
    ]

    api.heal()
    assert half_switched.run(api, api_version="v2", **SMALL).api_version_before == "v3"
    assert half_switched.pickups() == as_rows(world.records(), api_version="v2")


def fail_after_a_restart(installation: Installation, api: Sandbox) -> None:
    """Makes a run restart at the top and fail in the third package.

    The third request follows the stored link and is refused.
    """
    asked = len(api.requests)
    api.on_request = lambda sandbox, number: sandbox.fault(faults.expired_cursor()) if number == asked + 3 else None
    api.fault(faults.status(503), page=6)
    with pytest.raises(Unavailable):
        installation.run(api, api_version="v3", request_max_attempts=1, **SMALL)
    assert len(api.requests) - asked == 2 + 1 + 6


def test_mismatched_ids_also_stop_the_return_to_v2(half_switched: Installation, world: World, api: Sandbox) -> None:
    """Rows from v3 are compared with v2's, just as rows from v2 are compared with v3's."""
    first_ten = {record["id"] for record in world.records()[:10]}
    api.fault(with_other_ids(first_ten), times=None)

    with pytest.raises(IdMismatch, match="v2 does not use the same ids as v3"):
        half_switched.run(api, api_version="v2", **SMALL)
