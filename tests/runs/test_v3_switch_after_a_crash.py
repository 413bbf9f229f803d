"""A change-over from v2 to v3 that dies half done is under way until a run has read the whole list."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipelines.errors import IdsDiffer
from sources.sendcloud.errors import Unavailable
from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.installation import Installation, as_rows
from tests.support.worlds import NOW

pytestmark = pytest.mark.slow

SMALL = {"page_size": 5, "pages_per_package": 2}  # ten pickups a package


@pytest.fixture
def half_way(installation: Installation, world: World, api: Sandbox) -> Installation:
    """Forty pickups read by v2; then a run by v3, killed when two of its four packages are loaded."""
    for number in range(40):
        world.book(created_at=NOW - timedelta(days=60, hours=-12 * number))
    installation.run(api, api_version="v2")
    killed(installation, api, "entering extract", 3)
    return installation


def killed(installation: Installation, api: Sandbox, instant: str, number: int) -> None:
    """One run by v3, killed when it comes to that instant for the number-th time."""
    words = ["kill", instant, str(number), "run"]
    running = installation.begin(*words, api=api, module="tests.support.instants", api_version="v3", **SMALL)
    said = running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL, f"never came to {instant}: {said}"


def other_ids_for(ids: set[int]) -> faults.Fault:
    """Pages on which these pickups have ids that nobody knows."""

    def given(due: Any) -> Any:
        page = json.loads(due.body)
        records = page["data"] if "data" in page else page["pickups"]
        for record in records:
            record["id"] += 5_000 if record["id"] in ids else 0
        return replace(due, body=json.dumps(page).encode())

    return given


def test_the_run_that_goes_on_with_it_says_so_and_the_one_after_it_does_not(
    half_way: Installation, world: World, api: Sandbox
) -> None:
    receipt = half_way.run(api, api_version="v3", **SMALL)

    assert half_way.pickups() == as_rows(world.records(), api_version="v3")
    assert half_way.rows("select count(*) as n from sendcloud.pickup_status_history") == [{"n": 40}]
    assert (receipt.api_version, receipt.api_version_before, receipt.is_first_read) == ("v3", "v2", False)
    assert "API: v3, was v2; everything is read again" in receipt.remarks()
    assert half_way.run(api, api_version="v3", **SMALL).api_version_before is None


def test_it_dies_again_and_each_run_says_so_until_one_comes_to_the_end(
    half_way: Installation, world: World, api: Sandbox
) -> None:
    """Of the run that dies when all is loaded nobody hears, so the next one tells."""
    api.fault(faults.status(503), page=7)
    with pytest.raises(Unavailable):
        half_way.run(api, api_version="v3", request_max_attempts=1, **SMALL)
    killed(half_way, api, "entering conclude", 1)
    half_way.run(api, api_version="v3", **SMALL)
    half_way.run(api, api_version="v3", **SMALL)

    told = "select api_version, api_version_before, outcome from sendcloud.pickup_runs order by started_at"
    assert [tuple(row.values()) for row in half_way.rows(told)] == [
        ("v2", None, "succeeded"),
        ("v3", "v2", "failed"),
        ("v3", "v2", "succeeded"),
        ("v3", None, "succeeded"),
    ]
    assert half_way.pickups() == as_rows(world.records(), api_version="v3")


def test_a_start_date_that_is_set_back_meanwhile_does_not_end_it(
    half_way: Installation, world: World, api: Sandbox
) -> None:
    config = half_way.folder / ".dlt" / "config.toml"
    section = "[sources.sendcloud.pickups.created_at]\ninitial_value = {}\n"
    config.write_text(section.format("2026-09-22T00:00:00Z"))
    killed(half_way, api, "entering extract", 3)  # the head, and one of the two packages left
    config.write_text(section.format("2026-09-01T00:00:00Z"))

    receipt = half_way.run(api, api_version="v3", **SMALL)

    assert (receipt.api_version_before, receipt.is_first_read) == ("v2", False)
    assert half_way.pickups() == as_rows(world.records(), api_version="v3")


def test_back_to_v2_in_the_middle_of_it_all_is_read_once_more(
    half_way: Installation, world: World, api: Sandbox
) -> None:
    asked = len(api.requests)
    receipt = half_way.run(api, api_version="v2", **SMALL)

    assert len(api.requests) - asked == 8  # pages of five
    assert (receipt.api_version, receipt.api_version_before) == ("v2", "v3")
    assert half_way.pickups() == as_rows(world.records(), api_version="v2")
    assert half_way.rows("select count(*) as n from sendcloud.pickup_status_history") == [{"n": 40}]
    assert half_way.run(api, api_version="v2", **SMALL).api_version_before is None


@pytest.mark.parametrize("link_is_stale", [False, True])
def test_ids_that_differ_in_a_package_that_comes_later_stop_the_run_that_goes_on(
    half_way: Installation, world: World, api: Sandbox, link_is_stale: bool
) -> None:
    """Thirty are spelled as v3 does, of the rest nothing is merged; also where a run began once more and died too."""
    if link_is_stale:
        dies_when_it_has_begun_once_more(half_way, api)
    api.fault(other_ids_for({record["id"] for record in world.records()[-10:]}), times=None)
    with pytest.raises(IdsDiffer, match="Neither that nor what was read with it was merged"):
        half_way.run(api, api_version="v3", **SMALL)

    by_version = "select api_version, count(*) as n from sendcloud.pickups group by all order by all"
    assert half_way.rows(by_version) == [{"api_version": "v2", "n": 10}, {"api_version": "v3", "n": 30}]

    api.heal()
    assert half_way.run(api, api_version="v2", **SMALL).api_version_before == "v3"
    assert half_way.pickups() == as_rows(world.records(), api_version="v2")


def dies_when_it_has_begun_once_more(installation: Installation, api: Sandbox) -> None:
    """Its third request is for the stored link, which is refused; from the top it comes to the third package."""
    asked = len(api.requests)
    api.on_request = lambda sandbox, number: sandbox.fault(faults.expired_cursor()) if number == asked + 3 else None
    api.fault(faults.status(503), page=6)
    with pytest.raises(Unavailable):
        installation.run(api, api_version="v3", request_max_attempts=1, **SMALL)
    assert len(api.requests) - asked == 2 + 1 + 6


def test_ids_that_differ_stop_the_way_back_too(half_way: Installation, world: World, api: Sandbox) -> None:
    """What v3 brought is held against v2 as it was the other way round."""
    first_ten = {record["id"] for record in world.records()[:10]}
    api.fault(other_ids_for(first_ten), times=None)

    with pytest.raises(IdsDiffer, match="v2 has other ids than v3 had"):
        half_way.run(api, api_version="v2", **SMALL)
