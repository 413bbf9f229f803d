"""Compares the statistical views with values worked out by hand for a few pickups, and with scipy, statsmodels and
lifelines for many.

The default pickup in by_hand.py is for dpd in NL, booked on Friday 2026-03-06 at 09:00 UTC and observed on 2026-04-01.
"""

import warnings
from datetime import timedelta
from random import Random

import numpy as np
import pandas as pd
import pytest

from tests.support.by_hand import cancelled, close, instant, many, on_separate_days, only, pickup, rows, run, wilson

pytestmark = pytest.mark.duckdb2

BOOKED = "2026-03-06 09:00Z"


# --- intervals


@pytest.mark.parametrize(
    ("view", "k", "n"),
    [
        *[
            (view, k, n)
            for view in ("carrier_cancellations", "cancellations_by_booking")
            for k, n in [(0, 1), (1, 1), (1, 2), (3, 40), (17, 17), (250, 1_000)]
        ],
        *[("carrier_cancellations_weekly", k, n) for k, n in [(0, 1), (1, 2), (2, 5)]],
    ],
)
def test_interval_of_pickups_booked_on_separate_days_equals_the_wilson_interval_of_statsmodels(warehouse, view, k, n):
    con = warehouse(*on_separate_days([*many(cancelled, k), *many(pickup, n - k)]))
    where = {
        "carrier_cancellations": "country = 'all'",
        "cancellations_by_booking": "carrier = 'all' and measure = 'window length'",
    }

    found = only(con, "cancellation_rate_low, cancellation_rate_high", view, where.get(view, "true"))

    assert found == close(wilson(k, n))


# --- shrunken rates


def pickups_with_rate(carrier, k, n):
    """Returns n pickups for the carrier, booked on separate days, k of which are cancelled."""
    return on_separate_days([*many(cancelled, k, carrier=carrier), *many(pickup, n - k, carrier=carrier)])


SHRUNKEN = "carrier, cancellation_rate_shrunken, cancellation_rank"


def test_carrier_with_one_cancellation_out_of_two_does_not_rank_first(warehouse):
    """With n as the weight of each carrier, the prior is so wide that the carrier with one of two comes first."""
    con = warehouse(
        *pickups_with_rate("dpd", 52, 150), *pickups_with_rate("ups", 100, 2_000), *pickups_with_rate("tiny", 1, 2)
    )

    ranks = {carrier: rank for carrier, _, rank in rows(con, SHRUNKEN, "carrier_cancellations", "country = 'all'")}

    assert ranks == {"dpd": 1, "tiny": 2, "ups": 3}


def test_shrunken_rates_of_two_carriers_equal_values_worked_out_by_hand(warehouse):
    """The carriers have 10 and 2 cancellations in 20 pickups each.

    The mean is 0.3, p(1 - p) is 0.21, and the sum of n(p - mean)^2 is 20 * 0.04 * 2 = 1.6.
    spread = (1.6 - 0.21 * 1) / (0.21 * (40 - 800 / 40 - 1)) = 1.39 / 3.99 = 0.348371..., m = 1 / spread - 1 = 1.870504
    (10 + m * 0.3) / (20 + m) = 0.4828946, (2 + m * 0.3) / (20 + m) = 0.1171054
    """
    con = warehouse(*pickups_with_rate("dpd", 10, 20), *pickups_with_rate("ups", 2, 20))

    assert rows(con, SHRUNKEN, "carrier_cancellations", "country = 'all'") == [
        ("dpd", pytest.approx(0.4828946, abs=1e-6), 1),
        ("ups", pytest.approx(0.1171054, abs=1e-6), 2),
    ]


def test_carriers_that_differ_no_more_than_by_chance_share_one_shrunken_rate(warehouse):
    con = warehouse(*pickups_with_rate("dpd", 3, 10), *pickups_with_rate("ups", 2, 10))

    assert rows(con, SHRUNKEN, "carrier_cancellations", "country = 'all'") == [("dpd", 0.25, 1), ("ups", 0.25, 2)]


