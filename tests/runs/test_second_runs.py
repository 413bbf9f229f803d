"""Tests second runs, in which the first run's results must neither hide nor duplicate a row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.loading import change_detection
from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.installation import Installation, as_rows, as_sent
from tests.support.walking import walked, walked_here
from tests.support.worlds import NOW, a_year_of_settled_pickups

pytestmark = [pytest.mark.duckdb2, pytest.mark.versions, pytest.mark.v3, pytest.mark.places]


def days(number: float) -> timedelta:
    return timedelta(days=number)


def test_loading_twice_changes_nothing(installation: Installation, world: World, api: Sandbox) -> None:
    a_year_of_settled_pickups(world, 40)
    world.book(created_at=NOW - days(1))
    installation.run(api)
    once = installation.rows("select * from sendcloud.pickups order by id")
    loads = installation.rows("select * from sendcloud._dlt_loads")

    receipt = installation.run(api)

    assert installation.rows("select * from sendcloud.pickups order by id") == once  # including _dlt_load_id
    assert (receipt.rows_new, receipt.rows_changed, receipt.rows_unchanged) == (0, 0, 41)
    assert installation.rows("select * from sendcloud._dlt_loads") == loads  # not even an empty load was added


def test_a_pickup_booked_between_two_runs_arrives(installation: Installation, world: World, api: Sandbox) -> None:
    world.book(created_at=NOW - days(3))
    installation.run(api)
    world.advance(hours=2)
    world.book(created_at=NOW + timedelta(hours=1))

    receipt = installation.run(api)

    assert installation.pickups() == as_rows(world.records())
    assert (receipt.rows_new, receipt.rows_changed) == (1, 0)


def test_a_pickup_cancelled_between_two_runs_becomes_cancelled(
    installation: Installation, world: World, api: Sandbox
) -> None:
    pickup = world.book(created_at=NOW - timedelta(hours=3))
    installation.run(api)
    world.advance(hours=1)
    world.cancel(pickup)

    receipt = installation.run(api)

    assert [row["pickup_status"] for row in installation.pickups()] == [as_sent("Cancelled")]
    assert (receipt.rows_new, receipt.rows_changed, receipt.rows_cancelled) == (0, 1, 1)


def test_packages_of_only_new_pickups_are_not_compared_with_the_table(
    installation: Installation, api: Sandbox, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comparison would fail in the first run, whose second package is looked up in the table of the first one."""
    pickups = [world.book(created_at=NOW - days(20 - number)) for number in range(20)]
    world.cancel(pickups[0])
    monkeypatch.setattr(change_detection, "MIN_ROWS_TO_LOOK_UP", 1)
    with monkeypatch.context() as patched:
        patched.setattr(change_detection, "_CHANGED_ROWS", "select * from sendcloud.no_such_table")
        first = installation.run(api, page_size=5, pages_per_package=2)
    assert (first.rows_new, first.rows_changed, first.rows_unchanged, first.rows_cancelled) == (20, 0, 0, 0)
    world.advance(hours=1)
    world.cancel(pickups[-1])
    world.cancel(world.book())

    second = installation.run(api, page_size=5, pages_per_package=2)

    assert (second.rows_new, second.rows_changed, second.rows_cancelled) == (1, 1, 2)
    assert installation.pickups() == as_rows(world.records())


def test_change_to_a_cancelled_pickup_does_not_count_as_a_new_cancellation(
    installation: Installation, world: World, api: Sandbox
) -> None:
    pickup = world.book(created_at=NOW - timedelta(hours=3))
    world.cancel(pickup)
    world.book()
    installation.run(api)
    world.change(pickup, contract=7)

    receipt = installation.run(api)

    assert (receipt.rows_new, receipt.rows_changed, receipt.rows_cancelled) == (0, 1, 0)


