"""Compares the expected cancellations of each carrier with values worked out by hand."""

from datetime import timedelta

import numpy as np
import pytest
from scipy import stats

from tests.support.by_hand import cancelled, close, instant, many, on_separate_days, only, pickup, rows, run

pytestmark = pytest.mark.duckdb2

COUNTS = "carrier, n, observed, expected, ratio, overall_rate, standardized_rate"


def some(carrier, k, n, **changes):
    """Returns n pickups of a carrier, k of which are cancelled."""
    return [*many(cancelled, k, carrier=carrier, **changes), *many(pickup, n - k, carrier=carrier, **changes)]


def test_carriers_that_treat_like_pickups_alike_have_the_ratio_1_whatever_their_mix(warehouse):
    """4 of 40 are cancelled in NL and 12 of 40 in DE. dpd has 10 and 30 of them: 10 * 0.1 + 30 * 0.3 = 10 are expected.

    ups has 30 and 10 of them: 30 * 0.1 + 10 * 0.3 = 6 are expected. Over all, 16 of 80 are cancelled.
    """
    con = warehouse(
        *some("dpd", 1, 10), *some("dpd", 9, 30, country="DE"), *some("ups", 3, 30), *some("ups", 3, 10, country="DE")
    )

    assert rows(con, COUNTS, "carrier_expected") == [
        ("dpd", 40, 10, close(10), close(1), 0.2, close(0.2)),
        ("ups", 40, 6, close(6), close(1), 0.2, close(0.2)),
    ]
    assert rows(con, "stands_out", "carrier_expected") == [("no",), ("no",)]


def test_standardized_rate_is_the_overall_rate_times_observed_per_expected(warehouse):
    """6 of 20 are cancelled. dpd has 5 of 10 and is expected to have 3."""
    con = warehouse(*some("dpd", 5, 10), *some("ups", 1, 10))

    assert rows(con, COUNTS, "carrier_expected") == [
        ("dpd", 10, 5, close(3), close(5 / 3), 0.3, close(0.5)),
        ("ups", 10, 1, close(3), close(1 / 3), 0.3, close(0.1)),
    ]


@pytest.mark.parametrize(
    ("changes", "is_alike"),
    [
        ({}, True),
        ({"created_at": "2026-03-01 09:00Z"}, True),  # 96 hours or more
        ({"created_at": "2026-03-06 09:01Z"}, False),  # 24 to 96 hours
        ({"created_at": "2026-03-09 09:01Z"}, False),  # less than 24 hours
        ({"pickup_until": "2026-03-10 11:00Z"}, True),  # 2 to 4 hours
        ({"pickup_until": "2026-03-10 10:59Z"}, False),
        ({"pickup_until": "2026-03-10 13:00Z"}, False),
        ({"pickup_until": None}, False),
        ({"country": None}, False),
    ],
)
def test_pickups_are_alike_if_country_lead_time_and_window_length_are(warehouse, changes, is_alike):
    con = warehouse(*some("dpd", 1, 4), *some("ups", 1, 4, **changes))

    found = rows(con, "comparable_share, score is null, ratio_low is null, stands_out", "carrier_expected")

    assert found == [(1, False, False, "no") if is_alike else (0, True, True, None)] * 2


def test_only_mature_pickups_that_were_cancelled_or_kept_count(warehouse):
    con = warehouse(*some("dpd", 1, 4), pickup(pickup_status="Failed"), pickup(pickup_until="2026-05-01 00:00Z"))

    assert only(con, "n, observed, expected", "carrier_expected") == (4, 1, 1)


def test_accounts_are_not_compared_with_each_other(warehouse):
    con = warehouse(
        *some("dpd", 3, 4, account="north"), *some("ups", 1, 4, account="south"), runs=[run("north"), run("south")]
    )

    columns = "account, carrier, observed, expected, overall_rate, stands_out"
    assert rows(con, columns, "carrier_expected", "is_every_account") == [
        ("all", "dpd", 3, 3, 0.5, None),
        ("all", "ups", 1, 1, 0.5, None),
    ]
    assert rows(con, columns, "carrier_expected", "account = 'north'") == [("north", "dpd", 3, 3, 0.75, None)]


def on_own_days(*groups):
    return on_separate_days([one for group in groups for one in group])


def test_score_and_funnel_limits_of_independent_pickups(warehouse):
    """dpd has 30 of 100 and ups 10 of 100, so 20 are expected of both. Half of the pickups are the carrier's own.

    The variance is 100 * (1 - 0.5) * 40 * 160 / (200 * 199) = 8.0402.
    """
    con = warehouse(*on_own_days(some("dpd", 30, 100), some("ups", 10, 100)))
    error = (100 * 0.5 * 40 * 160 / (200 * 199)) ** 0.5

    columns = "score, funnel_95_low, funnel_95_high, funnel_998_low, funnel_998_high, stands_out"
    far, near = stats.norm.ppf(0.999) * error / 20, stats.norm.ppf(0.975) * error / 20
    limits = [close(1 - near), close(1 + near), close(1 - far), close(1 + far)]
    assert rows(con, columns, "carrier_expected") == [
        (close(-10 / error), *limits, "lower"),
        (close(10 / error), *limits, "higher"),
    ]
    assert only(con, "design_effect", "carrier_expected", "carrier = 'dpd'") == 1


