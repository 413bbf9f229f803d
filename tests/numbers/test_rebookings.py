"""Which cancellations count as rebooked, and the rates without them, by values worked out by hand.

The default pickup in by_hand.py is for dpd in NL, booked on Friday 2026-03-06 at 09:00 UTC and observed on 2026-04-01.
"""

import math

import pytest

from tests.support.by_hand import cancelled, close, many, only, pickup, rows, run, wilson

pytestmark = pytest.mark.duckdb2

BOOKED = "2026-03-06 09:00Z"


@pytest.mark.parametrize(
    ("booked_again_at", "is_rebooked"),
    [
        ("2026-03-08 09:00:00Z", False),  # the instant of the cancellation is not after it
        ("2026-03-08 09:00:00.000001Z", True),
        ("2026-03-09 08:59Z", True),
        ("2026-03-09 09:00Z", True),
        ("2026-03-09 09:00:00.000001Z", False),
        ("2026-03-09 09:01Z", False),
        ("2026-03-08 08:59Z", False),  # before the cancellation
    ],
)
def test_cancellation_is_rebooked_if_a_booking_follows_within_24_hours(warehouse, booked_again_at, is_rebooked):
    con = warehouse(cancelled(), pickup(created_at=booked_again_at))

    assert only(con, "is_rebooked", "rebookings") is is_rebooked


def test_cancellation_dated_before_its_own_booking_is_not_rebooked_by_that_booking(warehouse):
    con = warehouse(cancelled(created_at="2026-03-08 09:00:30Z", cancelled_at="2026-03-08 08:59Z"))

    assert only(con, "is_rebooked, cancelled_at_utc::text", "rebookings") == (False, "2026-03-08 08:59:00")


SHORTLY_AFTER = ["2026-03-08 09:10Z", "2026-03-08 10:00Z"]  # in the same hour as the cancellation and in the next hour


@pytest.mark.parametrize("booked_again_at", SHORTLY_AFTER)
@pytest.mark.parametrize(
    "changes",
    [
        {"account": "other"},
        {"carrier": "ups"},
        {"country": "DE"},
        {"country": None},
        {"contract": 58},
        {"contract": None},
    ],
)
def test_booking_with_another_account_carrier_country_or_contract_is_no_rebooking(warehouse, changes, booked_again_at):
    con = warehouse(cancelled(), pickup(created_at=booked_again_at, **changes), runs=[run(), run("other")])

    assert only(con, "is_rebooked", "rebookings") is False


@pytest.mark.parametrize("booked_again_at", SHORTLY_AFTER)
def test_booking_without_country_and_contract_rebooks_a_cancellation_without_them(warehouse, booked_again_at):
    nothing = {"country": None, "contract": None}
    con = warehouse(cancelled(**nothing), pickup(created_at=booked_again_at, **nothing))

    assert only(con, "is_rebooked", "rebookings") is True


@pytest.mark.parametrize("booked_again_at", SHORTLY_AFTER)
def test_contract_0_does_not_match_a_missing_contract(warehouse, booked_again_at):
    con = warehouse(cancelled(contract=None), pickup(created_at=booked_again_at, contract=0))

    assert only(con, "is_rebooked", "rebookings") is False


def test_one_booking_may_rebook_two_cancellations_and_then_be_cancelled_itself(warehouse):
    con = warehouse(
        cancelled(id=1001),
        cancelled(id=1002, cancelled_at="2026-03-08 09:30Z"),
        cancelled(id=1003, created_at="2026-03-08 10:00Z", cancelled_at="2026-03-08 10:15Z"),
    )

    assert rows(con, "pickup_id, is_rebooked", "rebookings") == [(1001, True), (1002, True), (1003, False)]


def test_net_rate_excludes_rebooked_cancellations_from_numerator_and_denominator(warehouse):
    """One of 4 cancelled pickups was rebooked, and its new booking is one of the 6 kept. The net rate is 3 of 9."""
    con = warehouse(
        *many(cancelled, 3, cancelled_at="2026-03-09 12:00Z"),
        cancelled(),
        pickup(created_at="2026-03-08 10:00Z"),
        *many(pickup, 5),
    )

    columns = "country, mature_cancelled, mature_rebooked, net_cancelled, net_rated, net_cancellation_rate"
    assert rows(con, columns, "carrier_net_cancellations") == [
        ("NL", 4, 1, 3, 9, close(3 / 9)),
        ("all", 4, 1, 3, 9, close(3 / 9)),
    ]
    interval = only(
        con, "net_cancellation_rate_low, net_cancellation_rate_high", "carrier_net_cancellations", "country = 'NL'"
    )
    assert interval == close(wilson(3, 9))


def test_cancellation_with_no_recorded_time_stays_in_the_net_rate(warehouse):
    con = warehouse(cancelled(cancelled_at=None), pickup(created_at="2026-03-08 10:00Z"))

    assert rows(con, "*", "rebookings") == []
    assert only(con, "net_cancelled, net_rated", "carrier_net_cancellations", "country = 'all'") == (1, 2)


def test_requested_but_undecided_cancellation_is_not_counted_as_rebooked(warehouse):
    """When it was counted as rebooked, net_cancelled became negative, and the square root in the interval failed."""
    asked = cancelled(pickup_status="CANCELLATION_REQUESTED")
    con = warehouse(asked, pickup(created_at="2026-03-08 10:00Z"), *many(pickup, 4))

    assert rows(con, "*", "rebookings") == []
    columns = "mature_rebooked, net_cancelled, net_rated, net_cancellation_rate"
    assert only(con, columns, "carrier_net_cancellations", "country = 'all'") == (0, 0, 6, 0.0)


def test_immature_rebooked_cancellation_is_in_no_rate(warehouse):
    to_come = {"pickup_from": "2026-04-10 09:00Z", "pickup_until": "2026-04-10 12:00Z"}
    con = warehouse(cancelled(**to_come), pickup(created_at="2026-03-08 10:00Z"))

    assert only(con, "is_rebooked, is_mature", "rebookings") == (True, False)
    assert only(con, "mature_rebooked, net_cancelled, net_rated", "carrier_net_cancellations", "country = 'all'") == (
        0,
        0,
        1,
    )


def test_chance_of_a_booking_is_high_if_a_booking_follows_anyway(warehouse):
    """12 bookings in 6 days are 2 a day, so a booking follows within 24 hours with probability 1 - exp(-2)."""
    days = [pickup(created_at=f"2026-03-{day:02} {hour}:00Z") for day in range(6, 12) for hour in ("09", "21")]
    con = warehouse(*days[:-1], cancelled(created_at="2026-03-12 09:00Z", cancelled_at="2026-03-12 10:00Z"))

    assert only(con, "chance_of_a_booking", "rebookings") == close(1 - math.exp(-2))
    assert only(con, "rebooked_by_chance_share", "carrier_net_cancellations", "country = 'all'") == close(
        1 - math.exp(-2)
    )
