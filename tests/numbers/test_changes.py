"""Compares the changes of rates with statsmodels and values worked out by hand.

The default run observed the list on Wednesday 2026-04-01. The later period is therefore from 2026-03-02 to 2026-03-30,
and the earlier one begins on 2026-02-02. The default pickup in by_hand.py belongs to the later period.
"""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.numbers.test_rates import newcombe
from tests.support.by_hand import cancelled, close, instant, many, on_separate_days, only, pickup, rows, run

pytestmark = pytest.mark.duckdb2

FOUR_WEEKS = timedelta(days=28)
TIMES = ("pickup_from", "pickup_until", "created_at")
MIX = "before_rate_at_one_mix, now_rate_at_one_mix, difference"


def now(k, n, **changes):
    """Returns n pickups of the later period, k of which are cancelled."""
    return [*many(cancelled, k, **changes), *many(pickup, n - k, **changes)]


def before(k, n, **changes):
    return earlier(now(k, n, **changes))


def earlier(pickups):
    return [one | {time: one[time] - FOUR_WEEKS for time in TIMES} for one in pickups]


def independent(k0, n0, k1, n1, **changes):
    """Returns pickups of both periods, each booked on a day of its own."""
    both = on_separate_days([*now(k1, n1, **changes), *now(k0, n0, **changes)])
    return [*both[:n1], *earlier(both[n1:])]


def on_days(pickups, days):
    """Spreads the pickups over that many days of booking. The lead times stay at 96 hours or more."""
    return [one | {"created_at": one["created_at"] - timedelta(days=i % days)} for i, one in enumerate(pickups)]


# --- the periods


@pytest.mark.parametrize(
    ("until", "observed_at", "expected"),
    [
        ("2026-02-01 23:59Z", "2026-04-01 00:00Z", None),
        ("2026-02-02 00:00Z", "2026-04-01 00:00Z", (1, 0)),
        ("2026-03-01 23:59Z", "2026-04-01 00:00Z", (1, 0)),
        ("2026-03-02 00:00Z", "2026-04-01 00:00Z", (0, 1)),
        ("2026-03-29 23:59Z", "2026-04-01 00:00Z", (0, 1)),
        ("2026-03-30 00:00Z", "2026-04-01 00:00Z", None),
        ("2026-03-29 23:59Z", "2026-03-30 00:00Z", (0, 1)),
        ("2026-03-29 23:59Z", "2026-03-29 23:59Z", None),  # not mature
        ("2026-03-22 23:59Z", "2026-03-29 23:59Z", (0, 1)),
    ],
)
def test_pickup_counts_in_the_four_weeks_in_which_its_window_ended(warehouse, until, observed_at, expected):
    con = warehouse(pickup(pickup_from=None, pickup_until=until), runs=[run(observed_at=observed_at)])

    found = rows(con, "before_n, now_n", "cancellation_changes")

    assert found == ([expected] if expected else [])


def test_row_names_its_periods_counts_and_rates(warehouse):
    con = warehouse(*before(1, 4), *now(3, 5), pickup(pickup_status="Failed"))

    columns = "before_starts_utc, now_starts_utc, now_ends_utc, before_n, before_k, before_rate, now_n, now_k, now_rate"
    assert only(con, columns, "cancellation_changes") == (
        "2026-02-02", "2026-03-02", "2026-03-30", 4, 1, 0.25, 5, 3, 0.6,
    )  # fmt: skip


def test_periods_of_all_accounts_end_with_the_account_that_was_observed_longest_ago(warehouse):
    con = warehouse(
        *now(0, 2, account="north"),
        *now(0, 3, account="south"),
        runs=[run("north", "2026-03-31 00:00Z"), run("south", "2026-03-29 00:00Z")],
    )

    columns = "account, now_ends_utc, now_n"
    assert rows(con, columns, "cancellation_changes", "is_every_account") == [("all", "2026-03-23", 5)]
    assert rows(con, columns, "cancellation_changes", "not is_every_account") == [
        ("north", "2026-03-30", 2),
        ("south", "2026-03-23", 3),
    ]


# --- one mix