def test_cancellation_of_a_pickup_booked_weeks_ago_with_a_future_window_is_found(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """This is the trap in this domain.

    `created_at` lies 45 days before the watermark, and no other field reveals the change.
    """
    early = world.book(created_at=NOW - days(45), pickup_from=NOW + days(3), pickup_until=NOW + days(3.2))
    for number in range(60):
        world.book(created_at=NOW - days(40) + timedelta(hours=10 * number), pickup_status="Failed")
    installation.run(api, page_size=10)
    world.advance(days=1)
    world.cancel(early)

    receipt = installation.run(api, page_size=10)

    assert installation.pickups() == as_rows(world.records())
    assert receipt.rows_changed == 1
    assert receipt.watermark is not None
    assert receipt.watermark - (NOW - days(45)) > days(29)


@walked
def test_every_run_reads_an_open_pickup_again_until_it_is_settled(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The pickup settles 3.2 days from now, and two more pages of other pickups precede it each day.

    The run on day four is the first that can know that it has settled. The change on day five is therefore the first
    that no ordinary run finds. A sweep would find it.
    """
    pickup = world.book(created_at=NOW - days(1), pickup_from=NOW + days(1), pickup_until=NOW + days(1.2))
    installation.run(api, page_size=5, settle_days=2)
    seen = []
    for day in range(1, 6):
        world.advance(days=1)
        world.change(pickup, tracking_number=f"day {day}")
        for _ in range(10):
            world.book(pickup_status="Failed")
        installation.run(api, page_size=5, settle_days=2)
        seen += [row["tracking_number"] for row in installation.pickups() if row["id"] == pickup]

    assert seen == ["day 1", "day 2", "day 3", "day 4", "day 4"]


@walked
def test_two_pickups_with_the_same_created_at_are_two_rows(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book(created_at=NOW - days(1), carrier="fedex")
    installation.run(api)
    world.book(created_at=NOW - days(1), carrier="ups", listed_from=NOW)

    installation.run(api)

    assert [row["carrier"] for row in installation.pickups()] == ["fedex", "ups"]


@walked
def test_booking_on_a_whole_second_does_not_hide_a_later_fraction_of_that_second(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """As text, `…10:00:00Z` sorts after `…10:00:00.250000Z`."""
    second = datetime(2026, 11, 20, 10, tzinfo=UTC)
    world.book(created_at=second)
    installation.run(api, overlap_hours=0)
    world.book(created_at=second + timedelta(milliseconds=250), listed_from=NOW)

    installation.run(api, overlap_hours=0)

    instants = [row["created_at"] for row in installation.pickups()]
    assert instants == [second, datetime(2026, 11, 20, 10, 0, 0, 250_000, tzinfo=UTC)]


@walked_here
def test_booking_listed_late_arrives_even_if_it_is_older_than_the_watermark(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book(created_at=NOW - timedelta(minutes=5))
    installation.run(api)
    world.book(created_at=NOW - timedelta(minutes=50), listed_from=NOW + timedelta(minutes=1))
    world.advance(minutes=2)

    assert installation.run(api).rows_new == 1
    assert installation.pickups() == as_rows(world.records())


@walked
@pytest.mark.parametrize("order", ["descending", "offset"])
def test_booking_during_the_walk_neither_loses_nor_duplicates_a_row(
    installation: Installation, world: World, order: str
) -> None:
    """With offset cursors, the insertion makes the last row of page one reappear as the first row of page two."""
    for number in range(30):
        world.book(created_at=NOW - days(10) + timedelta(hours=number))
    before = as_rows(world.records())

    with serve(world, order=order) as api:
        api.on_request = lambda _api, number: world.book() if number == 2 else None
        installation.run(api, page_size=10)
        first = installation.pickups()
        installation.run(api, page_size=10)

    assert first == before
    assert installation.pickups() == as_rows(world.records())


@walked_here
def test_later_version_wins_if_a_pickup_is_listed_twice_in_one_walk(installation: Installation, world: World) -> None:
    ids = [world.book(created_at=NOW - timedelta(hours=30 - number)) for number in range(20)]

    def push_one_row_on_and_cancel_it(_api: Sandbox, number: int) -> None:
        if number == 2:
            world.book()
            world.cancel(ids[10])  # the last row of page one, which is now also the first row of page two

    with serve(world, order="offset") as api:
        api.on_request = push_one_row_on_and_cancel_it
        receipt = installation.run(api, page_size=10)

    assert receipt.rows_read == 21
    assert {r["id"]: r["pickup_status"] for r in installation.pickups()}[ids[10]] == as_sent("Cancelled")


@pytest.mark.slow
@pytest.mark.parametrize("order", ["ascending", "shuffled"])
def test_any_order_gives_the_same_table_as_newest_first(installation: Installation, world: World, order: str) -> None:
    booked = [NOW - days(60) + timedelta(hours=20 * number) for number in range(60)]
    ids = [world.book(created_at=instant, pickup_from=NOW + days(2)) for instant in booked]

    with serve(world, order=order) as api:
        first = installation.run(api, page_size=10)
        assert installation.pickups() == as_rows(world.records())
        world.advance(days=1)
        world.cancel(ids[0])
        world.book()
        second = installation.run(api, page_size=10)

    assert installation.pickups() == as_rows(world.records())
    assert (first.order, second.order, second.stopped_because) == ("unsorted", "unsorted", "end")
    assert "order: unsorted" in " ".join(second.remarks())


def test_failed_order_check_makes_the_run_read_to_the_end_and_report_it(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """At ten pickups a page, the 61 pickups fill seven pages.

    Once the order is restored, runs are short again.
    """
    a_year_of_settled_pickups(world, 60)
    installation.run(api, page_size=10)
    assert installation.run(api, page_size=10).requests == 2
    api.order = "ascending"
    world.book()

    told = installation.command("run", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="10").stdout

    assert "order: unsorted; the list was not sorted newest first, so it was read to the end" in told
    last = installation.rows("from sendcloud.pickup_runs order by started_at desc limit 1")[0]
    assert (last["order"], last["requests"], last["stopped_because"]) == ("unsorted", 7, "end")
    assert installation.pickups() == as_rows(world.records())
    api.order = "descending"
    again = installation.run(api, page_size=10)
    assert (again.order, again.requests) == ("newest_first", 2)


@walked_here
def test_run_needs_at_most_two_requests_if_every_pickup_is_settled(
    installation: Installation, world: World, api: Sandbox
) -> None:
    a_year_of_settled_pickups(world, 100)
    assert installation.run(api, page_size=10).requests == 10

    second, third = installation.run(api, page_size=10), installation.run(api, page_size=10)

    assert (second.requests, third.requests) == (2, 2)
    assert second.stopped_because == "frontier"


@walked
def test_open_pickup_from_last_month_costs_only_the_pages_down_to_it(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The account has booked 100 settled pickups, then the open pickup, then 25 failed pickups.

    The run reads the newest 26 rows, on pages of 10, and one page beyond them.
    """
    a_year_of_settled_pickups(world, 100)
    world.book(created_at=NOW - days(28), pickup_from=NOW + days(5), pickup_until=NOW + days(5))
    for number in range(25):
        world.book(created_at=NOW - days(27 - number), pickup_status="Failed")
    assert installation.run(api, page_size=10).requests == 13

    receipt = installation.run(api, page_size=10)

    assert receipt.requests == 4
    assert receipt.frontier == NOW - days(28) - timedelta(hours=1)
    assert receipt.open_pickups == 1


@pytest.mark.slow
def test_pickup_open_for_years_moves_the_frontier_back_only_to_the_lookback_limit(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book(created_at=NOW - days(400), pickup_from=datetime(2035, 1, 1, tzinfo=UTC), pickup_until=None)
    for number in range(100):
        world.book(created_at=NOW - days(390 - 3 * number), pickup_status="Failed")
    first = installation.run(api, page_size=10)

    second = installation.run(api, page_size=10)

    assert (first.requests, first.open_beyond_lookback) == (11, 1)
    assert second.requests < 10  # the newest pickup is 93 days old, and the 180 days before it contain 60 pickups
    assert (second.open_beyond_lookback, second.open_pickups) == (1, 1)
    assert "older than max_lookback_days" in " ".join(second.remarks())


@walked_here
def test_missing_newest_pickup_causes_only_one_full_read(
    installation: Installation, world: World, api: Sandbox
) -> None:
    a_year_of_settled_pickups(world, 60)
    newest = world.book(created_at=NOW - days(1), pickup_status="Failed")
    installation.run(api, page_size=10)
    world.remove(newest)
    world.advance(days=1)

    after = [installation.run(api, page_size=10) for _ in range(2)]

    assert [r.requests for r in after] == [6, 2]
    assert [r.order for r in after] == ["unsorted", "newest_first"]
    assert len(installation.pickups()) == 61  # loaded rows stay


def test_run_of_an_empty_account_succeeds_and_its_first_pickup_arrives_later(
    installation: Installation, world: World, api: Sandbox
) -> None:
    receipt = installation.run(api)
    assert receipt.outcome == "succeeded"
    assert installation.pickups() == []
    assert installation.rows("select * from analytics.carrier_cancellations") == []

    world.book()

    assert installation.run(api).rows_new == 1
    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 30])
def test_list_that_cannot_reveal_its_order_is_not_reported_as_unsorted(
    installation: Installation, world: World, api: Sandbox, at_once: int
) -> None:
    for _ in range(at_once):
        world.book()

    receipts = [installation.run(api, page_size=10), installation.run(api, page_size=10)]

    assert [receipt.order for receipt in receipts] == ["newest_first", "newest_first"]
    assert [receipt.remarks() for receipt in receipts] == [[], []]


def test_each_account_has_its_own_memory_and_rows(installation: Installation, world: World) -> None:
    a_year_of_settled_pickups(world, 30)
    other = World(clock=NOW)
    other.book(created_at=NOW - days(200), id=world.records()[0]["id"])

    with serve(world) as api, serve(other) as other_api:
        installation.run(api, account="north")
        receipt = installation.run(other_api, account="south")

    assert receipt.rows_new == 1
    assert installation.pickups() == as_rows(world.records(), "north") + as_rows(other.records(), "south")


@walked
def test_open_pickup_that_is_unreadable_in_one_run_is_still_read_again(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The pickup was booked 45 days ago and is unreadable in the second run.

    It is repaired and cancelled before the third run.
    """
    early = world.book(created_at=NOW - days(45), pickup_from=NOW + days(3), pickup_until=NOW + days(3.2))
    for number in range(60):
        world.book(created_at=NOW - days(40) + timedelta(hours=10 * number), pickup_status="Failed")
    installation.run(api, page_size=10)
    world.change(early, carrier=None)
    assert installation.run(api, page_size=10).quarantined == 1
    world.change(early, carrier="dhl_express")
    world.advance(days=1)
    world.cancel(early)

    installation.run(api, page_size=10)

    assert installation.pickups() == as_rows(world.records())


@walked
def test_booking_that_is_unreadable_when_first_listed_arrives_once_repaired(
    installation: Installation, world: World, api: Sandbox
) -> None:
    a_year_of_settled_pickups(world, 40)
    ways_to_break: list[dict[str, Any]] = [{"carrier": None}, {"created_at": "soon"}, {"country": 7}]
    broken = {world.book(): fields for fields in ways_to_break}
    whole = {pickup: {name: world.record(pickup)[name] for name in fields} for pickup, fields in broken.items()}
    for pickup, fields in broken.items():
        world.change(pickup, **fields)
    installation.run(api, page_size=5)
    for number in range(30):
        world.book(created_at=NOW + timedelta(hours=2 * number), pickup_status="Failed")
    world.advance(days=3)
    installation.run(api, page_size=5)
    for pickup, fields in whole.items():
        world.change(pickup, **fields)

    installation.run(api, page_size=5)

    assert installation.pickups() == as_rows(world.records())


@walked
def test_booking_dated_in_the_future_does_not_hide_changes_to_open_pickups(
    installation: Installation, world: World, api: Sandbox
) -> None:
    early = world.book(created_at=NOW - days(45), pickup_from=NOW + days(3), pickup_until=NOW + days(3.2))
    for number in range(60):
        world.book(created_at=NOW - days(40) + timedelta(hours=10 * number), pickup_status="Failed")
    world.book(created_at=datetime(2060, 1, 1, tzinfo=UTC), listed_from=NOW)
    installation.run(api, page_size=10)
    world.advance(days=1)
    world.cancel(early)
    world.book()

    installation.run(api, page_size=10)

    assert installation.pickups() == as_rows(world.records())


@walked
def test_window_that_ends_in_the_year_9999_fails_no_run(installation: Installation, world: World, api: Sandbox) -> None:
    endless = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    world.book(created_at=NOW - days(400), pickup_from=NOW, pickup_until=endless)
    world.book()
    installation.run(api)

    receipt = installation.run(api)

    assert (receipt.open_pickups, receipt.open_beyond_lookback) == (2, 1)
    assert installation.pickups() == as_rows(world.records())