def test_interval_of_the_ratio_contains_the_ratios_from_which_observed_is_less_than_z_standard_errors_away(warehouse):
    """The bounds solve (30 - 20 * ratio)^2 = z^2 * 8.0402 * ratio, since a sum's variance grows with its mean."""
    con = warehouse(*on_own_days(some("dpd", 30, 100), some("ups", 10, 100)))

    found = only(con, "ratio_low, ratio_high", "carrier_expected", "carrier = 'dpd'")

    variance = 100 * 0.5 * 40 * 160 / (200 * 199)
    roots = np.roots([400, -(1200 + stats.norm.ppf(0.975) ** 2 * variance), 900])
    assert found == close(tuple(sorted(roots)))


def test_interval_allows_for_the_number_of_days(warehouse):
    con = warehouse(*cancelled_on_three_of_ten_days())

    effect, *found = only(con, "design_effect, ratio_low, ratio_high", "carrier_expected", "carrier = 'dpd'")

    variance = effect * 100 * 0.5 * 40 * 160 / (200 * 199)
    roots = np.roots([400, -(1200 + stats.t.ppf(0.975, 9) ** 2 * variance), 900])
    assert found == close(sorted(roots))


def cancelled_on_three_of_ten_days():
    """Returns 100 pickups of dpd on ten days, of which three are cancelled, and 100 of ups on days of their own."""
    booked = instant("2026-03-06 09:00Z")
    days = [
        one | {"created_at": booked - timedelta(days=number)}
        for number in range(10)
        for one in some("dpd", 10 if number < 3 else 0, 10)
    ]
    ups = on_own_days(some("ups", 10, 100))
    return [*days, *(one | {"created_at": one["created_at"] - timedelta(days=10)} for one in ups)]


def test_pickups_that_are_cancelled_together_are_weaker_evidence(warehouse):
    """dpd has 30 of 100 again, and 20 are expected. Half of the pickups are the carrier's own.

    A day of dpd is 0.5 * (10 - 2) or 0.5 * (0 - 2) above what is expected, times sqrt(200 / 190), and one of ups
    -0.5 * (1 - 0.2) or -0.5 * (0 - 0.2), times sqrt(200 / 199).
    """
    con = warehouse(*cancelled_on_three_of_ten_days())
    parts = np.array([4] * 3 + [-1] * 7) * (200 / 190) ** 0.5, np.array([-0.4] * 10 + [0.1] * 90) * (200 / 199) ** 0.5
    residuals = [parts[0] - np.concatenate(parts).sum() / 10, parts[1]]  # the ten days of dpd share the difference
    effect = np.square(np.concatenate(residuals)).sum() / (100 * 0.5 * 40 * 160 / (200 * 199))

    columns = "clusters, clustered_by, design_effect, stands_out"
    assert only(con, columns, "carrier_expected", "carrier = 'dpd'") == (10, "account and day", close(effect), "no")


def test_days_on_which_all_carriers_are_cancelled_are_expected(warehouse):
    """On three of twelve days, all pickups are cancelled. The rate varies a lot, but no carrier differs on any day."""
    booked = instant("2026-03-06 09:00Z")
    pickups = [
        one | {"created_at": booked - timedelta(days=number)}
        for number in range(12)
        for carrier in ("dpd", "ups")
        for one in some(carrier, 5 if number < 3 else 0, 5)
    ]

    found = rows(warehouse(*pickups), "observed, expected, design_effect, stands_out", "carrier_expected")

    assert found == [(15, close(15), 1, "no")] * 2


def test_a_third_is_assumed_for_fewer_than_ten_days(warehouse):
    """On nine days, each carrier has two pickups, so the design effect is 1 + (2 - 1) / 3."""
    booked = instant("2026-03-06 09:00Z")
    pickups = [
        one | {"created_at": booked - timedelta(days=number)}
        for number in range(9)
        for one in [*some("dpd", number % 3, 2), *some("ups", 1, 2)]
    ]

    found = rows(warehouse(*pickups), "clusters, clustered_by, design_effect", "carrier_expected")

    assert found == [(9, "assumption", close(4 / 3))] * 2


def test_clusters_are_accounts_if_there_are_ten_or_more(warehouse):
    """Each of ten accounts has one pickup of dpd and one of ups. Seven times, that of dpd is cancelled, else the other.

    An account's difference is 0.5 or -0.5, and its variance is 1 * 0.5 * 1 * 1 / (2 * 1) = 0.25. The differences add up
    to 2, so the residuals are 0.3 seven times and -0.7 three times.
    """
    accounts = [f"shop {number}" for number in range(10)]
    pickups = [
        one
        for number, account in enumerate(accounts)
        for one in [*some("dpd", number < 7, 1, account=account), *some("ups", number >= 7, 1, account=account)]
    ]
    con = warehouse(*pickups, runs=[run(account) for account in accounts])

    found = only(con, "clusters, clustered_by, score, design_effect", "carrier_expected", "carrier = 'dpd'")

    assert found == (10, "account", close(2 / 2.5**0.5), 1)  # 10 / 9 * (7 * 0.09 + 3 * 0.49) is less than 2.5


def test_holm_divides_the_error_among_the_carriers(warehouse):
    """Among eleven carriers, 32 of 100 after ten times 20 of 100 is not enough for 0.025 / 11, but 40 of 100 is."""
    equal = [some(f"equal {number}", 20, 100) for number in range(10)]
    one, more = (warehouse(*on_own_days(*equal, some("other", k, 100))) for k in (32, 40))

    columns = "abs(score) > 1.96, stands_out"
    assert only(one, columns, "carrier_expected", "carrier = 'other'") == (True, "no")
    assert only(more, columns, "carrier_expected", "carrier = 'other'") == (True, "higher")
