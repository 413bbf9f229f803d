"""`analytics.pickups`: what each derived column means, worked out by hand."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from tests.support.by_hand import OVER_PICKUPS, SESSION_ZONES, SUNDAY, ZONES, cancelled, only, pickup, rows, run

pytestmark = pytest.mark.duckdb2

# --- analytics.pickups: names and nulls


def test_a_pickup_keeps_its_values_under_plainer_names(warehouse):
    con = warehouse(pickup(id=7, country="nl", pickup_status="CREATED", tracking_number="0091"))

    assert only(
        con, "account, pickup_id, carrier, country, contract_id, tracking_number, pickup_status, last_load_id"
    ) == ("shop", 7, "dpd", "NL", 57, "0091", "Created", "1774000000.5")


def test_an_empty_text_becomes_null(warehouse):
    con = warehouse(pickup(country="", tracking_number=""))

    assert only(con, "country, tracking_number") == (None, None)


def test_what_the_api_left_out_stays_null(warehouse):
    con = warehouse(pickup(country=None, tracking_number=None, contract=None))

    assert only(con, "country, tracking_number, contract_id") == (None, None, None)


# --- analytics.pickups: clocks


@pytest.mark.parametrize("session_zone", SESSION_ZONES)
def test_utc_times_are_utc_whatever_the_session_thinks(warehouse, session_zone):
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
def test_a_view_says_the_same_in_every_session_zone(warehouse, view):
    def told(session_zone):
        ids_from_one = [
            pickup(id=1, created_at="2026-03-08 23:30Z"),
            pickup(id=2, country="PT", pickup_from="2026-03-29 01:00Z", pickup_until="2026-03-29 04:00Z"),
            cancelled(id=3, country="GB", pickup_until=None),
            cancelled(id=4, country="CH", pickup_from="2026-03-31 22:30Z", pickup_until="2026-03-31 23:59Z"),
        ]
        return rows(warehouse(*ids_from_one, session_zone=session_zone), "*", view)

    assert told("UTC") == told("America/New_York") == told("Asia/Kolkata")


# Spain is at UTC+1 in winter and UTC+2 in summer, Britain at UTC+0 and UTC+1; both change at 01:00 UTC.
@pytest.mark.parametrize(
    ("country", "pickup_from", "opens_local"),
    [
        ("ES", "2026-03-29 00:59Z", "2026-03-29 01:59:00"),
        ("ES", "2026-03-29 01:00Z", "2026-03-29 03:00:00"),  # 02:00 to 03:00 doesn't exist
        ("ES", "2026-10-25 00:59Z", "2026-10-25 02:59:00"),
        ("ES", "2026-10-25 01:00Z", "2026-10-25 02:00:00"),  # and comes a second time
        ("GB", "2026-03-29 00:59Z", "2026-03-29 00:59:00"),
        ("GB", "2026-03-29 01:00Z", "2026-03-29 02:00:00"),
        ("GB", "2026-10-25 00:59Z", "2026-10-25 01:59:00"),
        ("GB", "2026-10-25 01:00Z", "2026-10-25 01:00:00"),
    ],
)
def test_windows_open_by_the_country_s_clock_on_the_nights_when_it_changes(
    warehouse, country, pickup_from, opens_local
):
    con = warehouse(pickup(country=country, pickup_from=pickup_from), session_zone="America/New_York")

    hour = int(opens_local[11:13])
    assert (opens_local, hour, 7, True) == only(
        con, "window_opens_local, window_opens_hour_local, window_opens_isodow_local, has_local_time"
    )


def test_a_window_over_the_autumn_night_lasts_longer_than_its_clocks_say(warehouse):
    # in Madrid from 00:00 (22:00 UTC) to 03:00 (02:00 UTC): three hours on the wall, four on the watch
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
        ("ES", 1, 0, "2026-03-30"),  # UTC+2: Monday 00:30
        ("GB", 7, 23, "2026-03-23"),  # UTC+1: still Sunday 23:30
        ("CH", 7, 22, "2026-03-23"),  # no zone of ours: Sunday 22:30 UTC
    ],
)
def test_half_past_ten_on_sunday_evening_utc_is_monday_in_spain(warehouse, country, weekday, hour, week):
    con = warehouse(
        pickup(country=country, created_at="2026-03-29 22:30Z", pickup_from="2026-03-29 22:30Z"),
        session_zone="Asia/Kolkata",
    )

    assert (weekday, hour, week) == only(
        con, "window_opens_isodow_local, window_opens_hour_local, booked_week_local_start"
    )


@pytest.mark.parametrize("month", [1, 7])
@pytest.mark.parametrize("country", ZONES)
def test_all_local_columns_of_a_country_go_by_its_zone(warehouse, country, month):
    # 12 January and 13 July 2026 are Mondays; 23:30 UTC the evening before is Monday except at UTC+0
    instant = datetime(2026, month, 11 if month == 1 else 12, 23, 30, tzinfo=UTC)
    local = instant.astimezone(ZoneInfo(ZONES[country])).replace(tzinfo=None)
    monday = date.fromordinal(local.toordinal() - local.weekday())

    con = warehouse(pickup(country=country, created_at=instant, pickup_from=instant, pickup_until=instant))

    assert (ZONES[country], True, str(local), str(local), str(monday)) == only(
        con, "time_zone, has_local_time, window_opens_local, window_closes_local, booked_week_local_start"
    )


@pytest.mark.parametrize("country", ["CH", "", None, "UK"])
def test_a_country_without_a_zone_stays_in_utc_and_is_flagged(warehouse, country):
    con = warehouse(pickup(country=country), session_zone="America/New_York")

    assert only(
        con,
        "time_zone, has_local_time, window_opens_local, window_closes_local, window_opens_hour_local",
    ) == ("UTC", False, "2026-03-10 09:00:00", "2026-03-10 12:00:00", 9)


def test_without_a_window_there_is_no_hour_and_no_weekday(warehouse):
    con = warehouse(pickup(pickup_from=None, pickup_until=None))

    assert only(con, "window_opens_local, window_closes_local, window_opens_hour_local, window_opens_isodow_local") == (
        None,
        None,
        None,
        None,
    )


# --- analytics.pickups: what became of it

STATES = "is_cancelled, is_failed, is_pending, is_kept, has_status_conflict"
IS_CANCELLED = (True, False, False, False, False)
IS_CANCELLED_AGAINST_ITS_STATUS = (True, False, False, False, True)
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
        ("CANCELLATION_REQUESTED", SUNDAY, IS_KEPT),  # when it was asked for, perhaps; nobody has cancelled it
        ("Cancellation rejected", SUNDAY, IS_KEPT),
        ("Teleported", None, IS_KEPT),
        ("Created", SUNDAY, IS_CANCELLED_AGAINST_ITS_STATUS),
        ("Failed", SUNDAY, IS_CANCELLED_AGAINST_ITS_STATUS),
        ("Announcing", SUNDAY, IS_CANCELLED_AGAINST_ITS_STATUS),
    ],
)
def test_a_pickup_is_cancelled_failed_pending_or_kept_and_never_two(warehouse, status, cancelled_at, state):
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
        ([MORNING, OPEN], None, None, [2.0, None]),  # open-ended: it has no length
        (None, "2026-03-10 12:00Z", 3.0, [3.0]),
    ],
    ids=["one", "two", "one of them inverted", "one of them open-ended", "as v2 sends it"],
)
def test_a_window_is_as_long_as_its_slots_together(warehouse, slots, until, hours, each):
    time_slots = None if slots is None else f"[{','.join(slots)}]"
    con = warehouse(pickup(pickup_until=until, time_slots=time_slots, api_version="v3"))

    assert hours == only(con, "window_hours")
    numbered = [(number, length) for number, length in enumerate(each, start=1)]
    assert numbered == rows(con, "slot_number, slot_hours", "pickup_slots")


def test_each_slot_opens_by_the_clock_of_the_pickups_country_and_counts_in_the_grid(warehouse):
    """09:00 and 13:00 UTC on a Tuesday in winter: 10 and 14 o'clock in Amsterdam."""
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


