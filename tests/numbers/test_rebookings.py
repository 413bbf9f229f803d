"""Which cancellations count as rebooked, and the rates without them, by values worked out by hand.

The default pickup in by_hand.py is for dpd in NL, booked on Friday 2026-03-06 at 09:00 UTC and observed on 2026-04-01.
"""

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
    """One of 4 cancelled pickups was rebooked, and its new booking is one of the 6 kept. The net rate is 3 of 9.

    9 of the 10 pickups were booked on one day, so the average cluster size is (9 * 9 + 1) / 10 = 8.2. The design effect
    is 1 + (8.2 - 1) / 3 = 3.4.
    """
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
    assert interval == close(wilson(3 / 3.4, 9 / 3.4))


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


def kept_on(*days: str, **changes) -> list:
    """Returns kept pickups that were booked at 09:00 UTC on these days of March."""
    return [pickup(created_at=f"2026-03-{day} 09:00Z", **changes) for day in days]


MISTAKE = {"created_at": "2026-03-08 09:00Z", "cancelled_at": "2026-03-08 10:00Z"}  # cancelled after an hour


@pytest.mark.parametrize(
    ("days", "is_rebooked", "chance"),
    [
        (["01", "02", "03", "04", "05", "06", "07", "09", *map(str, range(10, 17))], True, 1),  # books every day
        (["02", "05", "11", "14", "17"], False, 0),  # every third day
        (["06", "07", "15"], False, 0.5),  # a booking follows that of the 6th, and none that of the 15th
        (["01", "02", "05"], False, 1),  # the 5th is nearer, but found only because none was booked on the 6th
        (["07", "09", "14"], True, 0),  # all are too near, so there is nothing to compare with
        ([], False, 0),
    ],
)
def test_chance_is_the_share_of_two_kept_bookings_that_another_follows(warehouse, days, is_rebooked, chance):
    """The comparison begins on the 1st, a week before the cancelled booking, and on the 15th, a week after it."""
    con = warehouse(cancelled(**MISTAKE), *kept_on(*days))

    assert only(con, "is_rebooked, chance_of_a_booking", "rebookings") == (is_rebooked, chance)


@pytest.mark.parametrize(("days", "chance"), [(["10", "17"], 1), (["12", "19"], 1), (["13", "20"], 0)])
def test_booking_is_compared_if_its_24_hours_are_over_before_the_cancelled_booking(warehouse, days, chance):
    """Booked on the 20th and cancelled six days and an hour later, so the comparison begins two weeks before.

    The 24 hours after the same delay end on the 19th for a booking of the 12th, and on the 20th for one of the 13th.
    """
    late = {"created_at": "2026-03-20 09:00Z", "cancelled_at": "2026-03-26 10:00Z"}
    con = warehouse(cancelled(**late), *kept_on(*days))

    assert only(con, "chance_of_a_booking", "rebookings") == chance


def test_cancelled_bookings_and_those_of_other_keys_are_no_comparison(warehouse):
    others = [pickup(created_at=f"2026-03-{day} 09:00Z", carrier="ups") for day in ("11", "12")]
    gone = [cancelled(created_at="2026-03-05 09:00Z", cancelled_at=None), *kept_on("06")]
    con = warehouse(cancelled(**MISTAKE), *gone, *others)

    assert only(con, "chance_of_a_booking", "rebookings") == 0


@pytest.mark.parametrize(("observed_at", "chance"), [("2026-03-16 10:00Z", 0.5), ("2026-03-16 09:59Z", 1)])
def test_comparison_counts_only_if_its_24_hours_are_over(warehouse, observed_at, chance):
    """A booking follows that of the 6th. None follows that of the 15th until the 16th at 10:00."""
    con = warehouse(cancelled(**MISTAKE), *kept_on("06", "07", "15"), runs=[run(observed_at=observed_at)])

    assert only(con, "chance_of_a_booking", "rebookings") == chance


@pytest.mark.parametrize(("booked_again_at", "is_rebooked"), [("09:10:00", False), ("09:10:00.000001", True)])
def test_bookings_of_the_same_batch_are_no_rebookings(warehouse, booked_again_at, is_rebooked):
    """The pickup is cancelled a minute after its booking at 09:00."""
    gone = cancelled(created_at="2026-03-08 09:00:00Z", cancelled_at="2026-03-08 09:01:00Z")
    con = warehouse(gone, pickup(created_at=f"2026-03-08 {booked_again_at}Z"))

    assert only(con, "is_rebooked", "rebookings") is is_rebooked


def test_net_rate_leaves_out_only_the_rebookings_beyond_chance(warehouse):
    """Two cancellations, both followed by a booking. One of them would be followed anyway.

    Of the 2 - 1 cancellations that wouldn't be followed by chance, 2 - 1 were rebooked, so the share is 1 and both are
    left out. Of the 11 + 3 + 2 = 16 pickups, 14 remain, and none of them was cancelled for good.
    """
    daily = ["02", "03", "04", "05", "06", "07", "09", "10", "11", "12", "13"]
    rare = [*kept_on("01", "14", contract=2), pickup(created_at="2026-03-08 12:00Z", contract=2)]
    con = warehouse(cancelled(**MISTAKE), *kept_on(*daily), cancelled(**MISTAKE, contract=2), *rare)

    columns = "mature_rebooked, rebooked_by_chance, rebooked_beyond_chance_share, net_cancelled, net_rated"
    assert only(con, columns, "carrier_net_cancellations", "country = 'all'") == close((2, 1, 1, 0, 14))


def test_fewer_rebookings_than_by_chance_leave_the_rate_as_it_is(warehouse):
    """No booking follows the cancellation. One of two comparable bookings is followed. The share is not negative."""
    con = warehouse(cancelled(**MISTAKE), *kept_on("06", "07", "15"))

    columns = "mature_rebooked, rebooked_by_chance, rebooked_beyond_chance_share, net_cancelled, net_rated"
    assert only(con, columns, "carrier_net_cancellations", "country = 'all'") == (0, 0.5, 0, 1, 4)


def test_shop_that_rebooks_nothing_has_its_own_rate_as_net_rate(warehouse):
    """Bookings every day: two of eleven are cancelled after an hour. The next day's bookings follow them anyway."""
    days = ["02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12"]
    gone = [cancelled(created_at=f"2026-03-{day} 12:00Z", cancelled_at=f"2026-03-{day} 13:00Z") for day in ("06", "08")]
    con = warehouse(*kept_on(*days), *gone)

    columns = "mature_rebooked, rebooked_by_chance, net_cancelled, net_rated, net_cancellation_rate"
    assert only(con, columns, "carrier_net_cancellations", "country = 'all'") == close((2, 2, 2, 13, 2 / 13))