@pytest.mark.parametrize(
    ("pickups", "expected"),
    [
        (pickups_with_rate("dpd", 1, 4), [("dpd", 0.25, 1)]),
        (pickups_with_rate("dpd", 4, 4), [("dpd", 1.0, 1)]),
        (pickups_with_rate("dpd", 0, 4), [("dpd", 0.0, 1)]),
        (pickups_with_rate("dpd", 0, 4) + pickups_with_rate("ups", 0, 4), [("dpd", 0.0, 1), ("ups", 0.0, 1)]),
        (pickups_with_rate("dpd", 4, 4) + pickups_with_rate("ups", 0, 4), [("dpd", 1.0, 1), ("ups", 0.0, 2)]),
        (pickups_with_rate("dpd", 1, 1) + pickups_with_rate("ups", 0, 1), [("dpd", 0.5, 1), ("ups", 0.5, 2)]),
        (many(pickup, 2, pickup_status="Failed"), [("dpd", None, None)]),
        (
            [*pickups_with_rate("dpd", 1, 4), *many(pickup, 2, carrier="ups", pickup_status="Failed")],
            [("dpd", 0.25, 1), ("ups", None, None)],
        ),
    ],
    ids=[
        "one carrier",
        "all cancelled",
        "none cancelled",
        "none cancelled with two carriers",
        "all and none cancelled",
        "one pickup each",
        "no carrier rated",
        "one carrier not rated",
    ],
)
def test_shrunken_rate_is_plausible_in_edge_cases(warehouse, pickups, expected):
    con = warehouse(*pickups)

    assert rows(con, SHRUNKEN, "carrier_cancellations", "country = 'all'") == expected


def test_shrunken_rate_equals_the_mean_of_the_posterior_in_scipy(warehouse):
    """numpy computes the prior's moments; scipy computes the posterior. Carriers and countries have separate priors."""
    from scipy import stats

    random = Random(1)
    counts = {f"carrier {i}": (random.randint(0, 5 + 9 * i), 5 + 9 * i) for i in range(7)}
    con = warehouse(*[one for carrier, (k, n) in counts.items() for one in pickups_with_rate(carrier, k, n)])
    k, n = np.array(list(counts.values()), dtype=float).T
    spread, weight = 0.0, n
    for _ in range(4):  # Kleinman (1973), equations 3.4 and 3.5, with the weights of each step from the step before
        mean, share = (weight * k / n).sum() / weight.sum(), weight / weight.sum()
        chance = mean * (1 - mean)
        by_chance = (weight / n * (1 - share)).sum()
        apart = (weight * (k / n - mean) ** 2).sum()
        spread = (apart - chance * by_chance) / (chance * ((weight * (1 - share)).sum() - by_chance))
        weight = n / (1 + spread * (n - 1))
    mean, m = (weight * k / n).sum() / weight.sum(), 1 / spread - 1

    expected = stats.beta(mean * m + k, (1 - mean) * m + n - k).mean()

    for kind in ("country = 'all'", "country = 'NL'"):
        found = rows(con, "carrier, cancellation_rate_shrunken", "carrier_cancellations", kind)
        assert found == [(carrier, close(rate)) for carrier, rate in zip(counts, expected, strict=True)]


def test_estimated_prior_matches_the_beta_distribution_that_generated_the_rates(warehouse):
    """200 carriers with 50 pickups each draw rates from Beta(4, 16). The estimate of m = 20 is within its scatter."""
    from scipy import stats

    drawn = stats.betabinom(50, 4, 16).rvs(200, random_state=3)
    con = warehouse(*[one for i, k in enumerate(drawn) for one in pickups_with_rate(f"{i:03}", int(k), 50)])

    found = rows(con, "cancellation_rate, cancellation_rate_shrunken", "carrier_cancellations", "country = 'all'")
    slope = np.polyfit(*np.array(found, dtype=float).T, 1)[0]  # n / (n + m)

    assert 50 / slope - 50 == pytest.approx(20, abs=6)


