"""Tests what each derived column of `analytics.pickups` means, with expected values worked out by hand."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from tests.support.by_hand import OVER_PICKUPS, SESSION_ZONES, SUNDAY, ZONES, cancelled, only, pickup, rows, run

pytestmark = pytest.mark.duckdb2

# --- analytics.pickups: names and nulls


def test_pickup_values_appear_under_plainer_names_and_in_uniform_case(warehouse):
    con = warehouse(pickup(id=7, country="nl", pickup_status="CREATED", tracking_number="0091"))

    assert only(
        con, "account, pickup_id, carrier, country, contract_id, tracking_number, pickup_status, last_load_id"
    ) == ("shop", 7, "dpd", "NL", 57, "0091", "Created", "1774000000.5")


def test_empty_text_becomes_null(warehouse):
    con = warehouse(pickup(country="", tracking_number=""))

    assert only(con, "country, tracking_number") == (None, None)


def test_values_that_the_api_left_out_stay_null(warehouse):
    con = warehouse(pickup(country=None, tracking_number=None, contract=None))

    assert only(con, "country, tracking_number, contract_id") == (None, None, None)


# --- analytics.pickups: time zones


@pytest.mark.parametrize("session_zone", SESSION_ZONES)
def test_utc_columns_are_in_utc_in_every_session_time_zone(warehouse, session_zone):
    con = warehouse(
        pickup(created_at="2026-03-06 10:57:02.344479+02:00", cancelled_at="2026-03-06 09:00:00Z"),
        session_zone=session_zone,
    )

    assert only(con, "created_at_utc, pickup_from_utc, pickup_until_utc, cancelled_at_utc, as_of_utc") == (
        "2026-03-06 08:57:02.344479",
        "2026-03-10 09:00:00",
        "2026-03-10 12:00:00",
        "2026-03-06 09:00:00",
        "2026-04-01 00:00:00",
    )


@pytest.mark.parametrize("view", OVER_PICKUPS)
def test_view_returns_identical_rows_in_every_session_time_zone(warehouse, view):
    def rows_in(session_zone):
        ids_from_one = [
            pickup(id=1, created_at="2026-03-08 23:30Z"),
            pickup(id=2, country="PT", pickup_from="2026-03-29 01:00Z", pickup_until="2026-03-29 04:00Z"),
            cancelled(id=3, country="GB", pickup_until=None),
            cancelled(id=4, country="CH", pickup_from="2026-03-31 22:30Z", pickup_until="2026-03-31 23:59Z"),
        ]
        return rows(warehouse(*ids_from_one, session_zone=session_zone), "*", view)

    assert rows_in("UTC") == rows_in("America/New_York") == rows_in("Asia/Kolkata")


# Spain is at UTC+1 in winter and UTC+2 in summer; Britain is at UTC+0 and UTC+1. Both change clocks at 01:00 UTC.
@pytest.mark.parametrize(
    ("country", "pickup_from", "opens_local"),
    [
        ("ES", "2026-03-29 00:59Z", "2026-03-29 01:59:00"),
        ("ES", "2026-03-29 01:00Z", "2026-03-29 03:00:00"),  # 02:00 to 03:00 does not exist
        ("ES", "2026-10-25 00:59Z", "2026-10-25 02:59:00"),
        ("ES", "2026-10-25 01:00Z", "2026-10-25 02:00:00"),  # 02:00 to 03:00 occurs a second time
        ("GB", "2026-03-29 00:59Z", "2026-03-29 00:59:00"),
        ("GB", "2026-03-29 01:00Z", "2026-03-29 02:00:00"),
        ("GB", "2026-10-25 00:59Z", "2026-10-25 01:59:00"),
        ("GB", "2026-10-25 01:00Z", "2026-10-25 01:00:00"),
    ],
)
def test_windows_open_in_local_time_when_daylight_saving_begins_or_ends(warehouse, country, pickup_from, opens_local):
    con = warehouse(pickup(country=country, pickup_from=pickup_from), session_zone="America/New_York")

    hour = int(opens_local[11:13])
    assert (opens_local, hour, 7, True) == only(
        con, "window_opens_local, window_opens_hour_local, window_opens_isodow_local, has_local_time"
    )


def test_window_hours_are_elapsed_hours_when_daylight_saving_ends(warehouse):
    # In Madrid, the window is open from 00:00 (22:00 UTC) to 03:00 (02:00 UTC). Wall clocks advance three hours, but
    # four hours pass.
    con = warehouse(
        pickup(country="ES", pickup_from="2026-10-24 22:00Z", pickup_until="2026-10-25 02:00Z"),
    )

    assert only(con, "window_opens_local, window_closes_local, window_hours") == (
        "2026-10-25 00:00:00",
        "2026-10-25 03:00:00",
        4.0,
    )


@pytest.mark.parametrize(
    ("country", "weekday", "hour", "week"),
    [
        ("ES", 1, 0, "2026-03-30"),  # at UTC+2, it is Monday 00:30
        ("GB", 7, 23, "2026-03-23"),  # at UTC+1, it is still Sunday 23:30
        ("CH", 7, 22, "2026-03-23"),  # no time zone is configured, so it remains Sunday 22:30 UTC
    ],
)
def test_local_weekday_hour_and_week_of_sunday_22_30_utc_depend_on_the_country(warehouse, country, weekday, hour, week):
    con = warehouse(
        pickup(country=country, created_at="2026-03-29 22:30Z", pickup_from="2026-03-29 22:30Z"),
        session_zone="Asia/Kolkata",
    )

    assert (weekday, hour, week) == only(
        con, "window_opens_isodow_local, window_opens_hour_local, booked_week_local_start"
    )


@pytest.mark.parametrize("month", [1, 7])
@pytest.mark.parametrize("country", ZONES)
def test_all_local_columns_use_the_time_zone_of_the_country(warehouse, country, month):
    # 12 January and 13 July 2026 are Mondays. At 23:30 UTC on the evening before, it is Monday except at UTC+0.
    instant = datetime(2026, month, 11 if month == 1 else 12, 23, 30, tzinfo=UTC)
    local = instant.astimezone(ZoneInfo(ZONES[country])).replace(tzinfo=None)
    monday = date.fromordinal(local.toordinal() - local.weekday())

    con = warehouse(pickup(country=country, created_at=instant, pickup_from=instant, pickup_until=instant))

    assert (ZONES[country], True, str(local), str(local), str(monday)) == only(
        con, "time_zone, has_local_time, window_opens_local, window_closes_local, booked_week_local_start"
    )


@pytest.mark.parametrize("country", ["CH", "", None, "UK"])
def test_pickup_in_a_country_without_a_time_zone_stays_in_utc_and_is_flagged(warehouse, country):
    con = warehouse(pickup(country=country), session_zone="America/New_York")

    assert only(
        con,
        "time_zone, has_local_time, window_opens_local, window_closes_local, window_opens_hour_local",
    ) == ("UTC", False, "2026-03-10 09:00:00", "2026-03-10 12:00:00", 9)


def test_pickup_without_a_window_has_no_local_hour_and_no_weekday(warehouse):
    con = warehouse(pickup(pickup_from=None, pickup_until=None))

    assert only(con, "window_opens_local, window_closes_local, window_opens_hour_local, window_opens_isodow_local") == (
        None,
        None,
        None,
        None,
    )


# --- analytics.pickups: states

STATES = "is_cancelled, is_failed, is_pending, is_kept, has_status_conflict"
IS_CANCELLED = (True, False, False, False, False)
IS_CANCELLED_WITH_STATUS_CONFLICT = (True, False, False, False, True)
IS_FAILED = (False, True, False, False, False)
IS_PENDING = (False, False, True, False, False)
IS_KEPT = (False, False, False, True, False)


@pytest.mark.parametrize(
    ("status", "cancelled_at", "state"),
    [
        ("Created", None, IS_KEPT),
        ("Cancelled", SUNDAY, IS_CANCELLED),
        ("Cancelled", None, IS_CANCELLED),
        ("Failed", None, IS_FAILED),
        ("Announcing", None, IS_PENDING),
        ("CREATED", None, IS_KEPT),
        ("CANCELLED", SUNDAY, IS_CANCELLED),
        ("CANCELLED", None, IS_CANCELLED),
        ("FAILED", None, IS_FAILED),
        ("ANNOUNCING", None, IS_PENDING),
        ("CANCELLATION_REQUESTED", None, IS_KEPT),
        ("CANCELLATION_FAILED", None, IS_KEPT),  # the driver may still come
        ("CANCELLATION_REJECTED", None, IS_KEPT),
        ("CANCELLATION_REQUESTED", SUNDAY, IS_KEPT),  # perhaps the time of the request; it is not cancelled
        ("Cancellation rejected", SUNDAY, IS_KEPT),
        ("Teleported", None, IS_KEPT),
        ("Created", SUNDAY, IS_CANCELLED_WITH_STATUS_CONFLICT),
        ("Failed", SUNDAY, IS_CANCELLED_WITH_STATUS_CONFLICT),
        ("Announcing", SUNDAY, IS_CANCELLED_WITH_STATUS_CONFLICT),
    ],
)
def test_pickup_is_exactly_one_of_cancelled_failed_pending_and_kept(warehouse, status, cancelled_at, state):
    con = warehouse(pickup(pickup_status=status, cancelled_at=cancelled_at))

    assert state == only(con, STATES)
    assert sum(state[:4]) == 1


@pytest.mark.parametrize("status", ["CANCELLATION_FAILED", "Cancellation rejected"])
def test_a_refused_cancellation_is_flagged(warehouse, status):
    con = warehouse(pickup(pickup_status=status), pickup(), pickup(pickup_status="CANCELLATION_REQUESTED"))

    assert rows(con, "is_cancellation_refused") == [(False,), (False,), (True,)]


MORNING = '{"end_at":"2026-03-10T11:00:00Z","start_at":"2026-03-10T09:00:00Z"}'
AFTERNOON = '{"end_at":"2026-03-10T16:30:00Z","start_at":"2026-03-10T13:00:00Z"}'
INVERTED = '{"end_at":"2026-03-10T11:00:00Z","start_at":"2026-03-10T13:00:00Z"}'
OPEN = '{"end_at":null,"start_at":"2026-03-10T13:00:00Z"}'


@pytest.mark.parametrize(
    ("slots", "until", "hours", "each"),
    [
        ([MORNING], "2026-03-10 11:00Z", 2.0, [2.0]),
        ([MORNING, AFTERNOON], "2026-03-10 16:30Z", 5.5, [2.0, 3.5]),
        ([MORNING, INVERTED], "2026-03-10 11:00Z", 2.0, [2.0, None]),
        ([MORNING, OPEN], None, None, [2.0, None]),  # an open-ended window has no length
        (None, "2026-03-10 12:00Z", 3.0, [3.0]),
    ],
    ids=["one slot", "two slots", "an inverted slot", "an open-ended slot", "no slots, as in v2"],
)
def test_window_length_is_the_sum_of_the_lengths_of_its_slots(warehouse, slots, until, hours, each):
    time_slots = None if slots is None else f"[{','.join(slots)}]"
    con = warehouse(pickup(pickup_until=until, time_slots=time_slots, api_version="v3"))

    assert hours == only(con, "window_hours")
    numbered = [(number, length) for number, length in enumerate(each, start=1)]
    assert numbered == rows(con, "slot_number, slot_hours", "pickup_slots")


def test_each_slot_opens_in_the_local_time_of_the_country_and_counts_in_the_grid(warehouse):
    """On a winter Tuesday, 09:00 and 13:00 UTC are 10:00 and 14:00 in Amsterdam."""
    con = warehouse(pickup(pickup_until="2026-03-10 16:30Z", time_slots=f"[{MORNING},{AFTERNOON}]", api_version="v3"))

    assert rows(
        con,
        "slot_number, slot_opens_utc, slot_closes_utc, "
        "slot_opens_local, slot_opens_isodow_local, slot_opens_hour_local",
        "pickup_slots",
    ) == [
        (1, "2026-03-10 09:00:00", "2026-03-10 11:00:00", "2026-03-10 10:00:00", 2, 10),
        (2, "2026-03-10 13:00:00", "2026-03-10 16:30:00", "2026-03-10 14:00:00", 2, 14),
    ]
    assert rows(con, "window_opens_isodow_local, window_opens_hour_local, pickups", "carrier_window_grid") == [
        (2, 10, 1),
        (2, 14, 1),
    ]


def test_a_pickup_still_announcing_after_its_window_is_stuck(warehouse):
    ended = pickup(pickup_status="Announcing")
    to_come = pickup(pickup_status="Announcing", pickup_from="2026-04-02 09:00Z", pickup_until=None)
    created = pickup()

    con = warehouse(ended, to_come, created)

    assert [(ended["id"],)] == rows(con, "pickup_id", where="is_stuck")


# --- analytics.pickups: as_of and maturity


@pytest.mark.parametrize(
    ("pickup_from", "pickup_until", "is_mature"),
    [
        ("2026-03-31 09:00Z", "2026-03-31 23:59:59.999999Z", True),
        ("2026-03-31 09:00Z", "2026-04-01 00:00Z", False),  # ends at the exact instant of the run
        ("2026-03-31 09:00Z", "2026-04-01 09:00Z", False),  # is open at the instant of the run
        ("2026-04-02 09:00Z", "2026-04-02 12:00Z", False),
        ("2026-03-31 23:00Z", None, True),  # if a window is open-ended, its start decides
        ("2026-04-01 01:00Z", None, False),
        ("2026-04-02 09:00Z", "2025-04-02 12:00Z", False),  # if a window is inverted, the later time decides
        (None, "2026-03-31 12:00Z", True),
        (None, None, True),  # booked on 6 March; without a window, it is mature a week later
    ],
)
def test_pickup_is_mature_if_its_window_ended_before_the_run(warehouse, pickup_from, pickup_until, is_mature):
    kept = pickup(pickup_from=pickup_from, pickup_until=pickup_until)
    called_off = cancelled(pickup_from=pickup_from, pickup_until=pickup_until)

    con = warehouse(kept, called_off)

    assert [(is_mature,), (is_mature,)] == rows(con, "is_mature")


@pytest.mark.parametrize(
    ("runs", "as_of", "is_mature"),
    [
        ([run()], "2026-04-01 00:00:00", True),
        ([run(observed_at="2026-03-01 00:00Z"), run()], "2026-04-01 00:00:00", True),
        ([run(observed_at="2026-03-01 00:00Z"), run(outcome="failed")], "2026-03-01 00:00:00", False),
        ([run(run_number=1, observed_at="2099-01-01 00:00Z"), run(run_number=2)], "2026-04-01 00:00:00", True),
        ([run(observed_at="2099-01-01 00:00Z"), run(run_number=1)], "2026-04-01 00:00:00", True),
        ([run(outcome="failed")], None, False),
        ([run(observed_at=None)], None, False),
        ([run(account="other shop")], None, False),
        ([], None, False),
    ],
    ids=[
        "one run",
        "the newest of two",
        "a failed run is newer",
        "a wrong clock before the last run",
        "a wrong clock in an older version",
        "only a failed run",
        "a run that never observed the API",
        "another account's run",
        "no run at all",
    ],
)
def test_as_of_is_the_time_of_the_newest_successful_run_of_the_account(warehouse, runs, as_of, is_mature):
    con = warehouse(pickup(), runs=runs, session_zone="Asia/Kolkata")

    assert (as_of, is_mature) == only(con, "as_of_utc, is_mature")


def test_each_account_has_its_own_as_of(warehouse):
    con = warehouse(
        pickup(account="a"),
        pickup(account="b"),
        runs=[run("a", "2026-03-09 00:00Z"), run("b", "2026-03-11 00:00Z")],
    )

    assert rows(con, "account, as_of_utc, is_mature") == [
        ("a", "2026-03-09 00:00:00", False),
        ("b", "2026-03-11 00:00:00", True),
    ]


# --- analytics.pickups: durations


@pytest.mark.parametrize(
    ("pickup_from", "pickup_until", "expected"),
    [  # has_window, is_open_ended, is_window_invalid, window_hours
        ("2026-03-10 09:00Z", "2026-03-10 12:00Z", (True, False, False, 3.0)),
        ("2022-11-11 10:53:43.533832Z", "2022-11-11 12:53:43.533832Z", (True, False, False, 2.0)),
        ("2026-03-10 09:00Z", "2026-03-10 09:00:00.000036Z", (True, False, False, 1e-8)),  # 36 µs of 3.6e9 µs
        ("2026-03-10 09:00Z", None, (True, True, False, None)),
        ("2023-02-20 09:00Z", "2022-02-20 12:00Z", (True, False, True, None)),
        ("2026-03-10 09:00Z", "2026-03-10 09:00Z", (True, False, True, None)),
        (None, "2026-03-10 12:00Z", (False, False, False, None)),
        (None, None, (False, False, False, None)),
    ],
)
def test_window_has_a_length_only_if_it_ends_after_it_begins(warehouse, pickup_from, pickup_until, expected):
    con = warehouse(pickup(pickup_from=pickup_from, pickup_until=pickup_until), session_zone="America/New_York")

    assert expected == only(con, "has_window, is_open_ended, is_window_invalid, window_hours")


@pytest.mark.parametrize(
    ("created_at", "pickup_from", "hours", "is_before_booking"),
    [
        ("2026-03-06 09:00Z", "2026-03-10 09:00Z", 96.0, False),  # four days
        ("2026-03-28 09:00Z", "2026-03-30 09:00Z", 48.0, False),  # two days, even though one local day has 23 hours
        ("2026-03-10 09:00Z", "2026-03-10 09:00Z", 0.0, False),
        ("2026-03-10 09:00Z", "2026-03-09 09:00Z", -24.0, True),
        ("2026-03-10 09:00Z", None, None, False),
    ],
)
def test_lead_time_runs_from_booking_to_the_opening_of_the_window(
    warehouse, created_at, pickup_from, hours, is_before_booking
):
    con = warehouse(pickup(created_at=created_at, pickup_from=pickup_from), session_zone="Europe/Madrid")

    assert (hours, is_before_booking) == only(con, "lead_time_hours, is_window_before_booking")


# The booking was made on 2026-03-06 at 09:00 UTC, and the window opens on 2026-03-10 at 09:00 UTC.
@pytest.mark.parametrize(
    ("cancelled_at", "hours_to_cancel", "notice_hours", "is_late", "is_after_start"),
    [
        ("2026-03-08 09:00Z", 48.0, 48.0, False, False),
        ("2026-03-09 09:00Z", 72.0, 24.0, False, False),  # exactly 24 hours before is not late yet
        ("2026-03-09 09:00:00.000036Z", 72.00000001, 23.99999999, True, False),
        ("2026-03-10 08:59Z", 96 - 1 / 60, 1 / 60, True, False),
        ("2026-03-10 09:00Z", 96.0, 0.0, True, True),
        ("2026-03-10 10:30Z", 97.5, -1.5, True, True),
        (None, None, None, False, False),  # cancelled at an unknown time
    ],
)
def test_cancellation_less_than_24_hours_before_the_window_opens_or_later_is_late(
    warehouse, cancelled_at, hours_to_cancel, notice_hours, is_late, is_after_start
):
    con = warehouse(cancelled(cancelled_at=cancelled_at), session_zone="Europe/Madrid")

    found = only(con, "hours_to_cancel, cancellation_notice_hours, is_late_cancellation, is_cancelled_after_start")
    assert pytest.approx((hours_to_cancel, notice_hours, is_late, is_after_start), abs=1e-9) == found


def test_hours_to_cancel_are_exact_to_the_microsecond(warehouse):
    # In the API's first example, 9.311781 seconds pass from 10:57:02.344479 to 10:57:11.656260.
    con = warehouse(cancelled(created_at="2022-03-30T10:57:02.344479Z", cancelled_at="2022-03-30T10:57:11.656260Z"))

    assert pytest.approx(9.311781 / 3600, rel=1e-12) == only(con, "hours_to_cancel")


def test_cancellation_of_a_pickup_without_a_window_is_never_late(warehouse):
    con = warehouse(cancelled(pickup_from=None, pickup_until=None))

    assert only(con, "cancellation_notice_hours, is_late_cancellation, is_cancelled_after_start") == (
        None,
        False,
        False,
    )
