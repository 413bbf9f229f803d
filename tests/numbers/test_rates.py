"""Compares intervals, design effects and differences with statsmodels, scipy and values worked out by hand.

The default pickup in by_hand.py is for dpd in NL, booked on Friday 2026-03-06 at 09:00 UTC and observed on 2026-04-01.
"""

from datetime import timedelta
from random import Random

import numpy as np
import pytest

from tests.support.by_hand import cancelled, close, instant, many, on_separate_days, only, pickup, rows, run

pytestmark = pytest.mark.duckdb2

BOOKED = instant("2026-03-06 09:00Z")
CARRIERS = "breakdown = 'carrier' and outcome = 'cancelled' and is_every_account"


def day(number, k, n, **changes):
    """Returns n pickups that were booked that many days before the default day, k of which are cancelled."""
    booked = {"created_at": BOOKED - timedelta(days=number), **changes}
    return [*many(cancelled, k, **booked), *many(pickup, n - k, **booked)]


def all_days(counts, **changes):
    return [one for number, (k, n) in enumerate(counts) for one in day(number, k, n, **changes)]


# --- the design effect


def test_pickups_of_one_day_are_one_cluster_and_a_third_of_the_variance_is_assumed_to_lie_between_days(warehouse):
    """Nine pickups on one day count as 9 / (1 + 8 / 3) = 2.4545 pickups, whose interval is that of Wilson.

    z = 1.96, p = 1/3, n = 2.4545: (2np + z² ± z √(z² + 4np(1 - p))) / 2(n + z²)
    = (1.6364 + 3.8415 ± 1.96 √(3.8415 + 2.1818)) / 12.5920 = (5.4778 ± 4.8102) / 12.5920
    """
    con = warehouse(*day(0, 3, 9))

    assert only(con, "clusters, clustered_by, design_effect", "rates", CARRIERS) == (1, "assumption", close(11 / 3))
    assert only(con, "rate_low, rate_high", "rates", CARRIERS) == (
        pytest.approx(0.05302, abs=1e-4),
        pytest.approx(0.81702, abs=1e-4),
    )


def test_average_size_of_a_cluster_is_weighted_by_size(warehouse):
    """Two days with 1 and 9 pickups: the average pickup has (1 + 81) / 10 = 8.2 in its cluster."""
    con = warehouse(*day(0, 0, 1), *day(1, 3, 9))

    assert only(con, "clusters, design_effect", "rates", CARRIERS) == (2, close(1 + 7.2 / 3))


