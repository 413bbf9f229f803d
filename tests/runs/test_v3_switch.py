"""Tests switching an account from v2 to v3 and back with a filled warehouse.

The switch changes no analysis results and duplicates no rows.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.analytics.views import view_files
from pipelines.errors import IdMismatch
from sources.sendcloud.errors import Unavailable
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.accounts import configure, serving
from tests.support.cases import quick
from tests.support.installation import Installation, as_rows, rows_of
from tests.support.templates import Templates
from tests.support.worlds import NOW

pytestmark = pytest.mark.places

HISTORY = (
    "select account, id, pickup_status, cancelled_at, observed_at from sendcloud.pickup_status_history order by all"
)


@pytest.fixture
def shop(installation: Installation, world: World, api: Sandbox) -> Installation:
    """Returns an installation that has read forty pickups with v2.

    A pickup was booked every twelve hours, and every third one is cancelled.
    """
    for number in range(40):
        made = world.book(created_at=NOW - timedelta(days=20, hours=-12 * number))
        if number % 3 == 0:
            world.cancel(made, at=NOW - timedelta(days=20, hours=-12 * number - 1))
    installation.run(api, api_version="v2")
    return installation


@pytest.mark.parametrize("back", quick([False, True]), ids=["to v3", "back to v2"])
def test_first_run_after_a_switch_reads_everything_again_and_reports_the_switch(
    shop: Installation, world: World, api: Sandbox, back: bool
) -> None:
    history = shop.rows(HISTORY)
    receipt = shop.run(api, api_version="v3", page_size=10)
    if back:
        receipt = shop.run(api, api_version="v2", page_size=10)
    now, before = ("v2", "v3") if back else ("v3", "v2")

    assert shop.pickups() == as_rows(world.records(), api_version=now)
    assert shop.rows(HISTORY) == history  # a different spelling is not a different state
    assert (receipt.api_version, receipt.api_version_before, receipt.is_first_read) == (now, before, False)
    assert (receipt.rows_new, receipt.rows_changed, receipt.rows_cancelled) == (0, 40, 0)
    assert f"API: {now}, was {before}; everything is read again" in receipt.remarks()
    assert receipt.checks_failed == {}


def test_second_run_after_the_switch_stops_at_the_frontier_and_finds_changes(
    shop: Installation, world: World, api: Sandbox
) -> None:
    shop.run(api, api_version="v3", page_size=10)
    world.advance(hours=1)
    world.cancel(world.records()[1]["id"])
    receipt = shop.run(api, api_version="v3", page_size=10)

    assert (receipt.rows_changed, receipt.rows_cancelled, receipt.stopped_because) == (1, 1, "frontier")
    assert receipt.api_version_before is None
    assert shop.pickups() == as_rows(world.records(), api_version="v3")
    assert shop.rows("select count(*) as n from sendcloud.pickup_status_history") == [{"n": 41}]


@pytest.mark.slow
def test_cancellation_between_the_last_v2_and_first_v3_run_adds_one_state(
    shop: Installation, world: World, api: Sandbox
) -> None:
    world.advance(hours=1)
    number = world.records()[1]["id"]
    world.cancel(number)
    shop.run(api, api_version="v3")

    states = f"select pickup_status from sendcloud.pickup_status_history where id = {number} order by observed_at"
    assert shop.rows(states) == [{"pickup_status": "Created"}, {"pickup_status": "CANCELLED"}]


@pytest.mark.slow
def test_interrupted_full_read_after_the_switch_resumes_with_v3(shop: Installation, world: World, api: Sandbox) -> None:
    settings = {"page_size": 5, "pages_per_package": 2, "request_max_attempts": 1}
    api.fault(faults.status(503), page=4, times=1)
    with pytest.raises(Unavailable):
        shop.run(api, api_version="v3", **settings)
    asked = len(api.requests)
    receipt = shop.run(api, api_version="v3", **settings)

    assert all(request.path.startswith("/api/v3/") for request in api.requests[asked:])
    assert len(api.requests) - asked < 8 + 3  # it did not restart at the top
    assert receipt.api_version_before == "v2"
    assert shop.pickups() == as_rows(world.records(), api_version="v3")


@pytest.mark.parametrize("how", quick(["all ids are different", "ids belong to other pickups"]))
def test_mismatched_ids_stop_the_switch_before_anything_is_merged(shop: Installation, world: World, how: str) -> None:
    before = shop.pickups()
    records = world.records()
    if how == "all ids are different":
        others = [{**record, "id": record["id"] + 5_000} for record in records]
    else:
        ids = [record["id"] for record in records]
        others = [{**record, "id": id_} for record, id_ in zip(records, [*ids[1:], ids[0]], strict=True)]
    with serve(World.of(others, clock=world.clock)) as elsewhere:
        with pytest.raises(IdMismatch, match="Sendcloud's v3 does not use the same ids as v2: the dhl_express pickup "):
            shop.run(elsewhere, api_version="v3")
        again = shop.command("run", api=elsewhere, SOURCES__SENDCLOUD__API_VERSION="v3")

    assert again.returncode == 3
    assert "Neither this pickup nor the pickups read with it were merged" in again.stderr
    assert shop.pickups() == before


@pytest.mark.slow
def test_scheduler_window_checks_ids_but_does_not_complete_the_switch(
    shop: Installation, world: World, api: Sandbox
) -> None:
    config = shop.folder / ".dlt" / "config.toml"
    bounds = "initial_value = 2026-11-01T00:00:00Z\nend_value = 2026-11-06T00:00:00Z\n"  # ten pickups, two a day
    config.write_text(f"[sources.sendcloud.pickups.created_at]\n{bounds}")
    others = [{**record, "id": record["id"] + 5_000} for record in world.records()]
    with serve(World.of(others, clock=world.clock)) as elsewhere, pytest.raises(IdMismatch):
        shop.run(elsewhere, api_version="v3")
    receipt = shop.run(api, api_version="v3")
    assert (receipt.rows_changed, receipt.api_version_before) == (10, "v2")
    assert "API: v3, was v2" in receipt.remarks()
    config.write_text("")

    receipt = shop.run(api, api_version="v3")
    assert (receipt.rows_changed, receipt.api_version_before) == (30, "v2")


@pytest.mark.slow
def test_twin_pickup_booked_at_the_same_instant_is_not_an_id_mismatch(
    shop: Installation, world: World, api: Sandbox
) -> None:
    """Two published pickups have the same carrier, booking time and window, to the microsecond.

    The older pickup is in the preceding package.
    """
    newest = world.records()[0]
    twin = {name: newest[name] for name in ("carrier", "country", "tracking_number")}
    world.book(**twin, created_at=datetime.fromisoformat(newest["created_at"]))
    api.order = "ascending"
    shop.run(api, api_version="v3", page_size=10, pages_per_package=1)

    assert shop.pickups() == as_rows(world.records(), api_version="v3")


@pytest.mark.slow
def test_record_unreadable_in_both_versions_is_kept_as_the_latest_version_sent_it(
    shop: Installation, world: World, api: Sandbox
) -> None:
    broken = world.records()[1]["id"]
    world.change(broken, created_at="2026-11-19T12:00:00")  # no offset
    waiting = []
    for version in ("v2", "v3", "v2"):
        shop.run(api, api_version=version)
        waiting.append(shop.rows("select record from sendcloud.pickups_quarantine where resolved_at is null"))
        world.advance(hours=1)

    assert [["carrier_code" in row["record"] for row in rows] for rows in waiting] == [[False], [True], [False]]
    assert shop.rows("select count(*) as n from sendcloud.pickups_quarantine") == [{"n": 2}]


@pytest.mark.slow
def test_each_account_has_its_own_api_version(installation: Installation) -> None:
    with serving({name: World.seeded(30, until=NOW) for name in ("north", "south")}) as apis:
        configure(installation, apis, own={"south": {"api_version": "v3"}})
        assert installation.command("run").returncode == 0
        assert {request.path[:7] for request in apis["north"].requests} == {"/api/v2"}
        assert {request.path[:7] for request in apis["south"].requests} == {"/api/v3"}
    versions = "select distinct account, api_version from analytics.pickups order by account"
    assert installation.rows(versions) == [
        {"account": "north", "api_version": "v2"},
        {"account": "south", "api_version": "v3"},
    ]


@pytest.mark.parametrize("version", ["v4", "3", ""])
def test_unknown_api_version_is_rejected(installation: Installation, api: Sandbox, version: str) -> None:
    done = installation.command("run", api=api, SOURCES__SENDCLOUD__API_VERSION=version)

    assert done.returncode == 3
    assert "[sources.sendcloud] api_version (SOURCES__SENDCLOUD__API_VERSION in the environment) is" in done.stderr
    assert api.requests == []


@pytest.fixture(scope="module")
def published_files(templates: Templates) -> dict[str, Path]:
    """Returns the files published from one world of 3,000 pickups, read with v2 and with v3."""
    return {
        version: templates.made(f"by-{version}", lambda folder, version=version: _load_with(version, folder))
        / "data"
        / "pickups.duckdb"
        for version in ("v2", "v3")
    }


def _load_with(version: str, folder: Path) -> None:
    (folder / ".dlt").mkdir()
    with pytest.MonkeyPatch.context() as patched, serve(World.seeded(3_000, seed=11, until=NOW)) as api:
        Installation(folder, patched).run(api, api_version=version)


# these columns identify a run or measure its cost, which differs because v3 pages are smaller
RUN_COLUMNS = (
    "run_id, started_at_utc, finished_at_utc, pages, requests, waited_seconds, seconds, hours_since_last_success"
)
DIFFERS = {"pickups": "api_version, last_load_id", "runs": RUN_COLUMNS}


@pytest.mark.parametrize("view", [path.stem for path in view_files()])
def test_both_api_versions_give_identical_views_of_one_world(published_files: dict[str, Path], view: str) -> None:
    columns = f"* exclude ({DIFFERS[view]})" if view in DIFFERS else "*"
    query = f"select {columns} from analytics.{view}"
    v2, v3 = (in_order_of_the_exact_columns(rows_of(published_files[version], query)) for version in ("v2", "v3"))

    assert len(v3) == len(v2)
    assert [row for row in zip(v3, v2, strict=True) if not same_within_rounding(*row)] == []
    assert v2 or view == "quarantine"


def in_order_of_the_exact_columns(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: [str(value) for value in row.values() if not isinstance(value, float)])


def same_within_rounding(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Returns whether the rows are equal, but for the last digits of fractions.

    The last digits of a sum depend on the order in which DuckDB's threads add the fractions.
    """
    return found.keys() == expected.keys() and all(
        math.isclose(value, expected[name], rel_tol=1e-9, abs_tol=1e-12)
        if isinstance(value, float) and isinstance(expected[name], float)
        else value == expected[name]
        for name, value in found.items()
    )
