"""Tests the first load of a large account, which reads in packages and resumes after the last complete one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sources.sendcloud.errors import BadResponse, ExpiredLink, LoopingLink, Unavailable
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
def interrupted_folder(one_api: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a project folder whose first load failed at the first page of its third package."""
    as_at_first(one_api, settled(100))
    one_api.fault(faults.status(503), page=9, times=None)
    with made_once(tmp_path_factory.mktemp("died")) as installation, pytest.raises(Unavailable):
        installation.run(one_api, **PAGES_OF_FIVE)
    one_api.heal()
    return installation.folder


@pytest.fixture
def interrupted_load(request: pytest.FixtureRequest, installation: Installation | Walking, api: Sandbox) -> Any:
    """Returns an installation whose first load failed at the first page of its third package.

    Two packages, with 40 pickups in all, are loaded.
    """
    if isinstance(installation, Installation):
        return installation.as_in(request.getfixturevalue("interrupted_folder"))
    api.fault(faults.status(503), page=9, times=None)
    with pytest.raises(Unavailable):
        installation.run(api, **PAGES_OF_FIVE)
    api.heal()
    return installation


def requested_paths(api: Sandbox, since: int) -> Iterator[str]:
    return (request.path for request in api.requests[since:])


def test_first_load_uses_several_packages_and_stores_every_pickup_once(
    installation: Installation, world: World, api: Sandbox
) -> None:
    receipt = installation.run(api, **PAGES_OF_FIVE)

    assert installation.pickups() == as_rows(world.records())
    assert (receipt.pages, receipt.requests, receipt.rows_new, receipt.stopped_because) == (20, 20, 100, "end")
    assert receipt.history_complete
    assert installation.rows("select count(distinct _dlt_load_id) as n from sendcloud.pickups") == [{"n": 5}]


def test_interrupted_first_load_keeps_its_complete_packages_and_reports_them(
    interrupted_load: Installation, world: World
) -> None:
    assert interrupted_load.pickups() == as_rows(world.records()[:40])
    (row,) = interrupted_load.rows("select outcome, rows_new, pages, history_complete from sendcloud.pickup_runs")
    assert row == {"outcome": "failed", "rows_new": 40, "pages": 8, "history_complete": False}
    # the 40th pickup was booked 21 + 39 = 60 days before 20 November
    assert "history        back to 2026-09-21, not complete" in interrupted_load.command("status").stdout


@walked_here
def test_next_run_reads_the_head_once_and_then_resumes_the_history(
    interrupted_load: Installation, world: World, api: Sandbox
) -> None:
    """The run reads two pages of the head, one on each side of the frontier, and then pages 9 to 20.

    It does not restart at the top.
    """
    asked_before = len(api.requests)

    receipt = interrupted_load.run(api, **FIVE_A_PAGE)

    assert interrupted_load.pickups() == as_rows(world.records())
    assert receipt.requests == 2 + 12
    assert [path for path in requested_paths(api, asked_before) if "cursor" not in path] == [f"{TOP}5"]
    assert (receipt.rows_new, receipt.history_complete, receipt.is_first_read) == (60, True, False)


@walked
def test_new_bookings_and_cancellations_arrive_while_the_history_is_incomplete(
    installation: Installation, world: World, api: Sandbox
) -> None:
    early = world.book(created_at=NOW - timedelta(hours=5))
    api.fault(faults.status(503), page=9, times=None)
    with pytest.raises(Unavailable):
        installation.run(api, **FIVE_A_PAGE)
    world.cancel(early)
    world.book()
    with pytest.raises(Unavailable):
        installation.run(api, **FIVE_A_PAGE)

    statuses = {row["id"]: row["pickup_status"] for row in installation.pickups()}
    assert statuses[early] == as_sent("Cancelled")
    assert len(statuses) == 1 + 40 + 1 - 1  # the package of 40 pickups, including `early`, and the new booking

    api.heal()
    installation.run(api, **FIVE_A_PAGE)
    assert installation.pickups() == as_rows(world.records())


