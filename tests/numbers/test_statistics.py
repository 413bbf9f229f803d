"""The statistical views: by hand on a handful of pickups, and against scipy, statsmodels and lifelines on many.

The everyday pickup is that of by_hand.py: dpd, NL, booked on Friday 2026-03-06 09:00 UTC, seen on 2026-04-01.
"""

import warnings
from datetime import timedelta
from random import Random

import numpy as np
import pandas as pd
import pytest

from tests.support.by_hand import cancelled, instant, many, only, pickup, rows, run

pytestmark = pytest.mark.duckdb2

BOOKED = "2026-03-06 09:00Z"


def close(expected):
    """To nine digits."""
    return pytest.approx(expected, rel=1e-9, abs=1e-12)


# --- intervals


def wilson(cancelled: int, n: int) -> tuple[float, float]:
    """As statsmodels works it out. Libraries are imported where they are used: together they take three seconds."""
    from statsmodels.stats.proportion import proportion_confint

    return proportion_confint(cancelled, n, method="wilson")


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (1, 2), (3, 40), (17, 17), (250, 1_000)])
@pytest.mark.parametrize("view", ["carrier_cancellations", "carrier_cancellations_weekly", "cancellations_by_booking"])
def test_an_interval_is_wilson_s_as_statsmodels_gives_it(warehouse, view, k, n):
    con = warehouse(*many(cancelled, k), *many(pickup, n - k))
    where = {
        "carrier_cancellations": "country = 'all'",
        "cancellations_by_booking": "carrier = 'all' and until_hours is null",
    }

    found = only(con, "cancellation_rate_low, cancellation_rate_high", view, where.get(view, "true"))

    assert found == close(wilson(k, n))


# --- shrunken rates


def a_rate(carrier, k, n):
    return [*many(cancelled, k, carrier=carrier), *many(pickup, n - k, carrier=carrier)]


SHRUNKEN = "carrier, cancellation_rate_shrunken, cancellation_rank"


def test_one_cancellation_out_of_two_does_not_top_the_list(warehouse):
    con = warehouse(*a_rate("dpd", 30, 100), *a_rate("ups", 10, 100), *a_rate("tiny", 1, 2))

    ranks = {carrier: rank for carrier, _, rank in rows(con, SHRUNKEN, "carrier_cancellations", "country = 'all'")}

    assert ranks == {"dpd": 1, "tiny": 2, "ups": 3}


def test_two_carriers_are_shrunken_as_worked_out_by_hand(warehouse):
    """10 of 20 and 2 of 20. Mean 0.3, p(1 - p) = 0.21; sum of n(p - mean)^2 = 20 * 0.04 * 2 = 1.6.
    spread = (1.6 - 0.21 * 1) / (0.21 * (40 - 800 / 40 - 1)) = 1.39 / 3.99 = 0.348371..., m = 1 / spread - 1 = 1.870504
    (10 + m * 0.3) / (20 + m) = 0.4828946, (2 + m * 0.3) / (20 + m) = 0.1171054
    """
    con = warehouse(*a_rate("dpd", 10, 20), *a_rate("ups", 2, 20))

    assert rows(con, SHRUNKEN, "carrier_cancellations", "country = 'all'") == [
        ("dpd", pytest.approx(0.4828946, abs=1e-6), 1),
        ("ups", pytest.approx(0.1171054, abs=1e-6), 2),
    ]


def test_carriers_that_differ_by_no_more_than_chance_share_one_rate(warehouse):
    con = warehouse(*a_rate("dpd", 3, 10), *a_rate("ups", 2, 10))

    assert rows(con, SHRUNKEN, "carrier_cancellations", "country = 'all'") == [("dpd", 0.25, 1), ("ups", 0.25, 1)]


