"""The bounds of the expected cancellations, by values worked out by hand.

If n pickups of an account have the probability p and the correlation c, the variance is n p (1 - p) (1 + (n - 1) c),
times 1 + n / N for an estimate from N pickups. N includes the 20 that shrink p. The bounds are 1.96 standard deviations
from the mean, plus 0.4736 standard deviations for each unit of skewness. If the lower bound is below 0, the upper bound
is 1.645 standard deviations from the mean, plus 0.2843 for each unit of skewness. A bound k stands for k - 0.5 or
k + 0.5, so the lower bound is rounded up and the upper bound is rounded down.
"""

from datetime import timedelta

import pytest

from tests.numbers.test_upcoming import VIEW, ahead, gone
from tests.support.by_hand import cancelled, many, only, pickup, rows, run

pytestmark = pytest.mark.duckdb2

BOUNDS = "expected_cancellations, expected_cancellations_low, expected_cancellations_high"
TIMES = ("created_at", "pickup_from", "pickup_until", "cancelled_at")


def on_day(number, *pickups):
    """Returns the pickups with all times that many days earlier."""
    return [one | {time: one[time] - timedelta(days=number) for time in TIMES if one[time]} for one in pickups]


def in_pairs(days=20, hours_before=1, **changes):
    """Returns two pickups on each day. On every other day, both are cancelled."""
    soon = {"hours_before": hours_before, **changes}
    return [
        one
        for number in range(days)
        for one in on_day(number, *(many(gone, 2, **soon) if number % 2 else many(pickup, 2, **changes)))
    ]


def test_days_that_are_never_cancelled_together_are_independent(warehouse):
    """On each of 20 days, one of two is cancelled. 5 of 10 are expected, with a variance of 2.5 * (1 + 10 / 60).

    5 - 1.96 * 1.7078 = 1.65 is rounded up, and 5 + 3.35 = 8.35 is rounded down.
    """
    days = [one for number in range(20) for one in on_day(number, pickup(), gone(1))]
    con = warehouse(*days, *many(ahead, 10))

    assert only(con, BOUNDS, VIEW) == (pytest.approx(5), 2, 8)


def test_days_that_are_always_cancelled_together_allow_for_none_and_all(warehouse):
    """The variance is 2.5 * (1 + 9) * (1 + 10 / 60), and 5 - 1.96 * 5.4 is less than 0."""
    con = warehouse(*in_pairs(), *many(ahead, 10))

    assert only(con, BOUNDS, VIEW) == (pytest.approx(5), 0, 10)


def test_correlation_is_estimated_without_bias(warehouse):
    """On 14 of 20 days, one of two pickups is cancelled, on three days both, and on three days none.

    Six squares are 1, and independent pickups would have 20 * 2 * 38 / 39 * 0.25 = 9.744. The correlation is negative,
    so 0 replaces it. With ten squares, it is (10 - 9.744) / 10 = 0.0256, and with 14 squares 0.4256.
    """

    def bounds(together):
        pairs = in_pairs(together)
        apart = [one for number in range(together, 20) for one in on_day(number, pickup(), gone(1))]
        return only(warehouse(*pairs, *apart, *many(ahead, 20)), BOUNDS, VIEW)

    # the deviation is sqrt(5 * (1 + 19 * c) * (1 + 20 / 60)): 2.58, 3.15 and 7.79
    assert bounds(6) == (pytest.approx(10), 5, 15)
    assert bounds(10) == (pytest.approx(10), 4, 16)
    assert bounds(14) == (pytest.approx(10), 0, 20)


def test_a_third_is_assumed_for_fewer_than_ten_days(warehouse):
    """8 of 40 were cancelled, on one day. 2 of 10 are expected. The variance is 1.6 * 4 * (1 + 10 / 60) = 2.7325 ^ 2.

    The skewness is 0.6 * (1 + 19 / 3) / (4 / 3) * 1.6 * 4 / 2.7325 ^ 3 = 1.035. The lower end is below 0, so the upper
    end is 2 + (1.645 + 0.2843 * 1.035) * 2.7325 = 7.30.
    """
    con = warehouse(*many(pickup, 32), *many(gone, 8, hours_before=1), *many(ahead, 10))

    assert only(con, BOUNDS, VIEW) == (pytest.approx(2), 0, 7)