# --- analytics.pickups: as of when, and mature or not


@pytest.mark.parametrize(
    ("pickup_from", "pickup_until", "is_mature"),
    [
        ("2026-03-31 09:00Z", "2026-03-31 23:59:59.999999Z", True),
        ("2026-03-31 09:00Z", "2026-04-01 00:00Z", False),  # ends at the very instant of the run
        ("2026-03-31 09:00Z", "2026-04-01 09:00Z", False),  # open at that instant
        ("2026-04-02 09:00Z", "2026-04-02 12:00Z", False),
        ("2026-03-31 23:00Z", None, True),  # open-ended: its beginning decides
        ("2026-04-01 01:00Z", None, False),
        ("2026-04-02 09:00Z", "2025-04-02 12:00Z", False),  # inverted: the later of the two decides
        (None, "2026-03-31 12:00Z", True),
        (None, None, True),  # booked on 6 March: without a window it is taken to be over a week later
    ],
)
def test_a_pickup_is_mature_when_its_window_ended_before_the_run(warehouse, pickup_from, pickup_until, is_mature):
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
        ([run(outcome="failed")], None, False),
        ([run(observed_at=None)], None, False),
        ([run(account="other shop")], None, False),
        ([], None, False),
    ],
    ids=[
        "one run",
        "the newest of two",
        "a failed run is newer",
        "only a failed run",
        "a run that saw no clock",
        "another account's run",
        "no run at all",
    ],
)
def test_as_of_is_the_newest_successful_run_of_the_account(warehouse, runs, as_of, is_mature):
    con = warehouse(pickup(), runs=runs, session_zone="Asia/Kolkata")

    assert (as_of, is_mature) == only(con, "as_of_utc, is_mature")