@walked
def test_open_pickup_deep_in_the_history_is_read_again_after_the_first_load(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The pickup is in the last package, so the frontier after the first load must reach back to it."""
    deep = world.book(created_at=NOW - timedelta(days=119), id=1, pickup_from=NOW + timedelta(days=2), listed_from=NOW)
    first = installation.run(api, **FIVE_A_PAGE)
    assert (first.open_pickups, first.history_complete) == (1, True)
    world.cancel(deep)

    second = installation.run(api, **FIVE_A_PAGE)

    assert second.rows_changed == 1
    assert installation.pickups() == as_rows(world.records())


@walked_here
def test_expired_stored_link_restarts_the_walk_at_the_top(
    interrupted_load: Installation, world: World, api: Sandbox
) -> None:
    api.on_request = lambda sandbox, number: sandbox.fault(faults.expired_cursor()) if number == asked + 3 else None
    asked = len(api.requests)

    receipt = interrupted_load.run(api, **FIVE_A_PAGE)

    assert interrupted_load.pickups() == as_rows(world.records())
    assert (receipt.history_complete, receipt.rows_new, receipt.requests) == (True, 60, 2 + 1 + 20)


@walked
@pytest.mark.parametrize("order", ["ascending", "shuffled"])
def test_first_load_of_an_unsorted_list_resumes_to_the_end_and_then_reads_the_whole_list(
    installation: Installation, world: World, order: str
) -> None:
    with serve(world, order=order) as api:
        api.fault(faults.status(503), page=9, times=None)
        with pytest.raises(Unavailable):
            installation.run(api, **FIVE_A_PAGE)
        api.heal()
        asked = len(api.requests)
        world.book()

        receipt = installation.run(api, **FIVE_A_PAGE)
        # 12 pages to the end, or 13 with the new booking, and then all 21, because earlier rows may have changed
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
def test_order_change_during_an_interrupted_first_load_loses_no_row(
    installation: Installation, world: World, after: str
) -> None:
    """The stored link marks a position in the old order, so following it skips rows of the new order."""
    with serve(world, order="shuffled") as api:
        api.fault(faults.status(503), page=9, times=None)
        with pytest.raises(Unavailable):
            installation.run(api, **FIVE_A_PAGE)
        api.heal()
        api.order = after

        installation.run(api, **FIVE_A_PAGE)

    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_later_runs_also_read_an_unsorted_list_in_packages(installation: Installation, world: World) -> None:
    """Memory use must not grow with the account.

    Every run therefore reads the 20 pages of five pickups in packages of eight pages.
    """
    with serve(world, order="shuffled") as api:
        installation.run(api, **FIVE_A_PAGE)
        oldest = world.records()[-1]["id"]
        world.change(oldest, tracking_number="late")
        api.fault(faults.status(503), page=9, times=None)
        with pytest.raises(Unavailable):
            installation.run(api, **FIVE_A_PAGE)
        (row,) = installation.rows("select pages, history_complete from sendcloud.pickup_runs where outcome = 'failed'")
        assert row == {"pages": 8, "history_complete": True}
        api.heal()

        receipt = installation.run(api, **FIVE_A_PAGE)

    assert (receipt.requests, receipt.stopped_because, receipt.order) == (12 + 20, "end", "unsorted")
    assert installation.pickups() == as_rows(world.records())


@walked
def test_missing_newest_pickup_causes_only_one_full_read_in_packages(
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
    """Of the 100 pickups, 33 were booked in the last 53 days, and 120 - 53 = 67 are older."""
    since = NOW - timedelta(days=53)
    (installation.folder / ".dlt" / "config.toml").write_text(
        f"[sources.sendcloud.pickups.created_at]\ninitial_value = {since:%Y-%m-%dT%H:%M:%SZ}\n"
    )

    receipt = installation.run(api, **PAGES_OF_FIVE)

    assert installation.pickups() == as_rows(world.records()[:33])
    assert (receipt.pages, receipt.history_complete) == (8, True)


@pytest.mark.slow
def test_scheduler_window_is_read_completely_however_many_pages_precede_it(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The window contains the ten pickups that were booked 100 to 91 days ago, on pages 15 and 16 of 20."""
    bounds = [f"{NOW - timedelta(days=ago):%Y-%m-%dT%H:%M:%SZ}" for ago in (100, 90)]
    (installation.folder / ".dlt" / "config.toml").write_text(
        "[sources.sendcloud.pickups.created_at]\ninitial_value = {}\nend_value = {}\n".format(*bounds)
    )

    installation.run(api, **FIVE_A_PAGE)

    assert installation.pickups() == as_rows(world.records()[70:80])


def test_scheduler_window_does_not_affect_an_unfinished_first_load(
    interrupted_load: Installation, world: World, api: Sandbox
) -> None:
    window = "initial_value = 2026-10-01T00:00:00Z\nend_value = 2026-10-02T00:00:00Z\n"
    config = interrupted_load.folder / ".dlt" / "config.toml"
    config.write_text(f"[sources.sendcloud.pickups.created_at]\n{window}")
    assert interrupted_load.run(api, **FIVE_A_PAGE).outcome == "succeeded"
    config.write_text("")

    receipt = interrupted_load.run(api, **FIVE_A_PAGE)

    assert (receipt.requests, receipt.history_complete) == (2 + 12, True)
    assert interrupted_load.pickups() == as_rows(world.records())


@pytest.mark.slow
@pytest.mark.usefixtures("world")
def test_links_that_loop_across_packages_end_the_run(installation: Installation, api: Sandbox) -> None:
    first = f"{address_of(api)}/pickups/?cursor=cD0yOTAwODE%3D&{TOP.split('?')[1]}5"
    api.fault(faults.stray_link(first), page=8, times=None)

    done = installation.command(
        "run", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="5", SOURCES__SENDCLOUD__PAGES_PER_PACKAGE="4"
    )

    assert done.returncode == 4
    assert "leads back to a page that this walk has read" in done.stderr


@walked
def test_run_fails_if_a_link_expires_again_after_the_restart(interrupted_load: Installation, api: Sandbox) -> None:
    """The stored link has expired, so the run restarts at the top once.

    The link after its first package has expired too, which ends the run.
    """
    asked = len(api.requests)
    expired = {asked + 3, asked + 3 + 5}
    api.on_request = lambda sandbox, number: sandbox.fault(faults.expired_cursor()) if number in expired else None

    with pytest.raises(ExpiredLink, match="404 Invalid cursor"):
        interrupted_load.run(api, **PAGES_OF_FIVE)


@walked
@pytest.mark.parametrize("status", [400, 410])
def test_stored_link_refused_with_400_or_410_restarts_the_walk_at_the_top(
    interrupted_load: Installation, world: World, api: Sandbox, status: int
) -> None:
    asked = len(api.requests)
    api.on_request = lambda sandbox, number: sandbox.fault(faults.status(status)) if number == asked + 3 else None

    assert interrupted_load.run(api, **FIVE_A_PAGE).history_complete
    assert interrupted_load.pickups() == as_rows(world.records())


@walked
def test_stored_link_to_a_former_api_address_restarts_the_walk_at_the_top(
    interrupted_load: Installation, world: World
) -> None:
    with serve(world) as moved:
        receipt = interrupted_load.run(moved, **FIVE_A_PAGE)

    assert (receipt.history_complete, receipt.rows_new) == (True, 60)
    assert interrupted_load.pickups() == as_rows(world.records())


@walked
@pytest.mark.usefixtures("world")
def test_last_page_that_links_to_the_first_page_ends_the_run(installation: Installation, api: Sandbox) -> None:
    api.fault(faults.stray_link(address_of(api) + TOP.removeprefix(f"/api/{API_VERSION}") + "5"), page=20, times=None)

    with pytest.raises(LoopingLink):
        installation.run(api, **FIVE_A_PAGE)


@walked
@pytest.mark.usefixtures("world")
def test_endless_empty_pages_end_the_run_even_if_packages_are_small(installation: Installation, api: Sandbox) -> None:
    api.fault(faults.empty_page(), times=None)

    with pytest.raises(BadResponse, match="100 empty pages in a row"):
        installation.run(api, page_size=5, pages_per_package=30)


def test_package_that_looks_sorted_in_an_unsorted_list_does_not_stop_at_the_start_date(
    installation: Installation,
) -> None:
    """The list is sorted by carrier, and every carrier's pickups except the first's are sorted newest first.

    The start date falls among the pickups of each of those carriers.
    """
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

    # 16 pickups of each of three carriers, from 5 to 20 November, and the two pickups at the top
    assert len(installation.pickups()) == 3 * 16 + 2
