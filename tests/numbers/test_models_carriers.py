"""Tests the carrier views against values worked out by hand for a few pickups."""

import pytest

from tests.support.by_hand import (
    FUTURE,
    OVER_PICKUPS,
    SUNDAY,
    cancelled,
    many,
    on_separate_days,
    only,
    pickup,
    rows,
    run,
)

pytestmark = [pytest.mark.duckdb2, pytest.mark.versions]

# --- analytics.carrier_cancellations

GRID = "carrier, window_opens_isodow_local, window_opens_hour_local, pickups"
COUNTS = """pickups, mature_pickups, immature_pickups, immature_cancelled,
    mature_cancelled, mature_kept, mature_failed, mature_pending"""
RATE = "rated, cancellation_rate, cancellation_rate_low, cancellation_rate_high"
FAILURE = "failure_n, failure_rate, failure_rate_low, failure_rate_high"


def carrier_row(con, columns, carrier="dpd", country="all"):
    where = f"carrier = '{carrier}' and country = '{country}'"
    return only(con, columns, "carrier_cancellations", where)


# The bounds are (p + z²/2n ± z √(p(1 - p)/n + z²/4n²)) / (1 + z²/n) with z = 1.959963984540054,
# computed to 60 decimal digits.
@pytest.mark.parametrize(
    ("cancelled_pickups", "kept_pickups", "rate", "low", "high"),
    [
        (1, 1, 0.5, 0.094531205734230730, 0.905468794265769270),
        (0, 10, 0.0, 0.0, 0.277532799862889205),
        (10, 0, 1.0, 0.722467200137110795, 1.0),
        (1, 0, 1.0, 0.206549314377237427, 1.0),
        (0, 1, 0.0, 0.0, 0.793450685622762573),
        (3, 4, 3 / 7, 0.158219855251469708, 0.749541635472342778),
    ],
)
def test_cancellation_rate_has_its_sample_size_and_a_wilson_interval(
    warehouse, cancelled_pickups, kept_pickups, rate, low, high
):
    con = warehouse(*on_separate_days([*many(cancelled, cancelled_pickups), *many(pickup, kept_pickups)]))

    n, *interval = carrier_row(con, RATE)
    assert cancelled_pickups + kept_pickups == n
    assert pytest.approx([rate, low, high], abs=1e-14) == interval
    assert 0 <= interval[1] <= interval[0] <= interval[2] <= 1


def test_failure_rate_covers_all_mature_pickups_except_pending_ones(warehouse):
    # One of 5 pickups failed; 2 are kept and 2 cancelled. The 2 announcing pickups are left out.
    counted = [*many(pickup, 2), *many(cancelled, 2), pickup(pickup_status="Failed")]
    con = warehouse(*on_separate_days([*counted, *many(pickup, 2, pickup_status="Announcing")]))

    assert pytest.approx((5, 0.2, 0.036224108632430171, 0.624465370237474686), abs=1e-14) == carrier_row(con, FAILURE)
    assert pytest.approx((4, 0.5, 0.150038989152149514, 0.849961010847850486), abs=1e-14) == carrier_row(con, RATE)


def test_cancelled_pickup_with_a_future_window_does_not_count_in_the_rate(warehouse):
    con = warehouse(*many(pickup, 3), cancelled(**FUTURE), pickup(**FUTURE), pickup(pickup_status="Failed", **FUTURE))

    assert carrier_row(con, COUNTS) == (6, 3, 3, 1, 0, 3, 0, 0)
    assert carrier_row(con, "rated, cancellation_rate") == (3, 0.0)
    assert carrier_row(con, "failure_n, failure_rate") == (3, 0.0)


def test_mature_and_immature_counts_add_up_and_so_do_the_four_states(warehouse):
    con = warehouse(
        *many(pickup, 4),
        *many(cancelled, 3),
        *many(pickup, 2, pickup_status="Failed"),
        pickup(pickup_status="Announcing"),
        *many(pickup, 5, **FUTURE),
    )

    assert carrier_row(con, COUNTS) == (15, 10, 5, 0, 3, 4, 2, 1)


def test_carrier_with_only_failed_pickups_has_no_cancellation_rate(warehouse):
    con = warehouse(*many(pickup, 2, pickup_status="Failed"))

    assert carrier_row(con, RATE) == (0, None, None, None)
    assert carrier_row(con, "failure_n, failure_rate") == (2, 1.0)


def test_stuck_pickups_count_in_neither_the_cancellation_rate_nor_the_failure_rate(warehouse):
    con = warehouse(pickup(pickup_status="Announcing"))

    assert carrier_row(con, "mature_pending, rated, cancellation_rate, failure_n, failure_rate") == (
        1,
        0,
        None,
        0,
        None,
    )


