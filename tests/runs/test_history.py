"""The first load of a large account: package by package, each going on where the last complete one stopped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sources.sendcloud.errors import BadReply, ExpiredLink, LoopingLink, Unavailable
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.installation import API_VERSION, TOP, Installation, address_of, as_rows, as_sent, made_once
from tests.support.settled import api as api
from tests.support.settled import as_at_first
from tests.support.settled import one_api as one_api
from tests.support.settled import world as world
from tests.support.templates import PAGES_OF_FIVE
from tests.support.walking import Walking, walked, walked_here
from tests.support.worlds import NOW, settled

pytestmark = [pytest.mark.duckdb2, pytest.mark.v3, pytest.mark.places]

FIVE_A_PAGE = {"page_size": 5, "pages_per_package": 8}


@pytest.fixture(scope="module")
def died_once(one_api: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose first load died in its third package."""
    as_at_first(one_api, settled(100))
    one_api.fault(faults.status(503), page=11, times=None)
    with made_once(tmp_path_factory.mktemp("died")) as installation, pytest.raises(Unavailable):
        installation.run(one_api, **PAGES_OF_FIVE)
    one_api.heal()
    return installation.folder


@pytest.fixture
def died_on_page_11(request: pytest.FixtureRequest, installation: Installation | Walking, api: Sandbox) -> Any:
    """Two packages are loaded, 40 pickups; the third died."""
    if isinstance(installation, Installation):
        return installation.as_in(request.getfixturevalue("died_once"))
    api.fault(faults.status(503), page=11, times=None)
    with pytest.raises(Unavailable):
        installation.run(api, **PAGES_OF_FIVE)
    api.heal()
    return installation


def pages_asked(api: Sandbox, since: int) -> Iterator[str]:
    return (request.path for request in api.requests[since:])


def test_it_is_many_load_packages_and_every_pickup_once(installation: Installation, world: World, api: Sandbox) -> None:
    receipt = installation.run(api, **PAGES_OF_FIVE)

    assert installation.pickups() == as_rows(world.records())
    assert (receipt.pages, receipt.requests, receipt.rows_new, receipt.stopped_because) == (20, 20, 100, "end")
    assert receipt.history_complete
    assert installation.rows("select count(distinct _dlt_load_id) as n from sendcloud.pickups") == [{"n": 5}]


def test_what_was_loaded_before_it_died_is_there_and_told(died_on_page_11: Installation, world: World) -> None:
    assert died_on_page_11.pickups() == as_rows(world.records()[:40])
    (row,) = died_on_page_11.rows("select outcome, rows_new, pages, history_complete from sendcloud.pickup_runs")
    assert row == {"outcome": "failed", "rows_new": 40, "pages": 10, "history_complete": False}
    # the 40th is 21 + 39 = 60 days before 20 November
    assert "history        back to 2026-09-21, not complete" in died_on_page_11.command("status").stdout


@walked_here
def test_the_next_run_reads_the_head_once_and_then_goes_on_where_the_history_stopped(
    died_on_page_11: Installation, world: World, api: Sandbox
) -> None:
    """Two pages of head (one before the frontier, one behind), then pages 9 to 20: not one from the top again."""
    asked_before = len(api.requests)

    receipt = died_on_page_11.run(api, **FIVE_A_PAGE)

    assert died_on_page_11.pickups() == as_rows(world.records())
    assert receipt.requests == 2 + 12
    assert [path for path in pages_asked(api, asked_before) if "cursor" not in path] == [f"{TOP}5"]
    assert (receipt.rows_new, receipt.history_complete, receipt.is_first_read) == (60, True, False)


@walked
def test_what_was_booked_and_cancelled_meanwhile_arrives_although_the_history_is_not_complete(
    installation: Installation, world: World, api: Sandbox
) -> None:
    early = world.book(created_at=NOW - timedelta(hours=5))
    api.fault(faults.status(503), page=11, times=None)
    with pytest.raises(Unavailable):
        installation.run(api, **FIVE_A_PAGE)
    world.cancel(early)
    world.book()
    with pytest.raises(Unavailable):
        installation.run(api, **FIVE_A_PAGE)

    statuses = {row["id"]: row["pickup_status"] for row in installation.pickups()}
    assert statuses[early] == as_sent("Cancelled")
    assert len(statuses) == 1 + 40 + 1 - 1  # a package of 40, of which `early` is one, and the new booking

    api.heal()
    installation.run(api, **FIVE_A_PAGE)
    assert installation.pickups() == as_rows(world.records())


