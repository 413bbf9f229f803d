"""What the views and checks say about a handful of pickups (by_hand.py) whose answers were worked out by hand."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from tests.by_hand import CHECKS, VIEWS, cancelled, many, only, pickup, rows, run

MINE = tuple(view for view in VIEWS if view not in ("runs", "quarantine"))


# --- the files


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_says_its_grain_first_and_is_one_plain_select(view):
    grain, *rest = VIEWS[view].splitlines()

    assert grain.startswith("-- One row per ")
    assert next(line for line in rest if line and not line.startswith("--")).startswith("with ")
    assert VIEWS[view].rstrip().splitlines()[-1] == "select * from final"
    assert "create " not in VIEWS[view].lower()


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_says_how_severe_it_is_and_why(check):
    severity, why, *_ = CHECKS[check].splitlines()

    assert severity in ("-- severity: must-pass", "-- severity: warn")
    assert why.startswith("-- ")
    assert "create " not in CHECKS[check].lower()


def test_who_asks_for_two_columns_of_the_pickups_has_no_others_read(warehouse):
    """A CTE with two readers becomes a table of all pickups, all columns: at two million 2.3 s, in place of 0.3 s."""
    ((_, plan),) = warehouse(pickup()).execute("explain select carrier, is_mature from analytics.pickups").fetchall()

    operators = plan.upper().replace(" ", "_")  # Seq Scan, by duckdb 2.0
    assert "SEQ_SCAN" in operators
    assert "CTE_SCAN" not in operators


def test_only_a_doubled_key_and_a_missing_column_must_pass():
    must_pass = {name for name, text in CHECKS.items() if text.startswith("-- severity: must-pass\n")}

    assert {"required_columns", "unique_key"} == must_pass


COLUMNS = {
    "pickups": """
        account pickup_id carrier country contract_id tracking_number pickup_status
        created_at_utc pickup_from_utc pickup_until_utc cancelled_at_utc as_of_utc
        time_zone has_local_time window_opens_local window_closes_local
        window_opens_hour_local window_opens_isodow_local booked_week_local_start
        is_mature is_cancelled is_failed is_pending is_kept is_stuck has_status_conflict is_cancellation_refused
        has_window is_open_ended is_window_invalid is_window_before_booking window_hours lead_time_hours
        hours_to_cancel cancellation_notice_hours is_late_cancellation is_cancelled_after_start
        api_version last_load_id""",
    "pickup_slots": """
        account pickup_id slot_number carrier country has_local_time
        slot_opens_utc slot_closes_utc slot_opens_local slot_opens_isodow_local slot_opens_hour_local slot_hours""",
    "carrier_cancellations": """
        carrier country pickups mature_pickups immature_pickups immature_cancelled
        mature_cancelled mature_kept mature_failed mature_pending
        mature_late_cancellations mature_cancelled_after_start status_conflicts
        rated cancellation_rate cancellation_rate_low cancellation_rate_high
        cancellation_rate_shrunken cancellation_rank
        failure_n failure_rate failure_rate_low failure_rate_high as_of_utc""",
    "carrier_cancellations_weekly": """
        carrier booked_week_local_start pickups mature_pickups immature_pickups
        mature_cancelled mature_kept mature_failed
        rated cancellation_rate cancellation_rate_low cancellation_rate_high is_week_mature""",
    "carrier_net_cancellations": """
        carrier country mature_cancelled mature_rebooked rebooked_by_chance_share net_cancelled
        net_rated net_cancellation_rate net_cancellation_rate_low net_cancellation_rate_high""",
    "rebookings": """
        account pickup_id carrier country is_mature cancelled_at_utc is_rebooked chance_of_a_booking""",
    "cancellation_timing": "carrier age_hours at_risk cancelled share_cancelled",
    "cancellations_by_booking": """
        carrier is_every_carrier measure from_hours until_hours
        rated mature_cancelled cancellation_rate cancellation_rate_low cancellation_rate_high""",
    "runs": """
        run_id account started_at_utc finished_at_utc observed_at_utc has_succeeded error
        pages requests retries waited_seconds
        rows_read rows_new rows_changed rows_unchanged rows_cancelled quarantined
        is_newest_first stopped_because open_pickups open_beyond_lookback history_complete
        sweep rows_missed rows_unlisted seconds hours_since_last_success
        checks_failed new_words unknown_fields must_pass_failed version""",
    "quarantine": """
        account record_hash reason first_seen_at_utc last_seen_at_utc resolved_at_utc is_resolved""",
    "carrier_window_grid": "carrier window_opens_isodow_local window_opens_hour_local pickups",
    "carrier_windows": """
        carrier pickups with_window open_ended invalid open_ended_share
        windows_measured median_window_hours p10_window_hours p90_window_hours
        windows_before_booking lead_times_measured median_lead_time_hours p10_lead_time_hours p90_lead_time_hours
        pickups_without_zone windows_with_zone
        most_common_opening_hour_local most_common_opening_hour_share weekend_share""",
}


@pytest.mark.parametrize("view", COLUMNS)
def test_a_view_has_these_columns(warehouse, view):
    described = warehouse().execute(f"describe analytics.{view}").fetchall()

    assert COLUMNS[view].split() == [name for name, *_ in described]


@pytest.mark.parametrize("view", MINE)
def test_no_column_carries_a_time_zone_or_a_number_that_pandas_cannot_hold(warehouse, view):
    kinds = {kind for _, kind, *_ in warehouse().execute(f"describe analytics.{view}").fetchall()}

    assert kinds <= {"VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "TIMESTAMP", "DATE"}


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

SESSION_ZONES = ("UTC", "America/New_York", "Asia/Kolkata")


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


@pytest.mark.parametrize("view", MINE)
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


ZONES = {
    "NL": "Europe/Amsterdam",
    "BE": "Europe/Brussels",
    "DE": "Europe/Berlin",
    "ES": "Europe/Madrid",
    "FR": "Europe/Paris",
    "IT": "Europe/Rome",
    "AT": "Europe/Vienna",
    "PT": "Europe/Lisbon",
    "GB": "Europe/London",
}


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
SUNDAY = "2026-03-08 09:00Z"


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


# --- analytics.carrier_cancellations

FUTURE = {"pickup_from": "2026-04-10 09:00Z", "pickup_until": "2026-04-10 12:00Z"}
COUNTS = """pickups, mature_pickups, immature_pickups, immature_cancelled,
    mature_cancelled, mature_kept, mature_failed, mature_pending"""
RATE = "rated, cancellation_rate, cancellation_rate_low, cancellation_rate_high"
FAILURE = "failure_n, failure_rate, failure_rate_low, failure_rate_high"


def carrier_row(con, columns, carrier="dpd", country="all"):
    where = f"carrier = '{carrier}' and country = '{country}'"
    return only(con, columns, "carrier_cancellations", where)


# (p + z²/2n ± z √(p(1 - p)/n + z²/4n²)) / (1 + z²/n) with z = 1.959963984540054, in 60 decimal digits
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
def test_a_rate_comes_with_its_n_and_a_wilson_interval(warehouse, cancelled_pickups, kept_pickups, rate, low, high):
    con = warehouse(*many(cancelled, cancelled_pickups), *many(pickup, kept_pickups))

    n, *interval = carrier_row(con, RATE)
    assert cancelled_pickups + kept_pickups == n
    assert pytest.approx([rate, low, high], abs=1e-14) == interval
    assert 0 <= interval[1] <= interval[0] <= interval[2] <= 1


def test_failure_rate_is_over_all_that_are_not_pending(warehouse):
    # 1 failed of 5: kept, kept, cancelled, cancelled, failed; two that still announce are left out
    con = warehouse(
        *many(pickup, 2),
        *many(cancelled, 2),
        pickup(pickup_status="Failed"),
        *many(pickup, 2, pickup_status="Announcing"),
    )

    assert pytest.approx((5, 0.2, 0.036224108632430171, 0.624465370237474686), abs=1e-14) == carrier_row(con, FAILURE)
    assert pytest.approx((4, 0.5, 0.150038989152149514, 0.849961010847850486), abs=1e-14) == carrier_row(con, RATE)


def test_a_cancelled_pickup_whose_window_is_to_come_does_not_enter_the_rate(warehouse):
    con = warehouse(*many(pickup, 3), cancelled(**FUTURE), pickup(**FUTURE), pickup(pickup_status="Failed", **FUTURE))

    assert carrier_row(con, COUNTS) == (6, 3, 3, 1, 0, 3, 0, 0)
    assert carrier_row(con, "rated, cancellation_rate") == (3, 0.0)
    assert carrier_row(con, "failure_n, failure_rate") == (3, 0.0)


def test_mature_and_immature_add_up_and_so_do_the_four_states(warehouse):
    con = warehouse(
        *many(pickup, 4),
        *many(cancelled, 3),
        *many(pickup, 2, pickup_status="Failed"),
        pickup(pickup_status="Announcing"),
        *many(pickup, 5, **FUTURE),
    )

    assert carrier_row(con, COUNTS) == (15, 10, 5, 0, 3, 4, 2, 1)


def test_a_carrier_with_nothing_but_failures_has_no_cancellation_rate(warehouse):
    con = warehouse(*many(pickup, 2, pickup_status="Failed"))

    assert carrier_row(con, RATE) == (0, None, None, None)
    assert carrier_row(con, "failure_n, failure_rate") == (2, 1.0)


def test_stuck_pickups_have_no_rate_of_either_kind(warehouse):
    con = warehouse(pickup(pickup_status="Announcing"))

    assert carrier_row(con, "mature_pending, rated, cancellation_rate, failure_n, failure_rate") == (
        1,
        0,
        None,
        0,
        None,
    )


def test_without_a_run_everything_is_immature_and_nothing_is_rated(warehouse):
    con = warehouse(pickup(), cancelled(), runs=[])

    assert carrier_row(con, COUNTS) == (2, 0, 2, 1, 0, 0, 0, 0)
    assert carrier_row(con, RATE) == (0, None, None, None)
    assert carrier_row(con, "as_of_utc") is None


def test_a_status_that_contradicts_cancelled_at_counts_as_cancelled_and_as_a_conflict(warehouse):
    con = warehouse(pickup(cancelled_at=SUNDAY), cancelled(), pickup(cancelled_at=SUNDAY, **FUTURE))

    assert carrier_row(con, "mature_cancelled, mature_kept, status_conflicts") == (2, 0, 2)


def test_late_cancellations_are_counted_among_the_mature(warehouse):
    con = warehouse(
        cancelled(),
        cancelled(cancelled_at="2026-03-10 08:00Z"),
        cancelled(cancelled_at="2026-03-10 10:00Z"),
        cancelled(cancelled_at="2026-04-10 08:00Z", **FUTURE),
    )

    assert carrier_row(con, "mature_cancelled, mature_late_cancellations, mature_cancelled_after_start") == (3, 2, 1)


def test_a_carrier_has_a_row_of_its_own_and_one_for_each_country(warehouse):
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


def test_a_rate_over_two_accounts_is_as_old_as_the_older_of_their_runs(warehouse):
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


def test_window_lengths_leave_out_the_open_ended_and_the_invalid(warehouse):
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
    # of five values p10 lies 0.4 of the way from the 1st to the 2nd, p90 0.6 of the way from the 4th to the 5th
    assert pytest.approx((4.0, 2.4, 6.8)) == windows_row(con, "median_window_hours, p10_window_hours, p90_window_hours")


def test_lead_times_leave_out_windows_before_the_booking(warehouse):
    # booked on the 6th at 09:00 for the 7th, 8th, 9th, 10th and 14th at 09:00: 24, 48, 72, 96 and 192 hours
    booked_for = [pickup(pickup_from=f"2026-03-{day:02} 09:00Z") for day in (7, 8, 9, 10, 14)]
    con = warehouse(*booked_for, pickup(pickup_from="2025-03-06 09:00Z"), pickup(pickup_from=None))

    assert windows_row(con, "windows_before_booking, lead_times_measured") == (1, 5)
    assert pytest.approx((72.0, 33.6, 153.6)) == windows_row(
        con, "median_lead_time_hours, p10_lead_time_hours, p90_lead_time_hours"
    )


def test_windows_count_whatever_became_of_the_pickup_and_before_any_run(warehouse):
    con = warehouse(
        window(2, pickup_status="Failed"), window(4, pickup_status="Announcing"), cancelled(), pickup(**FUTURE), runs=[]
    )

    assert windows_row(con, "pickups, windows_measured, median_window_hours") == (4, 4, 3.0)


def test_the_most_common_opening_hour_is_local(warehouse):
    # in March Amsterdam is at UTC+1 until the 29th, then at UTC+2: 09:00, 09:00 and 08:00 UTC are 10, 11 and 10
    con = warehouse(
        pickup(),
        pickup(pickup_from="2026-03-31 09:00Z", pickup_until=None),
        pickup(pickup_from="2026-03-31 08:00Z", pickup_until=None),
        session_zone="Asia/Kolkata",
    )

    assert pytest.approx((3, 10, 2 / 3)) == windows_row(
        con, "windows_with_zone, most_common_opening_hour_local, most_common_opening_hour_share"
    )


def test_of_equally_common_hours_the_earliest_is_named(warehouse):
    con = warehouse(pickup(pickup_from="2026-03-10 14:00Z"), pickup(pickup_from="2026-03-10 07:00Z"))

    assert windows_row(con, "most_common_opening_hour_local, most_common_opening_hour_share") == (8, 0.5)


def test_the_weekend_is_saturday_and_sunday_by_the_local_clock(warehouse):
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


def test_a_carrier_seen_only_in_countries_without_a_zone_has_no_local_hour(warehouse):
    con = warehouse(*many(pickup, 2, country="CH"), pickup(country=None))

    assert windows_row(
        con,
        """pickups, pickups_without_zone, windows_with_zone,
        most_common_opening_hour_local, most_common_opening_hour_share, weekend_share""",
    ) == (3, 3, 0, None, None, None)
    assert windows_row(con, "windows_measured, median_window_hours") == (3, 3.0)


def test_a_carrier_without_windows_has_counts_and_no_measures(warehouse):
    con = warehouse(pickup(pickup_from=None, pickup_until=None))

    assert windows_row(
        con,
        """pickups, with_window, open_ended, invalid, open_ended_share, windows_measured, median_window_hours,
        lead_times_measured, median_lead_time_hours, weekend_share""",
    ) == (1, 0, 0, 0, None, 0, None, 0, None, None)


def test_each_carrier_has_its_own_row_of_windows(warehouse):
    con = warehouse(window(2, carrier="ups", country="GB"), window(6), window(8))

    assert rows(con, "carrier, pickups, median_window_hours, most_common_opening_hour_local", "carrier_windows") == [
        ("dpd", 2, 7.0, 10),
        ("ups", 1, 2.0, 9),
    ]


# --- analytics.carrier_window_grid


def test_the_grid_counts_openings_by_local_weekday_and_hour(warehouse):
    con = warehouse(
        *many(pickup, 2),  # Tuesday 09:00 UTC: Tuesday 10 in Amsterdam
        pickup(carrier="ups", country="GB"),  # Tuesday 9 in London
        pickup(carrier="ups", country="NL", pickup_from="2026-03-15 23:30Z"),  # Monday 00:30 in Amsterdam
        cancelled(carrier="ups", country="GB", pickup_from="2026-06-16 09:59:59Z"),  # Tuesday 10:59:59 in London
        session_zone="Asia/Kolkata",
    )

    assert rows(con, "*", "carrier_window_grid") == [
        ("dpd", 2, 10, 2),
        ("ups", 1, 0, 1),
        ("ups", 2, 9, 1),
        ("ups", 2, 10, 1),
    ]


def test_the_grid_leaves_out_what_has_no_window_or_no_zone(warehouse):
    con = warehouse(pickup(pickup_from=None), pickup(country="CH"), pickup())

    assert rows(con, "*", "carrier_window_grid") == [("dpd", 2, 10, 1)]


def test_the_grid_adds_up_to_the_windows_with_a_zone(warehouse):
    con = warehouse(*many(pickup, 3), pickup(country="ES"), pickup(country="CH"), pickup(pickup_from=None))

    assert 4 == only(con, "sum(pickups)", "carrier_window_grid") == windows_row(con, "windows_with_zone")


@pytest.mark.parametrize("view", MINE)
def test_an_empty_account_gives_empty_views(warehouse, view):
    assert rows(warehouse(runs=[]), "*", view) == []
    assert rows(warehouse(), "*", view) == []


# --- checks


NOTHING = {check: [] for check in CHECKS}


def findings(con):
    """The (account, id) pairs that each check returns."""
    told = {}
    for check, text in CHECKS.items():
        result = con.execute(text)
        assert [name for name, *_ in result.description[:2]] == ["account", "id"], check
        told[check] = sorted(row[:2] for row in result.fetchall())
    return told


@pytest.mark.parametrize("session_zone", SESSION_ZONES)
def test_checks_find_nothing_in_a_sound_warehouse(warehouse, session_zone):
    con = warehouse(
        pickup(),
        cancelled(),
        pickup(pickup_status="CREATED", pickup_until=None),
        pickup(id=90),
        pickup(account="another shop", id=90),
        *[pickup(country=country) for country in ZONES],
        session_zone=session_zone,
    )

    assert findings(con) == NOTHING


def test_checks_find_nothing_in_an_empty_warehouse(warehouse):
    assert findings(warehouse(runs=[])) == NOTHING


PLANTED = {
    "unique_key": [pickup(id=901), pickup(id=901)],
    "required_columns": [pickup(id=901, created_at=None)],
    "known_statuses": [pickup(id=901, pickup_status="Teleported")],
    "known_carriers": [pickup(id=901, carrier="mondial_relay")],
    "no_longer_listed": [pickup(id=901)],
    "known_countries": [pickup(id=901, country="CH")],
    "window_order": [pickup(id=901, pickup_until="2025-03-10 12:00Z")],
    "window_before_booking": [pickup(id=901, created_at="2026-03-10 09:00:01Z")],
    "status_conflict": [pickup(id=901, cancelled_at=SUNDAY)],
    "missing_tracking_number": [pickup(id=901, tracking_number="")],
}


def test_every_check_has_a_planted_row():
    assert PLANTED.keys() == CHECKS.keys()


@pytest.mark.parametrize("check", PLANTED)
def test_a_check_finds_its_planted_row_and_nothing_else(warehouse, check):
    con = warehouse(pickup(), cancelled(), *PLANTED[check])
    if check == "no_longer_listed":
        con.execute("insert into sendcloud.pickups_unlisted values ('shop', 901, timestamptz '2026-03-29 03:11:00Z')")

    assert NOTHING | {check: [("shop", 901)]} == findings(con)


def doubles(warehouse, *, before=None, this):
    """The doubles found of three rows, two of them one pickup, when the account's last two runs left these receipts."""
    runs = [run(observed_at="2026-03-31 00:00Z", **before)] if before else []
    con = warehouse(pickup(), *PLANTED["unique_key"], runs=[*runs, run(**this)])
    return findings(con)["unique_key"]