def test_without_a_run_every_pickup_is_immature_and_no_rate_exists(warehouse):
    con = warehouse(pickup(), cancelled(), runs=[])

    assert carrier_row(con, COUNTS) == (2, 0, 2, 1, 0, 0, 0, 0)
    assert carrier_row(con, RATE) == (0, None, None, None)
    assert carrier_row(con, "as_of_utc") is None


def test_pickup_whose_status_contradicts_cancelled_at_is_cancelled_and_a_status_conflict(warehouse):
    con = warehouse(pickup(cancelled_at=SUNDAY), cancelled(), pickup(cancelled_at=SUNDAY, **FUTURE))

    assert carrier_row(con, "mature_cancelled, mature_kept, status_conflicts") == (2, 0, 2)


def test_late_cancellations_are_counted_among_mature_pickups_only(warehouse):
    con = warehouse(
        cancelled(),
        cancelled(cancelled_at="2026-03-10 08:00Z"),
        cancelled(cancelled_at="2026-03-10 10:00Z"),
        cancelled(cancelled_at="2026-04-10 08:00Z", **FUTURE),
    )

    assert carrier_row(con, "mature_cancelled, mature_late_cancellations, mature_cancelled_after_start") == (3, 2, 1)


def test_each_carrier_has_one_row_for_all_countries_and_one_for_each_country(warehouse):
    con = warehouse(
        cancelled(country="NL"),
        pickup(country="nl"),
        pickup(country="DE"),
        pickup(country=""),
        pickup(carrier="ups", country=None),
    )

    assert rows(con, "carrier, country, pickups, rated, cancellation_rate", "carrier_cancellations") == [
        ("dpd", "DE", 1, 1, 0.0),
        ("dpd", "NL", 2, 2, 0.5),
        ("dpd", "all", 4, 4, 0.25),
        ("dpd", "unknown", 1, 1, 0.0),
        ("ups", "all", 1, 1, 0.0),
        ("ups", "unknown", 1, 1, 0.0),
    ]


def test_rate_over_two_accounts_has_the_older_of_their_two_as_of_times(warehouse):
    con = warehouse(
        pickup(account="a"),
        cancelled(account="b"),
        pickup(account="never seen"),
        runs=[run("a", "2026-04-02 00:00Z"), run("b", "2026-04-01 00:00Z")],
    )

    assert carrier_row(con, "as_of_utc, pickups, mature_pickups, cancellation_rate") == (
        "2026-04-01 00:00:00",
        3,
        2,
        0.5,
    )


# --- analytics.carrier_windows


def window(hours, **changes):
    return pickup(pickup_until=f"2026-03-10 {9 + hours:02}:00Z", **changes)


def windows_row(con, columns, carrier="dpd"):
    return only(con, columns, "carrier_windows", f"carrier = '{carrier}'")


def test_window_lengths_leave_out_open_ended_and_invalid_windows(warehouse):
    con = warehouse(
        *[window(hours) for hours in (2, 3, 4, 5, 8)],
        *many(pickup, 2, pickup_until=None),
        pickup(pickup_until="2026-03-10 08:00Z"),
        pickup(pickup_from=None, pickup_until=None),
        pickup(pickup_from=None),
    )

    assert windows_row(con, "pickups, with_window, open_ended, invalid, open_ended_share, windows_measured") == (
        10,
        8,
        2,
        1,
        0.25,
        5,
    )
    # With five values, p10 lies 0.4 of the way from the 1st to the 2nd, and p90 0.6 of the way from the 4th to the 5th.
    assert pytest.approx((4.0, 2.4, 6.8)) == windows_row(con, "median_window_hours, p10_window_hours, p90_window_hours")


def test_lead_times_leave_out_windows_that_open_before_the_booking(warehouse):
    # The pickups are booked on 6 March at 09:00. Their windows open on the 7th, 8th, 9th, 10th and 14th at 09:00,
    # so the lead times are 24, 48, 72, 96 and 192 hours.
    booked_for = [pickup(pickup_from=f"2026-03-{day:02} 09:00Z") for day in (7, 8, 9, 10, 14)]
    con = warehouse(*booked_for, pickup(pickup_from="2025-03-06 09:00Z"), pickup(pickup_from=None))

    assert windows_row(con, "windows_before_booking, lead_times_measured") == (1, 5)
    assert pytest.approx((72.0, 33.6, 153.6)) == windows_row(
        con, "median_lead_time_hours, p10_lead_time_hours, p90_lead_time_hours"
    )


def test_windows_count_in_every_pickup_state_and_before_the_first_run(warehouse):
    con = warehouse(
        window(2, pickup_status="Failed"), window(4, pickup_status="Announcing"), cancelled(), pickup(**FUTURE), runs=[]
    )

    assert windows_row(con, "pickups, windows_measured, median_window_hours") == (4, 4, 3.0)