def test_rates_at_one_mix_weight_the_countries_alike_in_both_periods(warehouse):
    """NL has 6 of 30 after 1 of 10, DE 5 of 10 after 9 of 30. Both weigh 30 * 10 / 40, so the rates are means.

    (0.1 + 0.3) / 2 = 0.2 and (0.2 + 0.5) / 2 = 0.35, although the plain rates are 10/40 and 11/40.
    """
    con = warehouse(*before(1, 10), *now(6, 30), *before(9, 30, country="DE"), *now(5, 10, country="DE"))

    assert only(con, MIX, "cancellation_changes") == close((0.2, 0.35, 0.15))
    assert only(con, "before_rate, now_rate", "cancellation_changes") == (0.25, 0.275)


@pytest.mark.parametrize(
    ("created_at", "same_band"),
    [
        ("2026-03-09 09:01Z", "2026-03-10 08:00Z"),
        ("2026-03-09 09:00Z", "2026-03-06 09:01Z"),
        ("2026-03-06 09:00Z", "2026-03-01 09:00Z"),
        ("2026-03-06 09:00Z", "2026-03-10 09:01Z"),  # a window before the booking has no lead time
    ],
)
def test_lead_times_have_three_bands(warehouse, created_at, same_band):
    con = warehouse(*before(1, 4, created_at=created_at), *now(2, 4, created_at=same_band))

    assert only(con, "comparable_share", "cancellation_changes") == 1


def test_pickups_without_counterpart_in_the_other_period_are_not_compared(warehouse):
    con = warehouse(*before(1, 4), *now(3, 6), *now(5, 10, country="DE"), *before(1, 1, carrier="ups"))

    found = rows(con, f"carrier, comparable_share, {MIX}, is_alarm, clustered_by", "cancellation_changes")

    assert found == [
        ("dpd", 0.5, 0.25, 0.5, 0.25, False, "assumption"),
        ("ups", 0, None, None, None, None, None),
    ]


def test_difference_equals_the_slope_of_a_regression_with_a_constant_for_each_stratum(warehouse):
    import statsmodels.api as sm

    counts = [("NL", "a", 1, 7, 5, 9), ("DE", "a", 4, 9, 2, 20), ("NL", "b", 3, 3, 1, 8)]
    con = warehouse(
        *[
            one
            for country, account, k0, n0, k1, n1 in counts
            for one in [
                *before(k0, n0, country=country, account=account),
                *now(k1, n1, country=country, account=account),
            ]
        ],
        runs=[run("a"), run("b")],
    )
    table = pd.DataFrame(
        [
            (country + account, is_now, i < k)
            for country, account, k0, n0, k1, n1 in counts
            for is_now, k, n in ((0, k0, n0), (1, k1, n1))
            for i in range(n)
        ],
        columns=["stratum", "is_now", "is_cancelled"],
    )
    predictors = pd.concat([table["is_now"], pd.get_dummies(table["stratum"])], axis=1).astype(float)
    slope = sm.OLS(table["is_cancelled"].astype(float), predictors).fit().params["is_now"]

    assert only(con, "difference", "cancellation_changes", "is_every_account") == close(slope)


# --- intervals


def test_interval_of_independent_pickups_is_newcombes(warehouse):
    con = warehouse(*independent(5, 60, 18, 60))

    found = only(con, "clusters, clustered_by, design_effect", "cancellation_changes")
    assert found == (120, "account and day", 1)
    assert only(con, "difference_low, difference_high", "cancellation_changes") == close(newcombe(18, 60, 5, 60))


def test_a_third_of_the_variance_is_assumed_to_lie_between_fewer_than_ten_days(warehouse):
    """Each period has one day of six pickups, so the design effect is 1 + (6 - 1) / 3 = 8 / 3."""
    con = warehouse(*before(1, 6), *now(3, 6))

    found = only(con, "clusters, clustered_by, design_effect", "cancellation_changes")
    assert found == (2, "assumption", close(8 / 3))
    effective = 6 * 3 / 8
    expected = newcombe(effective / 2, effective, effective / 6, effective)
    assert only(con, "difference_low, difference_high", "cancellation_changes") == close(expected)


def test_clusters_are_accounts_if_there_are_ten_or_more(warehouse):
    """Two of two or none of two are cancelled before, and one of two now, so each account's difference is 0.5 or -0.5.

    All accounts weigh the same, so the variance of the mean of their differences is 10 / 9 * 0.25 / 10. Both rates are
    0.5, so the variance of independent pickups is 0.25 / 19 for each of the two.
    """
    accounts = [f"shop {number}" for number in range(10)]
    pickups = [
        one
        for number, account in enumerate(accounts)
        for one in [*before(2 * (number % 2), 2, account=account), *now(1, 2, account=account)]
    ]
    con = warehouse(*pickups, runs=[run(account) for account in accounts])

    columns = f"{MIX}, clusters, clustered_by, design_effect"
    assert only(con, columns, "cancellation_changes", "is_every_account") == (
        0.5, 0.5, 0, 10, "account", close(10 / 9 * 0.25 / 10 / (2 * 0.25 / 19)),
    )  # fmt: skip
    own = only(con, "clusters, clustered_by", "cancellation_changes", "account = 'shop 1'")
    assert own == (2, "assumption")