@pytest.mark.parametrize(
    ("pickups", "expected"),
    [
        (a_rate("dpd", 1, 4), [("dpd", 0.25, 1)]),
        (a_rate("dpd", 4, 4), [("dpd", 1.0, 1)]),
        (a_rate("dpd", 0, 4), [("dpd", 0.0, 1)]),
        (a_rate("dpd", 0, 4) + a_rate("ups", 0, 4), [("dpd", 0.0, 1), ("ups", 0.0, 1)]),
        (a_rate("dpd", 4, 4) + a_rate("ups", 0, 4), [("dpd", 1.0, 1), ("ups", 0.0, 2)]),
        (a_rate("dpd", 1, 1) + a_rate("ups", 0, 1), [("dpd", 0.5, 1), ("ups", 0.5, 1)]),
        (many(pickup, 2, pickup_status="Failed"), [("dpd", None, None)]),
        (
            [*a_rate("dpd", 1, 4), *many(pickup, 2, carrier="ups", pickup_status="Failed")],
            [("dpd", 0.25, 1), ("ups", None, None)],
        ),
    ],
    ids=[
        "one",
        "all cancelled",
        "none cancelled",
        "none of two",
        "opposites",
        "one each",
        "none rated",
        "one not rated",
    ],
)
def test_at_the_ends_a_shrunken_rate_is_what_reason_says(warehouse, pickups, expected):
    con = warehouse(*pickups)

    assert rows(con, SHRUNKEN, "carrier_cancellations", "country = 'all'") == expected


def test_a_shrunken_rate_is_the_mean_of_scipy_s_posterior(warehouse):
    """The prior's moments by numpy, its posterior by scipy; carriers and countries each among their own kind."""
    random = Random(1)
    counts = {f"carrier {i}": (random.randint(0, 5 + 9 * i), 5 + 9 * i) for i in range(7)}
    con = warehouse(*[one for carrier, (k, n) in counts.items() for one in a_rate(carrier, k, n)])
    k, n = np.array(list(counts.values()), dtype=float).T
    mean = k.sum() / n.sum()
    apart = (n * (k / n - mean) ** 2).sum()
    chance = mean * (1 - mean)
    spread = (apart - chance * (len(n) - 1)) / (chance * (n.sum() - (n**2).sum() / n.sum() - (len(n) - 1)))
    m = 1 / spread - 1
    from scipy import stats

    expected = stats.beta(mean * m + k, (1 - mean) * m + n - k).mean()

    for kind in ("country = 'all'", "country = 'NL'"):
        found = rows(con, "carrier, cancellation_rate_shrunken", "carrier_cancellations", kind)
        assert found == [(carrier, close(rate)) for carrier, rate in zip(counts, expected, strict=True)]


def test_the_prior_s_moments_find_the_beta_that_made_the_rates(warehouse):
    """200 carriers of 50 pickups whose rates come from Beta(4, 16): m = 20 is estimated within its scatter."""
    from scipy import stats

    drawn = stats.betabinom(50, 4, 16).rvs(200, random_state=3)
    con = warehouse(*[one for i, k in enumerate(drawn) for one in a_rate(f"{i:03}", int(k), 50)])

    found = rows(con, "cancellation_rate, cancellation_rate_shrunken", "carrier_cancellations", "country = 'all'")
    slope = np.polyfit(*np.array(found, dtype=float).T, 1)[0]  # n / (n + m)

    assert 50 / slope - 50 == pytest.approx(20, abs=6)


# --- by week


def test_a_week_begins_on_monday_by_the_local_clock(warehouse):
    con = warehouse(
        pickup(created_at="2026-03-08 22:30Z", country="NL"),  # Sunday 23:30 in Amsterdam
        pickup(created_at="2026-03-08 23:30Z", country="NL"),  # Monday 00:30
        pickup(created_at="2026-03-08 23:30Z", country="PT"),  # Sunday in Lisbon
    )

    assert rows(con, "booked_week_local_start, pickups", "carrier_cancellations_weekly") == [
        ("2026-03-02", 2),
        ("2026-03-09", 1),
    ]


def test_a_week_has_its_own_counts_and_rate(warehouse):
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
        ({"pickup_until": "2026-04-01 00:00Z"}, "2026-04-01 00:00Z", False),  # not over yet
        ({"pickup_from": None, "pickup_until": None}, "2026-04-01 00:00Z", True),  # has nothing to wait for
        ({"pickup_until": "2026-03-06 10:00Z", "pickup_from": None}, "2026-03-09 23:59Z", False),  # a day is not over
        ({"pickup_until": "2026-03-06 10:00Z", "pickup_from": None}, "2026-03-10 00:00Z", True),
        ({}, None, False),
    ],
)
def test_a_week_is_mature_when_it_and_all_its_windows_are_over(warehouse, changes, observed_at, is_mature):
    con = warehouse(pickup(**changes), runs=[run(observed_at=observed_at)])

    assert only(con, "is_week_mature", "carrier_cancellations_weekly") is is_mature