def test_each_account_has_an_as_of_of_its_own(warehouse):
    con = warehouse(
        pickup(account="a"),
        pickup(account="b"),
        runs=[run("a", "2026-03-09 00:00Z"), run("b", "2026-03-11 00:00Z")],
    )

    assert rows(con, "account, as_of_utc, is_mature") == [
        ("a", "2026-03-09 00:00:00", False),
        ("b", "2026-03-11 00:00:00", True),
    ]


# --- analytics.pickups: lengths


@pytest.mark.parametrize(
    ("pickup_from", "pickup_until", "expected"),
    [  # has_window, is_open_ended, is_window_invalid, window_hours
        ("2026-03-10 09:00Z", "2026-03-10 12:00Z", (True, False, False, 3.0)),
        ("2022-11-11 10:53:43.533832Z", "2022-11-11 12:53:43.533832Z", (True, False, False, 2.0)),
        ("2026-03-10 09:00Z", "2026-03-10 09:00:00.000036Z", (True, False, False, 1e-8)),  # 36 us of 3.6e9
        ("2026-03-10 09:00Z", None, (True, True, False, None)),
        ("2023-02-20 09:00Z", "2022-02-20 12:00Z", (True, False, True, None)),
        ("2026-03-10 09:00Z", "2026-03-10 09:00Z", (True, False, True, None)),
        (None, "2026-03-10 12:00Z", (False, False, False, None)),
        (None, None, (False, False, False, None)),
    ],
)
def test_a_window_has_a_length_only_when_it_ends_after_it_begins(warehouse, pickup_from, pickup_until, expected):
    con = warehouse(pickup(pickup_from=pickup_from, pickup_until=pickup_until), session_zone="America/New_York")

    assert expected == only(con, "has_window, is_open_ended, is_window_invalid, window_hours")


@pytest.mark.parametrize(
    ("created_at", "pickup_from", "hours", "is_before_booking"),
    [
        ("2026-03-06 09:00Z", "2026-03-10 09:00Z", 96.0, False),  # four days
        ("2026-03-28 09:00Z", "2026-03-30 09:00Z", 48.0, False),  # two days, one of 23 hours on the wall
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


# the window opens on 2026-03-10 at 09:00 UTC, the booking was made on 2026-03-06 at 09:00 UTC
@pytest.mark.parametrize(
    ("cancelled_at", "hours_to_cancel", "notice_hours", "is_late", "is_after_start"),
    [
        ("2026-03-08 09:00Z", 48.0, 48.0, False, False),
        ("2026-03-09 09:00Z", 72.0, 24.0, False, False),  # to the hour a day before: not late yet
        ("2026-03-09 09:00:00.000036Z", 72.00000001, 23.99999999, True, False),
        ("2026-03-10 08:59Z", 96 - 1 / 60, 1 / 60, True, False),
        ("2026-03-10 09:00Z", 96.0, 0.0, True, True),
        ("2026-03-10 10:30Z", 97.5, -1.5, True, True),
        (None, None, None, False, False),  # cancelled, and nobody knows when
    ],
)
def test_a_cancellation_is_late_within_a_day_of_the_window_and_later(
    warehouse, cancelled_at, hours_to_cancel, notice_hours, is_late, is_after_start
):
    con = warehouse(cancelled(cancelled_at=cancelled_at), session_zone="Europe/Madrid")

    told = only(con, "hours_to_cancel, cancellation_notice_hours, is_late_cancellation, is_cancelled_after_start")
    assert pytest.approx((hours_to_cancel, notice_hours, is_late, is_after_start), abs=1e-9) == told


def test_time_to_cancel_counts_microseconds(warehouse):
    # the API's first example: 10:57:02.344479 to 10:57:11.656260 is 9.311781 seconds
    con = warehouse(cancelled(created_at="2022-03-30T10:57:02.344479Z", cancelled_at="2022-03-30T10:57:11.656260Z"))

    assert pytest.approx(9.311781 / 3600, rel=1e-12) == only(con, "hours_to_cancel")


def test_a_cancellation_without_a_window_is_never_late(warehouse):
    con = warehouse(cancelled(pickup_from=None, pickup_until=None))

    assert only(con, "cancellation_notice_hours, is_late_cancellation, is_cancelled_after_start") == (
        None,
        False,
        False,
    )