def test_ten_million_keys_are_not_grouped_again_when_the_rows_add_up(warehouse):
    """2 of before and 1 new are the 3 that there are. Nobody looks, so the double that was planted is not found."""
    assert doubles(warehouse, before={"rows_in_table": 2}, this={"rows_new": 1, "rows_in_table": 3}) == []


def test_a_clock_that_was_set_back_makes_no_earlier_run_the_last_one(warehouse):
    """2 and 1 new were 3 at a quarter past; the run that found a fourth row, with a new id, says half past nine."""
    runs = [
        run(started_at="2026-03-31 10:00Z", rows_in_table=2),
        run(started_at="2026-03-31 10:15Z", rows_new=1, rows_in_table=3),
        run(started_at="2026-03-31 09:30Z", rows_new=1, rows_in_table=4),
    ]
    con = warehouse(pickup(), pickup(), *PLANTED["unique_key"], runs=runs)
    assert findings(con)["unique_key"] == [("shop", 901)]


@pytest.mark.parametrize(
    ("before", "this"),
    [
        ({"rows_in_table": 2}, {"rows_new": 0, "rows_in_table": 3}),
        ({"rows_in_table": 2}, {"rows_new": 1, "rows_in_table": 3, "sweep": "complete"}),
        ({"rows_in_table": 3, "checks_failed": '{"unique_key": 1}'}, {"rows_in_table": 3}),
        ({"rows_in_table": None}, {"rows_in_table": 3}),
        ({"rows_in_table": 3, "account": "another shop"}, {"rows_in_table": 3}),
        (None, {"rows_in_table": 3}),
    ],
    ids=["one too many", "a sweep", "doubles before", "an older version before", "another account's", "the first run"],
)
def test_otherwise_they_are_grouped_and_a_double_is_found(warehouse, before, this):
    assert doubles(warehouse, before=before, this=this) == [("shop", 901)]