# --- rebooked


@pytest.mark.parametrize(
    ("booked_again_at", "is_rebooked"),
    [
        ("2026-03-08 09:00:00Z", False),  # the same instant is not after it
        ("2026-03-08 09:00:00.000001Z", True),
        ("2026-03-09 08:59Z", True),
        ("2026-03-09 09:00Z", True),
        ("2026-03-09 09:00:00.000001Z", False),
        ("2026-03-09 09:01Z", False),
        ("2026-03-08 08:59Z", False),  # before it
    ],
)
def test_a_cancellation_is_rebooked_by_a_booking_within_24_hours_after_it(warehouse, booked_again_at, is_rebooked):
    con = warehouse(cancelled(), pickup(created_at=booked_again_at))

    assert only(con, "is_rebooked", "rebookings") is is_rebooked


def test_a_cancellation_dated_before_its_own_booking_is_not_rebooked_by_it(warehouse):
    con = warehouse(cancelled(created_at="2026-03-08 09:00:30Z", cancelled_at="2026-03-08 08:59Z"))

    assert only(con, "is_rebooked, cancelled_at_utc::text", "rebookings") == (False, "2026-03-08 08:59:00")


SOON = ["2026-03-08 09:10Z", "2026-03-08 10:00Z"]  # in the hour of the cancellation, and in the next


@pytest.mark.parametrize("booked_again_at", SOON)
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
def test_a_booking_of_another_kind_is_no_rebooking(warehouse, changes, booked_again_at):
    con = warehouse(cancelled(), pickup(created_at=booked_again_at, **changes), runs=[run(), run("other")])

    assert only(con, "is_rebooked", "rebookings") is False


@pytest.mark.parametrize("booked_again_at", SOON)
def test_without_a_country_or_a_contract_both_times_it_is_the_same_kind(warehouse, booked_again_at):
    nothing = {"country": None, "contract": None}
    con = warehouse(cancelled(**nothing), pickup(created_at=booked_again_at, **nothing))

    assert only(con, "is_rebooked", "rebookings") is True


@pytest.mark.parametrize("booked_again_at", SOON)
def test_a_contract_of_zero_is_not_no_contract(warehouse, booked_again_at):
    con = warehouse(cancelled(contract=None), pickup(created_at=booked_again_at, contract=0))

    assert only(con, "is_rebooked", "rebookings") is False


def test_one_booking_may_follow_two_cancellations_and_a_rebooked_one_may_be_cancelled_again(warehouse):
    con = warehouse(
        cancelled(id=1001),
        cancelled(id=1002, cancelled_at="2026-03-08 09:30Z"),
        cancelled(id=1003, created_at="2026-03-08 10:00Z", cancelled_at="2026-03-08 10:15Z"),
    )

    assert rows(con, "pickup_id, is_rebooked", "rebookings") == [(1001, True), (1002, True), (1003, False)]


def test_the_net_rate_leaves_rebooked_cancellations_out_above_and_below(warehouse):
    """Of 4 cancelled and 6 kept, 1 was rebooked, and its new booking is among the kept: 3 of 9."""
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


def test_a_cancellation_without_a_time_stays_in_the_net_rate(warehouse):
    con = warehouse(cancelled(cancelled_at=None), pickup(created_at="2026-03-08 10:00Z"))

    assert rows(con, "*", "rebookings") == []
    assert only(con, "net_cancelled, net_rated", "carrier_net_cancellations", "country = 'all'") == (1, 2)


def test_a_cancellation_that_was_asked_for_and_not_decided_is_no_rebooking(warehouse):
    """Taken for one, it made less than none of the cancellations remain, and the interval's root was an error."""
    asked = cancelled(pickup_status="CANCELLATION_REQUESTED")
    con = warehouse(asked, pickup(created_at="2026-03-08 10:00Z"), *many(pickup, 4))

    assert rows(con, "*", "rebookings") == []
    columns = "mature_rebooked, net_cancelled, net_rated, net_cancellation_rate"
    assert only(con, columns, "carrier_net_cancellations", "country = 'all'") == (0, 0, 6, 0.0)