def test_accounts_are_independent_of_each_other(warehouse):
    """Each of six accounts has a variance of 2.5 * (1 + 9) * (1 + 10 / 60). Of 60, 30 +- 1.96 * 13.23 are expected.

    30 - 25.9 = 4.1 and 30 + 25.9 = 55.9 are rounded to 5 and 55. A single account with 60 pickups could lose all.
    """
    accounts = [f"shop {number}" for number in range(6)]
    con = warehouse(
        *(one for account in accounts for one in in_pairs(account=account)),
        *(one for account in accounts for one in many(ahead, 10, account=account)),
        runs=[run(account) for account in accounts],
    )

    assert only(con, BOUNDS, VIEW) == (pytest.approx(30), 5, 55)
    assert rows(con, BOUNDS, VIEW, "not is_every_account and account <> ''") == [(pytest.approx(5), 0, 10)] * 6


@pytest.mark.parametrize(
    ("cancelled_before", "hours", "bounds"),
    [
        (14, 10, (0, 0, 0)),  # none of the pickups left after 10 hours was cancelled
        (8, 11.4, (5, 2, 8)),  # 4 hours before, no pickup was left whose day was cancelled
        (8, 11.5, (5, 0, 10)),  # counts as 12 hours, so the correlation is that of 24 hours before
        (30, 45.9, (5, 2, 8)),  # 24 hours before, no pickup was left whose day was cancelled
        (30, 46, (5, 0, 10)),  # counts as 48 hours, so the correlation is that of 72 hours before
    ],
)
def test_correlation_is_measured_4_24_or_72_hours_before_the_window(warehouse, cancelled_before, hours, bounds):
    """Whole days are cancelled some hours before the window, every other day."""
    con = warehouse(*in_pairs(60, hours_before=cancelled_before), *many(ahead, 10, hours=hours))

    assert only(con, BOUNDS, VIEW) == pytest.approx(bounds)


def test_bounds_contain_the_nearest_number_if_the_outcome_is_certain(warehouse):
    """All 50 mature pickups were cancelled in the last hour. Shrinking doesn't change p = 1, and the variance is 0."""
    con = warehouse(*many(gone, 50, hours_before=1), *many(ahead, 10))

    assert only(con, BOUNDS, VIEW) == (pytest.approx(10), 10, 10)


def test_few_pickups_that_will_hardly_be_cancelled_have_an_interval_of_one_number(warehouse):
    """5 of 100 were cancelled, each on its own day. Of one pickup, 0.05 is expected, with a deviation of 0.219.

    The skewness is 0.9 / 0.218 = 4.1, limited to 2, so the upper end is 0.05 + (1.645 + 0.569) * 0.219 = 0.53.
    """
    days = [one for number in range(100) for one in on_day(number, pickup() if number % 20 else gone(1))]
    con = warehouse(*days, ahead())

    assert only(con, BOUNDS, VIEW) == (pytest.approx(0.05), 0, 0)


def test_row_without_an_estimate_has_no_bounds(warehouse):
    assert only(warehouse(*many(pickup, 29), ahead()), BOUNDS, VIEW) == (None, None, None)


def test_only_comparable_past_pickups_tell_how_days_go_together(warehouse):
    """Failed pickups, and cancellations without a time, would make days look alike that aren't."""
    days = [one for number in range(20) for one in on_day(number, pickup(), gone(1))]
    others = [
        one
        for number in range(0, 20, 2)
        for one in on_day(number, *many(pickup, 9, pickup_status="Failed"), *many(cancelled, 9, cancelled_at=None))
    ]
    con = warehouse(*days, *others, *many(ahead, 10))

    assert only(con, BOUNDS, VIEW) == (pytest.approx(5), 2, 8)