@walked
def test_an_open_pickup_deep_in_the_history_is_read_again_by_the_runs_after_it(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """It is in the last package; the frontier after the first load must know it."""
    deep = world.book(created_at=NOW - timedelta(days=119), id=1, pickup_from=NOW + timedelta(days=2), listed_from=NOW)
    first = installation.run(api, **FIVE_A_PAGE)
    assert (first.open_pickups, first.history_complete) == (1, True)
    world.cancel(deep)

    second = installation.run(api, **FIVE_A_PAGE)

    assert second.rows_changed == 1
    assert installation.pickups() == as_rows(world.records())


@walked_here
def test_a_stored_link_that_the_api_no_longer_knows_means_again_from_the_top(
    died_on_page_11: Installation, world: World, api: Sandbox
) -> None:
    api.on_request = lambda sandbox, number: sandbox.fault(faults.expired_cursor()) if number == asked + 3 else None
    asked = len(api.requests)

    receipt = died_on_page_11.run(api, **FIVE_A_PAGE)

    assert died_on_page_11.pickups() == as_rows(world.records())
    assert (receipt.history_complete, receipt.rows_new, receipt.requests) == (True, 60, 2 + 1 + 20)


@walked
@pytest.mark.parametrize("order", ["ascending", "shuffled"])
def test_a_list_without_order_comes_to_its_end_too_and_not_by_beginning_again(
    installation: Installation, world: World, order: str
) -> None:
    with serve(world, order=order) as api:
        api.fault(faults.status(503), page=11, times=None)
        with pytest.raises(Unavailable):
            installation.run(api, **FIVE_A_PAGE)
        api.heal()
        asked = len(api.requests)
        world.book()

        receipt = installation.run(api, **FIVE_A_PAGE)
        # 12 pages to the end, or 13 with the new booking, and then all 21: what lies before may have changed
        assert (receipt.history_complete, receipt.order, receipt.requests) == (
            True,
            "unsorted",
            {"ascending": 13, "shuffled": 12}[order] + 21,
        )
        assert len(api.requests) - asked == receipt.requests

        installation.run(api, **FIVE_A_PAGE)

    assert installation.pickups() == as_rows(world.records())


@walked
@pytest.mark.parametrize("after", ["descending", "ascending", "offset"])
def test_an_order_that_changes_while_a_first_load_lies_half_done_costs_no_row(
    installation: Installation, world: World, after: str
) -> None:
    """The stored link stands for a place in the old order, so in the new one rows are passed over."""
    with serve(world, order="shuffled") as api:
        api.fault(faults.status(503), page=11, times=None)
        with pytest.raises(Unavailable):
            installation.run(api, **FIVE_A_PAGE)
        api.heal()
        api.order = after

        installation.run(api, **FIVE_A_PAGE)

    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_a_list_without_order_is_read_in_packages_by_later_runs_too(installation: Installation, world: World) -> None:
    """Memory must not grow with the account: 20 pages of five, eight at a time, by every run."""
    with serve(world, order="shuffled") as api:
        installation.run(api, **FIVE_A_PAGE)
        oldest = world.records()[-1]["id"]
        world.change(oldest, tracking_number="late")
        api.fault(faults.status(503), page=11, times=None)
        with pytest.raises(Unavailable):
            installation.run(api, **FIVE_A_PAGE)
        (row,) = installation.rows("select pages, history_complete from sendcloud.pickup_runs where outcome = 'failed'")
        assert row == {"pages": 10, "history_complete": True}
        api.heal()

        receipt = installation.run(api, **FIVE_A_PAGE)

    assert (receipt.requests, receipt.stopped_because, receipt.order) == (12 + 20, "end", "unsorted")
    assert installation.pickups() == as_rows(world.records())


@walked
def test_a_newest_pickup_that_vanished_costs_one_full_read_in_packages_and_no_more(
    installation: Installation, world: World, api: Sandbox
) -> None:
    installation.run(api, **FIVE_A_PAGE)
    world.remove(world.records()[0]["id"])

    receipt = installation.run(api, **FIVE_A_PAGE)
    assert (receipt.order, receipt.requests, receipt.stopped_because) == ("unsorted", 20, "end")

    receipt = installation.run(api, **FIVE_A_PAGE)
    assert (receipt.order, receipt.requests, receipt.stopped_because) == ("newest_first", 2, "frontier")


@pytest.mark.slow
def test_a_first_load_in_packages_ends_at_the_start_date(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """33 of the 100 are of the last 53 days: 120 - 53 = 67 are older."""
    since = NOW - timedelta(days=53)
    (installation.folder / ".dlt" / "config.toml").write_text(
        f"[sources.sendcloud.pickups.created_at]\ninitial_value = {since:%Y-%m-%dT%H:%M:%SZ}\n"
    )

    receipt = installation.run(api, **PAGES_OF_FIVE)

    assert installation.pickups() == as_rows(world.records()[:33])
    assert (receipt.pages, receipt.history_complete) == (8, True)


@pytest.mark.slow
def test_a_window_given_by_a_scheduler_is_read_whole_however_many_pages_lie_before_it(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The ten pickups that were booked 100 to 91 days ago: pages 15 and 16 of 20."""
    bounds = [f"{NOW - timedelta(days=ago):%Y-%m-%dT%H:%M:%SZ}" for ago in (100, 90)]
    (installation.folder / ".dlt" / "config.toml").write_text(
        "[sources.sendcloud.pickups.created_at]\ninitial_value = {}\nend_value = {}\n".format(*bounds)
    )

    installation.run(api, **FIVE_A_PAGE)

    assert installation.pickups() == as_rows(world.records()[70:80])


def test_a_window_given_by_a_scheduler_leaves_an_unfinished_first_load_as_it_was(
    died_on_page_11: Installation, world: World, api: Sandbox
) -> None:
    window = "initial_value = 2026-10-01T00:00:00Z\nend_value = 2026-10-02T00:00:00Z\n"
    config = died_on_page_11.folder / ".dlt" / "config.toml"
    config.write_text(f"[sources.sendcloud.pickups.created_at]\n{window}")
    assert died_on_page_11.run(api, **FIVE_A_PAGE).outcome == "succeeded"
    config.write_text("")

    receipt = died_on_page_11.run(api, **FIVE_A_PAGE)

    assert (receipt.requests, receipt.history_complete) == (2 + 12, True)
    assert died_on_page_11.pickups() == as_rows(world.records())


@pytest.mark.slow
@pytest.mark.usefixtures("world")
def test_links_that_go_in_circles_from_package_to_package_end_the_run(installation: Installation, api: Sandbox) -> None:
    first = f"{address_of(api)}/pickups/?cursor=cD0yOTAwODE%3D&{TOP.split('?')[1]}5"
    api.fault(faults.stray_link(first), page=8, times=None)

    done = installation.command(
        "run", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="5", SOURCES__SENDCLOUD__PAGES_PER_PACKAGE="4"
    )

    assert done.returncode == 4
    assert "leads back to a page that this walk has read" in done.stderr


@walked
def test_links_that_expire_before_the_next_package_is_read_end_the_run(
    died_on_page_11: Installation, api: Sandbox
) -> None:
    """The stored link is gone, so it walks from the top, once; the link behind its first package is gone too."""
    asked = len(api.requests)
    expired = {asked + 3, asked + 3 + 5}
    api.on_request = lambda sandbox, number: sandbox.fault(faults.expired_cursor()) if number in expired else None

    with pytest.raises(ExpiredLink, match="404 Invalid cursor"):
        died_on_page_11.run(api, **PAGES_OF_FIVE)


@walked
@pytest.mark.parametrize("status", [400, 410])
def test_a_stored_link_that_is_refused_in_any_way_means_again_from_the_top(
    died_on_page_11: Installation, world: World, api: Sandbox, status: int
) -> None:
    asked = len(api.requests)
    api.on_request = lambda sandbox, number: sandbox.fault(faults.status(status)) if number == asked + 3 else None

    assert died_on_page_11.run(api, **FIVE_A_PAGE).history_complete
    assert died_on_page_11.pickups() == as_rows(world.records())


@walked
def test_a_stored_link_to_where_the_api_was_before_it_moved_means_again_from_the_top(
    died_on_page_11: Installation, world: World
) -> None:
    with serve(world) as moved:
        receipt = died_on_page_11.run(moved, **FIVE_A_PAGE)

    assert (receipt.history_complete, receipt.rows_new) == (True, 60)
    assert died_on_page_11.pickups() == as_rows(world.records())


@walked
@pytest.mark.usefixtures("world")
def test_a_last_page_that_leads_back_to_the_first_ends_the_run(installation: Installation, api: Sandbox) -> None:
    api.fault(faults.stray_link(address_of(api) + TOP.removeprefix(f"/api/{API_VERSION}") + "5"), page=20, times=None)

    with pytest.raises(LoopingLink):
        installation.run(api, **FIVE_A_PAGE)


@walked
@pytest.mark.usefixtures("world")
def test_empty_pages_without_end_end_the_run_however_small_its_packages(
    installation: Installation, api: Sandbox
) -> None:
    api.fault(faults.empty_page(), times=None)

    with pytest.raises(BadReply, match="100 empty pages in a row"):
        installation.run(api, page_size=5, pages_per_package=30)


def test_a_package_that_looks_orderly_in_a_list_that_is_not_does_not_stop_at_the_start_date(
    installation: Installation,
) -> None:
    """Listed carrier by carrier, each from new to old, but for the first: the start date is met within each."""
    records = []
    for carrier, days in (("fedex", [3, 1]), ("dhl", range(30)), ("dpd", range(30)), ("ups", range(30))):
        for day in days:
            alone = World(clock=NOW - timedelta(days=day))
            alone.book(carrier=carrier, id=len(records) + 1, pickup_status="Failed")
            records += alone.records()
    (installation.folder / ".dlt" / "config.toml").write_text(
        "[sources.sendcloud.pickups.created_at]\ninitial_value = 2026-11-05T00:00:00Z\n"
    )
    with serve(World.of(records, clock=NOW)) as api:
        installation.run(api, page_size=5, pages_per_package=2)

    # 5 to 20 November are 16 days of each carrier, and the two at the top
    assert len(installation.pickups()) == 3 * 16 + 2