@pytest.mark.parametrize("column", ["account", "id", "carrier", "pickup_status", "created_at"])
def test_each_required_column_is_missed(warehouse, column):
    missing = pickup(id=901) | {column: None}

    assert [(missing["account"], missing["id"])] == findings(warehouse(pickup(), missing))["required_columns"]


@pytest.mark.parametrize(
    "status",
    [
        "Created",
        "Cancelled",
        "Failed",
        "Announcing",
        "created",
        "CREATED",
        "CANCELLED",
        "FAILED",
        "ANNOUNCING",
        "CANCELLATION_REQUESTED",
        "CANCELLATION_FAILED",
        "CANCELLATION_REJECTED",
    ],
)
def test_the_documented_statuses_are_known_in_any_spelling(warehouse, status):
    assert findings(warehouse(pickup(pickup_status=status)))["known_statuses"] == []


@pytest.mark.parametrize("country", ["CH", "", None])
def test_no_country_is_an_unknown_country(warehouse, country):
    assert findings(warehouse(pickup(id=901, country=country)))["known_countries"] == [("shop", 901)]


def test_a_window_of_no_length_is_out_of_order(warehouse):
    con = warehouse(pickup(id=901, pickup_until="2026-03-10 09:00Z"))

    assert findings(con)["window_order"] == [("shop", 901)]


def test_a_failed_pickup_may_have_its_window_before_its_booking(warehouse):
    # the API's own example: window of 2021, booked in 2022
    con = warehouse(
        pickup(
            pickup_status="Failed", created_at="2022-03-30 10:57Z", pickup_from="2021-04-06 12:00Z", tracking_number=""
        )
    )

    assert findings(con) == NOTHING


@pytest.mark.parametrize(
    "excused",
    [
        pickup(tracking_number="", pickup_status="Announcing"),
        pickup(tracking_number="", pickup_status="Failed"),
        cancelled(tracking_number=""),
        pickup(tracking_number="", **FUTURE),
    ],
    ids=["announcing", "failed", "cancelled", "window to come"],
)
def test_some_pickups_need_no_tracking_number(warehouse, excused):
    assert findings(warehouse(excused))["missing_tracking_number"] == []
