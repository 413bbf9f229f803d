"""An account goes from v2 to v3 and back on a filled warehouse: nobody's analysis changes, nothing doubles."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines import models
from pipelines.errors import IdsDiffer
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
    """Forty pickups, one every twelve hours, each third cancelled; read by v2."""
    for number in range(40):
        made = world.book(created_at=NOW - timedelta(days=20, hours=-12 * number))
        if number % 3 == 0:
            world.cancel(made, at=NOW - timedelta(days=20, hours=-12 * number - 1))
    installation.run(api, api_version="v2")
    return installation


@pytest.mark.parametrize("back", quick([False, True]), ids=["to v3", "and back"])
def test_the_next_run_reads_everything_again_doubles_nothing_and_says_so(
    shop: Installation, world: World, api: Sandbox, back: bool
) -> None:
    history = shop.rows(HISTORY)
    receipt = shop.run(api, api_version="v3", page_size=10)
    if back:
        receipt = shop.run(api, api_version="v2", page_size=10)
    now, before = ("v2", "v3") if back else ("v3", "v2")

    assert shop.pickups() == as_rows(world.records(), api_version=now)
    assert shop.rows(HISTORY) == history  # another spelling is no other state
    assert (receipt.api_version, receipt.api_version_before, receipt.is_first_read) == (now, before, False)
    assert (receipt.rows_new, receipt.rows_changed, receipt.rows_cancelled) == (0, 40, 0)
    assert f"API: {now}, was {before}; everything is read again" in receipt.remarks()
    assert receipt.checks_failed == {}


def test_afterwards_a_run_reads_no_more_than_it_needs_and_sees_what_changes(
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
def test_a_cancellation_made_in_between_arrives_and_is_one_state_more(
    shop: Installation, world: World, api: Sandbox
) -> None:
    world.advance(hours=1)
    number = world.records()[1]["id"]
    world.cancel(number)
    shop.run(api, api_version="v3")

    states = f"select pickup_status from sendcloud.pickup_status_history where id = {number} order by observed_at"
    assert shop.rows(states) == [{"pickup_status": "Created"}, {"pickup_status": "CANCELLED"}]


@pytest.mark.slow
def test_a_first_load_that_dies_after_the_switch_goes_on_by_v3(shop: Installation, world: World, api: Sandbox) -> None:
    settings = {"page_size": 5, "pages_per_package": 2, "request_max_attempts": 1}
    api.fault(faults.status(503), page=4, times=1)
    with pytest.raises(Unavailable):
        shop.run(api, api_version="v3", **settings)
    asked = len(api.requests)
    receipt = shop.run(api, api_version="v3", **settings)

    assert all(request.path.startswith("/api/v3/") for request in api.requests[asked:])
    assert len(api.requests) - asked < 8 + 3  # not from the top
    assert receipt.api_version_before == "v2"
    assert shop.pickups() == as_rows(world.records(), api_version="v3")


@pytest.mark.parametrize("how", quick(["every id is another", "an id is another pickup's"]))
def test_ids_that_turn_out_not_to_match_stop_it_before_anything_is_merged(
    shop: Installation, world: World, how: str
) -> None:
    before = shop.pickups()
    records = world.records()
    if how == "every id is another":
        others = [{**record, "id": record["id"] + 5_000} for record in records]
    else:
        ids = [record["id"] for record in records]
        others = [{**record, "id": id_} for record, id_ in zip(records, [*ids[1:], ids[0]], strict=True)]
    with serve(World.of(others, clock=world.clock)) as elsewhere:
        with pytest.raises(IdsDiffer, match="Sendcloud's v3 has other ids than v2 had: what dhl_express booked at "):
            shop.run(elsewhere, api_version="v3")
        again = shop.command("run", api=elsewhere, SOURCES__SENDCLOUD__API_VERSION="v3")

    assert again.returncode == 3
    assert "Neither that nor what was read with it was merged" in again.stderr
    assert shop.pickups() == before


@pytest.mark.slow
def test_a_window_given_by_a_scheduler_is_held_against_the_table_too_and_changes_nothing_over(
    shop: Installation, world: World, api: Sandbox
) -> None:
    config = shop.folder / ".dlt" / "config.toml"
    bounds = "initial_value = 2026-11-01T00:00:00Z\nend_value = 2026-11-06T00:00:00Z\n"  # two a day: ten
    config.write_text(f"[sources.sendcloud.pickups.created_at]\n{bounds}")
    others = [{**record, "id": record["id"] + 5_000} for record in world.records()]
    with serve(World.of(others, clock=world.clock)) as elsewhere, pytest.raises(IdsDiffer):
        shop.run(elsewhere, api_version="v3")
    receipt = shop.run(api, api_version="v3")
    assert (receipt.rows_changed, receipt.api_version_before) == (10, "v2")
    assert "API: v3, was v2" in receipt.remarks()
    config.write_text("")

    receipt = shop.run(api, api_version="v3")
    assert (receipt.rows_changed, receipt.api_version_before) == (30, "v2")


@pytest.mark.slow
def test_a_twin_booked_at_the_same_instant_is_no_other_id(shop: Installation, world: World, api: Sandbox) -> None:
    """Two published pickups share carrier, booking and window to the microsecond. The elder comes a package before."""
    newest = world.records()[0]
    twin = {name: newest[name] for name in ("carrier", "country", "tracking_number")}
    world.book(**twin, created_at=datetime.fromisoformat(newest["created_at"]))
    api.order = "ascending"
    shop.run(api, api_version="v3", page_size=10, pages_per_package=1)

    assert shop.pickups() == as_rows(world.records(), api_version="v3")


@pytest.mark.slow
def test_a_record_that_neither_version_sends_readably_waits_as_the_last_one_sent_it(
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
def test_each_account_has_a_version_of_its_own(installation: Installation) -> None:
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
def test_a_version_that_there_is_not_is_refused(installation: Installation, api: Sandbox, version: str) -> None:
    done = installation.command("run", api=api, SOURCES__SENDCLOUD__API_VERSION=version)

    assert done.returncode == 3
    assert "[sources.sendcloud] api_version (SOURCES__SENDCLOUD__API_VERSION in the environment) is" in done.stderr
    assert api.requests == []


@pytest.fixture(scope="module")
def both(templates: Templates) -> dict[str, Path]:
    """The published files of the same world of 3,000 pickups, read by v2 and by v3."""
    return {
        version: templates.made(f"by-{version}", lambda folder, version=version: _read_by(version, folder))
        / "data"
        / "pickups.duckdb"
        for version in ("v2", "v3")
    }


def _read_by(version: str, folder: Path) -> None:
    (folder / ".dlt").mkdir()
    with pytest.MonkeyPatch.context() as patched, serve(World.seeded(3_000, seed=11, until=NOW)) as api:
        Installation(folder, patched).run(api, api_version=version)


# which run it was, and what it took: pages of v3 are smaller
OF_THE_RUN = (
    "run_id, started_at_utc, finished_at_utc, pages, requests, waited_seconds, seconds, hours_since_last_success"
)
DIFFERS = {"pickups": "api_version, last_load_id", "runs": OF_THE_RUN}


@pytest.mark.parametrize("view", [path.stem for path in models.views()])
def test_the_same_world_gives_the_same_views_by_either_version(both: dict[str, Path], view: str) -> None:
    columns = f"* exclude ({DIFFERS[view]})" if view in DIFFERS else "*"
    query = f"select {columns} from analytics.{view} order by all"
    found = {version: [rounded(row) for row in rows_of(path, query)] for version, path in both.items()}

    assert found["v3"] == found["v2"]
    assert found["v2"] or view == "quarantine"


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Sums of fractions differ in their last digits with the order in which DuckDB's threads add them up."""
    return {name: round(value, 12) if isinstance(value, float) else value for name, value in row.items()}