def test_design_effect_equals_the_cluster_robust_variance_of_statsmodels(warehouse):
    """With an intercept alone, the variance of least squares with clusters is that of the rate."""
    import statsmodels.api as sm

    random = Random(3)
    counts = [(random.choice([0, 0, n // 3, n]), n) for n in (random.randint(1, 9) for _ in range(25))]
    con = warehouse(*all_days(counts))
    outcomes = np.array([i < k for k, n in counts for i in range(n)], dtype=float)
    groups = np.array([number for number, (_, n) in enumerate(counts) for _ in range(n)])
    fitted = sm.OLS(outcomes, np.ones_like(outcomes)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    independent = outcomes.var(ddof=1) / len(outcomes) * (len(outcomes) - 1) / len(outcomes)

    effect = only(con, "design_effect", "rates", CARRIERS)

    share = outcomes.mean()
    assert effect == close(fitted.cov_params()[0, 0] / (share * (1 - share) / (len(outcomes) - 1)))
    assert independent == close(share * (1 - share) / len(outcomes))
    assert effect > 1.5


def test_interval_with_clusters_equals_the_wilson_interval_of_statsmodels_with_students_t(warehouse):
    from scipy import stats
    from statsmodels.stats.proportion import proportion_confint

    con = warehouse(*all_days([(4, 4), (0, 5), (0, 6)] * 5))
    n, k, effect, clusters, *interval = only(
        con, "n, k, design_effect, clusters, rate_low, rate_high", "rates", CARRIERS
    )
    t = stats.t.ppf(0.975, clusters - 1)

    expected = proportion_confint(k / effect, n / effect, alpha=2 * stats.norm.sf(t), method="wilson")

    assert (n, k, clusters) == (75, 20, 15)
    assert effect > 2
    assert interval == [close(expected[0]), close(expected[1])]


def test_clusters_are_accounts_if_there_are_ten_or_more(warehouse):
    accounts = [f"shop {number}" for number in range(10)]
    pickups = [one for number, name in enumerate(accounts) for one in all_days([(number % 2, 2)] * 3, account=name)]
    con = warehouse(*pickups, runs=[run(account) for account in accounts])

    assert only(con, "clusters, clustered_by", "rates", CARRIERS) == (10, "account")
    own = CARRIERS.replace("is_every_account", "account = 'shop 1'")
    assert only(con, "n, clusters, clustered_by", "rates", own) == (6, 3, "assumption")


def test_days_without_evidence_of_clusters_have_a_design_effect_of_one(warehouse):
    con = warehouse(*all_days([(1, 4)] * 12))

    assert only(con, "clusters, clustered_by, design_effect", "rates", CARRIERS) == (12, "account and day", 1.0)


# --- differences


def two_carriers(dpd, ups, days=20):
    """Returns 20 pickups a day for each carrier, of which `dpd` and `ups` are cancelled, alternating by one."""
    counts = [(dpd + number % 2, 20) for number in range(days)], [(ups + number % 2, 20) for number in range(days)]
    return [*all_days(counts[0], carrier="dpd"), *all_days(counts[1], carrier="ups")]


def test_carriers_that_differ_by_more_than_chance_stand_out(warehouse):
    """dpd has 150 of 400 cancelled, ups 70 of 400."""
    con = warehouse(*two_carriers(7, 3))

    found = rows(con, "carrier, k, n, others_rate, difference, stands_out", "rates", CARRIERS)

    assert found == [
        ("dpd", 150, 400, close(70 / 400), close(0.2), "higher"),
        ("ups", 70, 400, close(150 / 400), close(-0.2), "lower"),
    ]
    assert all(low < difference < high for difference, low, high in rows(
        con, "difference, difference_low, difference_high", "rates", CARRIERS
    ))  # fmt: skip


def test_carriers_that_differ_no_more_than_chance_do_not_stand_out(warehouse):
    con = warehouse(*day(0, 14, 100, carrier="dhl"), *day(0, 5, 40, carrier="gls"), *day(0, 12, 100, carrier="ups"))

    assert {stands_out for (stands_out,) in rows(con, "stands_out", "carrier_cancellations")} == {"no", None}


def test_interval_of_a_difference_of_independent_rates_is_newcombes(warehouse):
    """Newcombe (1998), method 10, for 56/70 and 48/80: 0.2, from 0.0524 to 0.3339."""
    con = warehouse(
        *on_separate_days([*many(cancelled, 56, carrier="dpd"), *many(pickup, 14, carrier="dpd")]),
        *[
            one | {"created_at": one["created_at"] - timedelta(days=100)}
            for one in on_separate_days([*many(cancelled, 48, carrier="ups"), *many(pickup, 32, carrier="ups")])
        ],
    )

    found = only(con, "difference, difference_low, difference_high", "rates", f"{CARRIERS} and carrier = 'dpd'")

    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def newcombe(k, n, others_k, others_n):
    """Returns the interval of the difference between two independent rates, from statsmodels' Wilson intervals."""
    from statsmodels.stats.proportion import proportion_confint

    p, q = k / n, others_k / others_n
    low, high = proportion_confint(k, n, method="wilson")
    others_low, others_high = proportion_confint(others_k, others_n, method="wilson")
    return (
        p - q - ((p - low) ** 2 + (others_high - q) ** 2) ** 0.5,
        p - q + ((high - p) ** 2 + (q - others_low) ** 2) ** 0.5,
    )


def test_rate_of_zero_is_not_correlated_with_the_others(warehouse):
    """The carriers share their days, but a rate that never varies can't go up and down with another."""
    con = warehouse(
        *on_separate_days([*many(cancelled, 6, carrier="ups"), *many(pickup, 24, carrier="ups")]),
        *on_separate_days(many(pickup, 30)),
    )

    found = only(con, "difference_low, difference_high", "rates", f"{CARRIERS} and carrier = 'ups'")

    assert found == close(newcombe(6, 30, 0, 30))


def test_a_single_day_does_not_tell_how_two_carriers_go_together(warehouse):
    """The design effects are 1 + (40 - 1) / 3 = 14 and 1 + (80 - 1) / 3 = 82 / 3."""
    con = warehouse(*day(0, 20, 40, carrier="ups"), *day(0, 10, 80))

    *found, stands_out = only(
        con, "difference_low, difference_high, stands_out", "rates", f"{CARRIERS} and carrier = 'ups'"
    )

    assert found == close(list(newcombe(20 / 14, 40 / 14, 10 * 3 / 82, 80 * 3 / 82)))
    assert stands_out == "no"


def test_a_single_carrier_is_compared_with_nothing(warehouse):
    assert only(warehouse(*day(0, 1, 4)), "others_rate, difference, stands_out", "rates", CARRIERS) == (
        None,
        None,
        None,
    )


def test_countries_are_compared_within_their_carrier(warehouse):
    con = warehouse(
        *all_days([(7 + i % 2, 20) for i in range(20)], country="NL"), *all_days([(3, 20)] * 20, country="DE"),
        *all_days([(10, 20)] * 20, carrier="ups", country="FR"),
    )  # fmt: skip

    found = rows(con, "carrier, country, stands_out", "carrier_cancellations", "country <> 'all'")

    assert found == [("dpd", "DE", "lower"), ("dpd", "NL", "higher"), ("ups", "FR", None)]


def test_holm_divides_the_error_among_the_carriers_that_are_left(warehouse):
    """Among ten carriers with 20 of 100, one with 34 of 100 is not enough for 0.025 / 10, but one with 40 of 100 is."""
    equal = [one for i in range(9) for one in all_days([(2, 10)] * 10, carrier=f"equal {i}")]
    some, more = (
        warehouse(*equal, *all_days([(k, 10)] * 10, carrier="other")) for k in (3, 4)
    )  # the equal ones have 180 of 900

    assert only(some, "stands_out", "rates", f"{CARRIERS} and carrier = 'other'") == "no"
    assert only(more, "stands_out", "rates", f"{CARRIERS} and carrier = 'other'") == "higher"


# --- other outcomes


def test_status_conflicts_count_as_kept_in_the_rate_by_status(warehouse):
    con = warehouse(*day(0, 2, 8), pickup(cancelled_at="2026-03-08 09:00Z"))

    found = only(con, "cancellation_rate, cancellation_rate_by_status", "carrier_cancellations", "country = 'all'")

    assert found == (close(3 / 9), close(2 / 9))


def test_early_signal_counts_cancellations_within_48_hours_of_bookings_that_were_watched_that_long(warehouse):
    con = warehouse(
        cancelled(cancelled_at=BOOKED + timedelta(hours=48)),
        cancelled(cancelled_at=BOOKED + timedelta(hours=49)),
        pickup(pickup_status="Failed"),
        pickup(created_at="2026-03-30 00:00Z", pickup_until="2026-04-10 00:00Z"),  # watched for exactly 48 hours
        cancelled(created_at="2026-03-30 00:01Z", cancelled_at="2026-03-30 00:02Z"),
    )

    found = rows(
        con,
        "booked_week_local_start, watched_48_hours, cancelled_within_48_hours, is_early_signal_complete",
        "carrier_cancellations_weekly",
    )

    assert found == [("2026-03-02", 3, 1, True), ("2026-03-30", 1, 0, False)]


def test_cancellations_count_half_at_the_age_at_which_the_share_reaches_half_of_its_last_value(warehouse):
    """Of four cancellations, two come within 10 hours. The fifth has no time, so its age is unknown."""
    timed = [cancelled(cancelled_at=BOOKED + timedelta(hours=hours)) for hours in (2, 10, 30, 40)]
    con = warehouse(*timed, cancelled(cancelled_at=None), *many(pickup, 5))

    found = only(con, "half_age_hours, cancelled_without_time", "cancellation_timing", "age_hours = 50")

    assert found == (10, 1)


def test_late_share_leaves_out_pickups_that_were_booked_less_than_24_hours_ahead(warehouse):
    con = warehouse(
        cancelled(created_at="2026-03-09 20:00Z", cancelled_at="2026-03-09 21:00Z"),  # 13 hours ahead: late anyway
        cancelled(created_at="2026-03-06 09:00Z", cancelled_at="2026-03-09 21:00Z"),
        cancelled(),
    )

    counts = "mature_late_cancellations, mature_late_cancellations_booked_ahead, mature_cancelled_booked_ahead"
    assert only(con, counts, "carrier_cancellations", "country = 'all'") == (2, 1, 2)


def test_a_pickup_that_was_not_cancelled_is_no_late_cancellation(warehouse):
    con = warehouse(pickup(pickup_status="Cancellation_failed", cancelled_at="2026-03-10 08:00Z"))

    assert only(con, "is_late_cancellation, is_cancelled_after_start") == (False, False)
    assert only(con, "max(share_cancelled)", "cancellation_timing") == 0