# --- by week


def test_week_begins_on_monday_in_local_time(warehouse):
    con = warehouse(
        pickup(created_at="2026-03-08 22:30Z", country="NL"),  # Sunday 23:30 in Amsterdam
        pickup(created_at="2026-03-08 23:30Z", country="NL"),  # Monday 00:30 in Amsterdam
        pickup(created_at="2026-03-08 23:30Z", country="PT"),  # Sunday 23:30 in Lisbon
    )

    assert rows(con, "booked_week_local_start, pickups", "carrier_cancellations_weekly") == [
        ("2026-03-02", 2),
        ("2026-03-09", 1),
    ]


def test_each_carrier_and_week_has_its_own_counts_and_rate(warehouse):
    later = {"created_at": "2026-03-09 09:00Z"}
    con = warehouse(
        *many(cancelled, 1), *many(pickup, 3), pickup(pickup_status="Failed"),
        cancelled(**later), pickup(**later), pickup(carrier="ups", **later),
    )  # fmt: skip

    counts = "pickups, mature_cancelled, mature_kept, mature_failed, rated, cancellation_rate"
    assert rows(con, f"carrier, booked_week_local_start, {counts}", "carrier_cancellations_weekly") == [
        ("dpd", "2026-03-02", 5, 1, 3, 1, 4, 0.25),
        ("dpd", "2026-03-09", 2, 1, 1, 0, 2, 0.5),
        ("ups", "2026-03-09", 1, 0, 1, 0, 1, 0.0),
    ]


@pytest.mark.parametrize(
    ("changes", "observed_at", "is_mature"),
    [
        ({}, "2026-04-01 00:00Z", True),
        ({"pickup_until": "2026-04-01 00:00Z"}, "2026-04-01 00:00Z", False),  # the window is not over yet
        ({"pickup_from": None, "pickup_until": None}, "2026-04-01 00:00Z", True),  # mature a week after the booking
        # A week matures a day after its end.
        ({"pickup_until": "2026-03-06 10:00Z", "pickup_from": None}, "2026-03-09 23:59Z", False),
        ({"pickup_until": "2026-03-06 10:00Z", "pickup_from": None}, "2026-03-10 00:00Z", True),
        ({}, None, False),
    ],
)
def test_week_is_mature_if_the_week_and_all_its_windows_are_over(warehouse, changes, observed_at, is_mature):
    con = warehouse(pickup(**changes), runs=[run(observed_at=observed_at)])

    assert only(con, "is_week_mature", "carrier_cancellations_weekly") is is_mature


# --- share cancelled by age


def shares(con, carrier="dpd"):
    """Returns the cancelled share by age in hours."""
    return dict(rows(con, "age_hours, share_cancelled", "cancellation_timing", f"carrier = '{carrier}'"))


def at(hours):
    """Returns the instant that many hours after the default booking."""
    return instant(BOOKED) + timedelta(hours=hours)


def test_share_cancelled_equals_a_plain_count_if_every_pickup_is_observed_long_enough(warehouse):
    """Two of 5 pickups are cancelled, one after 30 minutes and one after 24 h 10 min. One failed, and two are kept."""
    two = [cancelled(cancelled_at=at(0.5)), cancelled(cancelled_at=at(24 + 1 / 6))]
    con = warehouse(*two, pickup(pickup_status="Failed"), pickup(), pickup())

    found = shares(con)

    assert [found[age] for age in (0, 1, 24, 25)] == close([0, 0.2, 0.2, 0.4])
    assert max(found) == 615  # as_of is 2026-04-01, so the other pickups are observed for 25 days and 15 hours


def test_shorter_follow_up_does_not_count_as_at_risk_later(warehouse):
    """At hour 3, only two pickups are at risk, so the share is 1/2, not 1/4.

    Two pickups were booked 1.5 hours before as_of and two long before. One of the older pickups was cancelled after 3
    hours.
    """
    late = {"created_at": "2026-03-31 22:30Z"}
    con = warehouse(*many(pickup, 2, **late), cancelled(cancelled_at=at(3)), pickup())

    found = rows(con, "age_hours, at_risk, cancelled, share_cancelled", "cancellation_timing", "age_hours in (1, 2, 3)")

    assert found == [(1, 4, 0, 0.0), (2, 2, 0, 0.0), (3, 2, 1, 0.5)]