def test_an_immature_rebooking_is_in_no_rate(warehouse):
    to_come = {"pickup_from": "2026-04-10 09:00Z", "pickup_until": "2026-04-10 12:00Z"}
    con = warehouse(cancelled(**to_come), pickup(created_at="2026-03-08 10:00Z"))

    assert only(con, "is_rebooked, is_mature", "rebookings") == (True, False)
    assert only(con, "mature_rebooked, net_cancelled, net_rated", "carrier_net_cancellations", "country = 'all'") == (
        0,
        0,
        1,
    )


def test_where_a_booking_follows_anyway_the_chance_says_so(warehouse):
    """12 bookings in 6 days are 2 a day: within 24 hours there is one with 1 - exp(-2)."""
    days = [pickup(created_at=f"2026-03-{day:02} {hour}:00Z") for day in range(6, 12) for hour in ("09", "21")]
    con = warehouse(*days[:-1], cancelled(created_at="2026-03-12 09:00Z", cancelled_at="2026-03-12 10:00Z"))

    assert only(con, "chance_of_a_booking", "rebookings") == close(1 - np.exp(-2))
    assert only(con, "rebooked_by_chance_share", "carrier_net_cancellations", "country = 'all'") == close(
        1 - np.exp(-2)
    )


# --- by age


def shares(con, carrier="dpd"):
    return dict(rows(con, "age_hours, share_cancelled", "cancellation_timing", f"carrier = '{carrier}'"))


def at(hours):
    """So many hours after the everyday booking."""
    return instant(BOOKED) + timedelta(hours=hours)


def test_with_everything_over_the_share_is_what_a_person_counts(warehouse):
    """Of 5: cancelled after 30 minutes, after 24 hours and 10 minutes; one failed, two kept."""
    two = [cancelled(cancelled_at=at(0.5)), cancelled(cancelled_at=at(24 + 1 / 6))]
    con = warehouse(*two, pickup(pickup_status="Failed"), pickup(), pickup())

    found = shares(con)

    assert [found[age] for age in (0, 1, 24, 25)] == close([0, 0.2, 0.2, 0.4])
    assert max(found) == 615  # the others have been watched for 25 days and 15 hours, as as_of is 2026-04-01


def test_who_was_watched_for_less_stands_for_nobody_later(warehouse):
    """Two booked 1.5 hours before as_of and two long before; of these one was cancelled after 3 hours.
    At hour 3 only two are at risk: the share is 1/2, not 1/4."""
    late = {"created_at": "2026-03-31 22:30Z"}
    con = warehouse(*many(pickup, 2, **late), cancelled(cancelled_at=at(3)), pickup())

    found = rows(con, "age_hours, at_risk, cancelled, share_cancelled", "cancellation_timing", "age_hours in (1, 2, 3)")

    assert found == [(1, 4, 0, 0.0), (2, 2, 0, 0.0), (3, 2, 1, 0.5)]


def test_cancelled_within_the_hour_that_is_not_over_is_not_cancelled_yet(warehouse):
    late = {"created_at": "2026-03-31 22:30Z"}
    con = warehouse(cancelled(cancelled_at="2026-03-31 23:45Z", **late), pickup(**late))

    assert shares(con) == {0: 0.0, 1: 0.0}


@pytest.mark.parametrize(("hours", "age"), [(0, 0), (-5, 0), (0.001, 1), (1, 1), (1.001, 2), (100, 100), (720, 720)])
def test_a_cancellation_counts_from_the_next_whole_hour_on(warehouse, hours, age):
    con = warehouse(cancelled(cancelled_at=at(hours)), *many(pickup, 3), runs=[run(observed_at="2026-06-01 00:00Z")])

    found = shares(con)

    assert found[age] == 0.25
    assert age == 0 or found[age - 1] == 0.0
    assert len(found) == 721


def test_a_cancellation_whose_time_nobody_told_is_left_out(warehouse):
    con = warehouse(cancelled(cancelled_at=None), cancelled(cancelled_at=at(1)), pickup())

    assert only(con, "at_risk, share_cancelled", "cancellation_timing", "age_hours = 1") == (2, 0.5)