def test_most_common_opening_hour_is_in_local_time(warehouse):
    # Amsterdam is at UTC+1 until 29 March and then at UTC+2, so 09:00, 09:00 and 08:00 UTC are 10:00, 11:00 and 10:00.
    con = warehouse(
        pickup(),
        pickup(pickup_from="2026-03-31 09:00Z", pickup_until=None),
        pickup(pickup_from="2026-03-31 08:00Z", pickup_until=None),
        session_zone="Asia/Kolkata",
    )

    assert pytest.approx((3, 10, 2 / 3)) == windows_row(
        con, "windows_with_zone, most_common_opening_hour_local, most_common_opening_hour_share"
    )


def test_earliest_of_equally_common_opening_hours_is_named(warehouse):
    con = warehouse(pickup(pickup_from="2026-03-10 14:00Z"), pickup(pickup_from="2026-03-10 07:00Z"))

    assert windows_row(con, "most_common_opening_hour_local, most_common_opening_hour_share") == (8, 0.5)


def test_weekend_is_saturday_and_sunday_in_local_time(warehouse):
    con = warehouse(
        pickup(),  # a Tuesday
        pickup(pickup_from="2026-03-13 23:30Z"),  # Friday evening in UTC, Saturday in Amsterdam
        pickup(pickup_from="2026-03-15 12:00Z"),  # Sunday
        pickup(pickup_from="2026-03-15 23:30Z"),  # Sunday evening in UTC, Monday in Amsterdam
        pickup(country="CH", pickup_from="2026-03-15 12:00Z"),
        pickup(pickup_from=None),
    )

    assert windows_row(con, "windows_with_zone, weekend_share") == (4, 0.5)
    assert windows_row(con, "most_common_opening_hour_local, most_common_opening_hour_share") == (0, 0.5)  # 2 of 4


def test_carrier_without_pickups_in_a_configured_time_zone_has_no_local_hour(warehouse):
    con = warehouse(*many(pickup, 2, country="CH"), pickup(country=None))

    assert windows_row(
        con,
        """pickups, pickups_without_zone, windows_with_zone,
        most_common_opening_hour_local, most_common_opening_hour_share, weekend_share""",
    ) == (3, 3, 0, None, None, None)
    assert windows_row(con, "windows_measured, median_window_hours") == (3, 3.0)


def test_carrier_without_windows_has_counts_but_no_window_statistics(warehouse):
    con = warehouse(pickup(pickup_from=None, pickup_until=None))

    assert windows_row(
        con,
        """pickups, with_window, open_ended, invalid, open_ended_share, windows_measured, median_window_hours,
        lead_times_measured, median_lead_time_hours, weekend_share""",
    ) == (1, 0, 0, 0, None, 0, None, 0, None, None)


def test_each_carrier_has_its_own_row_in_carrier_windows(warehouse):
    con = warehouse(window(2, carrier="ups", country="GB"), window(6), window(8))

    assert rows(con, "carrier, pickups, median_window_hours, most_common_opening_hour_local", "carrier_windows") == [
        ("dpd", 2, 7.0, 10),
        ("ups", 1, 2.0, 9),
    ]


# --- analytics.carrier_window_grid


def test_grid_counts_window_openings_by_local_weekday_and_hour(warehouse):
    con = warehouse(
        *many(pickup, 2),  # Tuesday 09:00 UTC is Tuesday 10:00 in Amsterdam
        pickup(carrier="ups", country="GB"),  # Tuesday 09:00 in London
        pickup(carrier="ups", country="NL", pickup_from="2026-03-15 23:30Z"),  # Monday 00:30 in Amsterdam
        cancelled(carrier="ups", country="GB", pickup_from="2026-06-16 09:59:59Z"),  # Tuesday 10:59:59 in London
        session_zone="Asia/Kolkata",
    )

    assert rows(con, GRID, "carrier_window_grid") == [
        ("dpd", 2, 10, 2),
        ("ups", 1, 0, 1),
        ("ups", 2, 9, 1),
        ("ups", 2, 10, 1),
    ]


def test_grid_leaves_out_pickups_without_a_window_or_a_time_zone(warehouse):
    con = warehouse(pickup(pickup_from=None), pickup(country="CH"), pickup())

    assert rows(con, GRID, "carrier_window_grid") == [("dpd", 2, 10, 1)]


def test_grid_adds_up_to_the_number_of_windows_with_a_time_zone(warehouse):
    con = warehouse(*many(pickup, 3), pickup(country="ES"), pickup(country="CH"), pickup(pickup_from=None))

    assert 4 == only(con, "sum(pickups)", "carrier_window_grid") == windows_row(con, "windows_with_zone")


@pytest.mark.parametrize("view", OVER_PICKUPS)
def test_views_over_pickups_are_empty_if_there_are_no_pickups(warehouse, view):
    assert rows(warehouse(runs=[]), "*", view) == []
    assert rows(warehouse(), "*", view) == []