def test_cancellation_in_the_unfinished_last_hour_does_not_count_yet(warehouse):
    late = {"created_at": "2026-03-31 22:30Z"}
    con = warehouse(cancelled(cancelled_at="2026-03-31 23:45Z", **late), pickup(**late))

    assert shares(con) == {0: 0.0, 1: 0.0}


@pytest.mark.parametrize(("hours", "age"), [(0, 0), (-5, 0), (0.001, 1), (1, 1), (1.001, 2), (100, 100), (720, 720)])
def test_cancellation_counts_at_its_age_rounded_up_to_a_whole_hour(warehouse, hours, age):
    con = warehouse(cancelled(cancelled_at=at(hours)), *many(pickup, 3), runs=[run(observed_at="2026-06-01 00:00Z")])

    found = shares(con)

    assert found[age] == 0.25
    assert age == 0 or found[age - 1] == 0.0
    assert len(found) == 721


def test_cancellation_with_no_recorded_time_is_left_out_of_the_share_by_age(warehouse):
    con = warehouse(cancelled(cancelled_at=None), cancelled(cancelled_at=at(1)), pickup())

    assert only(con, "at_risk, share_cancelled", "cancellation_timing", "age_hours = 1") == (2, 0.5)


def test_share_cancelled_by_age_equals_the_estimate_of_lifelines(warehouse):
    """Each of the 400 pickups is cancelled or censored at a different hour, because lifelines breaks ties randomly.

    No pickup is observed for more than 30 days. Failed pickups leave at hour 0.
    """
    from lifelines import AalenJohansenFitter

    random = Random(7)
    hours = random.sample(range(1, 719), 400)
    kinds = [random.choice(["cancelled", "cancelled", "kept", "failed"]) for _ in hours]
    as_of = instant("2026-04-01 00:00Z")
    pickups, duration, event = [], [], []
    for age, kind in zip(hours, kinds, strict=True):
        if kind == "cancelled":
            pickups.append(cancelled(cancelled_at=at(age), created_at=BOOKED))
        elif kind == "failed":
            pickups.append(pickup(pickup_status="Failed"))
        else:
            pickups.append(pickup(created_at=as_of - timedelta(hours=age)))
        duration.append(0 if kind == "failed" else age)
        event.append({"cancelled": 1, "failed": 2, "kept": 0}[kind])
    longest = 615  # the cancelled pickups are observed for this many hours, so no cancellation can be later
    late = [i for i, (age, kind) in enumerate(zip(hours, kinds, strict=True)) if kind == "cancelled" and age > longest]
    con = warehouse(*[one for i, one in enumerate(pickups) if i not in late])
    keep = [i for i in range(len(hours)) if i not in late]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about ties among the failed pickups, all of which are at hour 0
        fitted = AalenJohansenFitter(calculate_variance=False, jitter_level=1e-6, seed=1).fit(
            pd.Series(duration)[keep], pd.Series(event)[keep], event_of_interest=1
        )
    found, reference = shares(con), fitted.cumulative_density_.iloc[:, 0]

    for age in (1, 24, 100, 300, 500, 615):
        assert found[age] == close(reference[reference.index <= age + 0.5].iloc[-1])


# --- cancellations by lead time and window length


def test_band_includes_its_lower_bound_and_excludes_its_upper_bound(warehouse):
    booked = [
        pickup(created_at=instant("2026-03-10 09:00Z") - timedelta(hours=hours))
        for hours in (0, 5.99, 6, 12, 12, 12, 24, 48, 48, 96, 500)
    ]
    con = warehouse(*booked)

    found = rows(
        con, "from_hours, until_hours, rated", "cancellations_by_booking", "carrier = 'all' and measure = 'lead time'"
    )
    assert found == [(0, 6, 2), (6, 12, 1), (12, 24, 3), (24, 48, 1), (48, 96, 2), (96, None, 2)]