def test_the_share_cancelled_by_age_is_that_of_lifelines(warehouse):
    """400 pickups, each leaving at an hour of its own, as lifelines breaks ties by chance; watched 30 days at most."""
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
    longest = 615  # the cancelled ones have been watched so long, so nobody is cancelled after it
    late = [i for i, (age, kind) in enumerate(zip(hours, kinds, strict=True)) if kind == "cancelled" and age > longest]
    con = warehouse(*[one for i, one in enumerate(pickups) if i not in late])
    keep = [i for i in range(len(hours)) if i not in late]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ties among the failed, which are all at hour 0
        fitted = AalenJohansenFitter(calculate_variance=False, jitter_level=1e-6, seed=1).fit(
            pd.Series(duration)[keep], pd.Series(event)[keep], event_of_interest=1
        )
    found, theirs = shares(con), fitted.cumulative_density_.iloc[:, 0]

    for age in (1, 24, 100, 300, 500, 615):
        assert found[age] == close(theirs[theirs.index <= age + 0.5].iloc[-1])


# --- by how it was booked


def test_a_band_holds_its_lower_end_and_not_its_upper(warehouse):
    booked = [
        pickup(created_at=instant("2026-03-10 09:00Z") - timedelta(hours=hours))
        for hours in (0, 5.99, 6, 12, 12, 12, 24, 48, 48, 96, 500)
    ]
    con = warehouse(*booked)

    found = rows(
        con, "from_hours, until_hours, rated", "cancellations_by_booking", "carrier = 'all' and measure = 'lead time'"
    )
    assert found == [(0, 6, 2), (6, 12, 1), (12, 24, 3), (24, 48, 1), (48, 96, 2), (96, None, 2)]


def test_lengths_have_bands_of_their_own(warehouse):
    until = [instant("2026-03-10 09:00Z") + timedelta(hours=hours) for hours in (1, 2, 4, 6, 8, 24)]
    con = warehouse(*[pickup(pickup_until=end) for end in until])

    found = rows(
        con,
        "from_hours, until_hours, rated",
        "cancellations_by_booking",
        "carrier = 'dpd' and measure = 'window length'",
    )
    assert found == [(0, 2, 1), (2, 4, 1), (4, 6, 1), (6, 8, 1), (8, None, 2)]


def test_bands_hold_what_is_rated_and_measured_only(warehouse):
    con = warehouse(
        cancelled(), pickup(), pickup(carrier="ups"),
        pickup(pickup_status="Failed"), pickup(pickup_status="Announcing"),
        pickup(pickup_until="2026-05-01 00:00Z"),
        pickup(created_at="2026-03-10 10:00Z"),  # has a length, and no lead time
        pickup(pickup_until=None),  # has a lead time, and no length
    )  # fmt: skip

    found = rows(con, "carrier, measure, rated, mature_cancelled", "cancellations_by_booking")
    assert found == [
        ("all", "lead time", 4, 1),
        ("all", "window length", 4, 1),
        ("dpd", "lead time", 3, 1),
        ("dpd", "window length", 3, 1),
        ("ups", "lead time", 1, 0),
        ("ups", "window length", 1, 0),
    ]


def test_a_carrier_called_all_is_told_from_every_carrier(warehouse):
    con = warehouse(cancelled(carrier="all"), pickup())

    found = rows(con, "carrier, is_every_carrier, rated", "cancellations_by_booking", "measure = 'lead time'")
    assert found == [("all", False, 1), ("all", True, 2), ("dpd", False, 1)]


# --- runs


def test_a_run_tells_how_old_the_data_were_when_it_ended(warehouse):
    runs = [
        run(run_id="1", started_at="2026-03-01 00:00Z", finished_at="2026-03-01 00:01Z", outcome="failed"),
        run(run_id="2", started_at="2026-03-01 01:00Z", finished_at="2026-03-01 01:01Z"),
        run(run_id="3", started_at="2026-03-01 02:00Z", finished_at="2026-03-01 02:01Z", outcome="failed"),
        run(run_id="4", started_at="2026-03-01 03:00Z", finished_at="2026-03-01 03:01Z"),
        run("other", run_id="5", started_at="2026-03-01 04:00Z", finished_at="2026-03-01 04:01Z"),
    ]

    found = rows(warehouse(runs=runs), "run_id, has_succeeded, hours_since_last_success", "runs")

    assert found == [("1", False, None), ("2", True, None), ("3", False, 1.0), ("4", True, 2.0), ("5", True, None)]
