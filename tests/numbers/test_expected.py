"""Compares the expected cancellations of each carrier with values worked out by hand."""

from datetime import timedelta

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


def test_interval_of_the_ratio_is_that_of_the_rate_per_expected_rate_for_the_part_that_is_others(warehouse):
    """Half of the pickups are the carrier's own, so the ratio has half of the variance of the rate."""
    from statsmodels.stats.proportion import proportion_confint

    con = warehouse(*on_own_days(some("dpd", 30, 100), some("ups", 10, 100)))

    low, high = proportion_confint(30, 100, method="wilson")
    found = only(con, "ratio_low, ratio_high", "carrier_expected", "carrier = 'dpd'")
    part = 0.5**0.5
    assert found == (close(1.5 - part * (0.3 - low) / 0.2), close(1.5 + part * (high - 0.3) / 0.2))


def test_pickups_that_are_cancelled_together_are_weaker_evidence(warehouse):
    """dpd has 30 of 100 again, but on three of ten days. The design effect is at least 1 + (10 - 1) * 0.9."""
    booked = instant("2026-03-06 09:00Z")
    days = [
        one | {"created_at": booked - timedelta(days=number)}
        for number in range(10)
        for one in some("dpd", 10 if number < 3 else 0, 10)
    ]
    con = warehouse(*days, *on_own_days(some("ups", 10, 100)))

    assert only(con, "design_effect > 9, stands_out", "carrier_expected", "carrier = 'dpd'") == (True, "no")


def test_holm_divides_the_error_among_the_carriers(warehouse):
    """Among eleven carriers, 32 of 100 after ten times 20 of 100 is not enough for 0.025 / 11, but 40 of 100 is."""
    equal = [some(f"equal {number}", 20, 100) for number in range(10)]
    one, more = (warehouse(*on_own_days(*equal, some("other", k, 100))) for k in (32, 40))

    columns = "abs(score) > 1.96, stands_out"
    assert only(one, columns, "carrier_expected", "carrier = 'other'") == (True, "no")
    assert only(more, columns, "carrier_expected", "carrier = 'other'") == (True, "higher")