def test_window_lengths_have_their_own_bands(warehouse):
    until = [instant("2026-03-10 09:00Z") + timedelta(hours=hours) for hours in (1, 2, 4, 6, 8, 24)]
    con = warehouse(*[pickup(pickup_until=end) for end in until])

    found = rows(
        con,
        "from_hours, until_hours, rated",
        "cancellations_by_booking",
        "carrier = 'dpd' and measure = 'window length'",
    )
    assert found == [(0, 2, 1), (2, 4, 1), (4, 6, 1), (6, 8, 1), (8, None, 2)]


def test_bands_count_only_rated_pickups_with_a_measurement(warehouse):
    con = warehouse(
        cancelled(), pickup(), pickup(carrier="ups"),
        pickup(pickup_status="Failed"), pickup(pickup_status="Announcing"),
        pickup(pickup_until="2026-05-01 00:00Z"),
        pickup(created_at="2026-03-10 10:00Z"),  # has a length but no lead time
        pickup(pickup_until=None),  # has a lead time but no length
    )  # fmt: skip

    found = rows(con, "carrier, measure, rated, mature_cancelled", "cancellations_by_booking")
    assert found == [
        ("all", "booking hour", 1, 0),
        ("all", "booking hour", 4, 1),
        ("all", "booking weekday", 1, 0),
        ("all", "booking weekday", 4, 1),
        ("all", "contract", 5, 1),
        ("all", "lead time", 4, 1),
        ("all", "window length", 4, 1),
        ("dpd", "lead time", 3, 1),
        ("dpd", "window length", 3, 1),
        ("ups", "lead time", 1, 0),
        ("ups", "window length", 1, 0),
    ]


def test_carrier_named_all_is_distinguished_from_the_total_of_all_carriers(warehouse):
    con = warehouse(cancelled(carrier="all"), pickup())

    found = rows(con, "carrier, is_every_carrier, rated", "cancellations_by_booking", "measure = 'lead time'")
    assert found == [("all", False, 1), ("all", True, 2), ("dpd", False, 1)]


# --- runs


def test_each_run_shows_the_hours_since_the_last_success_when_it_ended(warehouse):
    runs = [
        run(run_id="1", started_at="2026-03-01 00:00Z", finished_at="2026-03-01 00:01Z", outcome="failed"),
        run(run_id="2", started_at="2026-03-01 01:00Z", finished_at="2026-03-01 01:01Z"),
        run(run_id="3", started_at="2026-03-01 02:00Z", finished_at="2026-03-01 02:01Z", outcome="failed"),
        run(run_id="4", started_at="2026-03-01 03:00Z", finished_at="2026-03-01 03:01Z"),
        run("other", run_id="5", started_at="2026-03-01 04:00Z", finished_at="2026-03-01 04:01Z"),
    ]

    found = rows(warehouse(runs=runs), "run_id, has_succeeded, hours_since_last_success", "runs")

    assert found == [("1", False, None), ("2", True, None), ("3", False, 1.0), ("4", True, 2.0), ("5", True, None)]


def test_hours_since_the_last_success_come_from_the_run_before_whatever_its_clock_said(warehouse):
    """Run 1 was made in 2031, by its machine's clock, so run 2 can't tell how long ago that was."""
    runs = [
        run(run_number=1, run_id="1", started_at="2031-03-01 00:00Z", finished_at="2031-03-01 01:00Z"),
        run(run_number=2, run_id="2", started_at="2026-03-01 01:00Z", finished_at="2026-03-01 01:01Z"),
        run(run_number=3, run_id="3", started_at="2026-03-01 02:00Z", finished_at="2026-03-01 03:01Z"),
    ]

    found = rows(warehouse(runs=runs), "run_id, hours_since_last_success", "runs")

    assert found == [("1", None), ("2", None), ("3", 2.0)]