def test_residuals_of_sparse_strata_are_corrected(warehouse):
    """Twenty countries have one pickup in each period: kept before, and now cancelled in every other pair of countries.

    Two countries share a day. Each country weighs 1/2, so the difference is 0.5. Every residual is 0.25 or -0.25, and
    is multiplied by sqrt(2 / (2 - 1)). The score of a day is 2 * 1/2 * 0.25 * sqrt(2), so the variance is
    20 / 19 * 20 * 0.125 / 10² = 1 / 38. That of independent pickups is 0.25 / 19.
    """
    pickups = [
        one | {"created_at": one["created_at"] - timedelta(days=number // 2)}
        for number in range(20)
        for one in [*before(0, 1, country=f"X{number}"), *now(number // 2 % 2, 1, country=f"X{number}")]
    ]
    con = warehouse(*pickups)

    found = only(con, "difference, clusters, design_effect", "cancellation_changes")

    assert found == (0.5, 20, close(2))


# --- more than chance


def score(k1, n1, k0, n0):
    """Returns the difference in standard errors, which are 1 / 1.96 of the distance to Newcombe's bound."""
    difference = k1 / n1 - k0 / n0
    return stats.norm.ppf(0.975) * difference / (difference - newcombe(k1, n1, k0, n0)[0])


@pytest.mark.parametrize("k", [19, 20, 23, 24])
def test_change_is_more_than_chance_at_5_percent_and_an_alarm_at_1_percent(warehouse, k):
    con = warehouse(*independent(10, 100, k, 100))

    found = only(con, "difference_low > 0, is_more_than_chance, is_alarm", "cancellation_changes")

    errors = score(k, 100, 10, 100)
    assert found == (errors > 1.96, errors > 1.96, errors > 2.5758)


def test_holm_divides_the_error_among_the_carriers(warehouse):
    """Among twenty carriers, 25 of 100 after 10 is no more than chance, but 40 is an alarm."""
    others = [one for number in range(19) for one in independent(10, 100, 10, 100, carrier=f"carrier {number}")]
    columns = "is_more_than_chance, is_alarm"

    one, more = (warehouse(*others, *independent(10, 100, k, 100, carrier="other")) for k in (25, 40))

    assert only(one, columns, "cancellation_changes", "carrier = 'other'") == (False, False)
    assert only(more, columns, "cancellation_changes", "carrier = 'other'") == (True, True)
    assert np.sum([alarm for (alarm,) in rows(more, "is_alarm", "cancellation_changes")]) == 1


def test_days_that_were_cancelled_as_a_whole_are_weaker_evidence_than_as_many_pickups(warehouse):
    """In both periods, 25 days have 10 pickups each. Before, 1 of 250 is cancelled, then 20 of 250: two whole days."""
    booked = instant("2026-02-25 09:00Z")
    days = [
        one | {"created_at": booked - timedelta(days=number)}
        for number in range(25)
        for one in now(10 if number < 2 else 0, 10)
    ]
    con = warehouse(*on_days(before(1, 250), 25), *days)

    assert only(con, "is_more_than_chance, is_alarm", "cancellation_changes") == (False, False)
    assert only(con, "design_effect > 5", "cancellation_changes")


def test_change_within_the_interval_of_students_t_is_no_more_than_chance(warehouse):
    """Twelve days of 10 pickups have 0 or 2 cancellations before, and 0 or 6 then. 0 is just within the interval."""
    booked = instant("2026-03-06 09:00Z")

    def days(k):
        groups = [now(k if number % 2 else 0, 10) for number in range(12)]
        return [one | {"created_at": booked - timedelta(days=day)} for day, group in enumerate(groups) for one in group]

    found = only(
        warehouse(*earlier(days(2)), *days(6)), "difference_low, is_more_than_chance, clusters", "cancellation_changes"
    )

    assert found == (pytest.approx(-0.0056, abs=1e-4), False, 24)
