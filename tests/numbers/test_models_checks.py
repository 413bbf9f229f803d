"""Tests that the checks report nothing in a sound warehouse, and that each one reports an example of its wrong rows."""

from string import ascii_uppercase

import pytest

from tests.support.by_hand import CHECKS, FUTURE, SESSION_ZONES, SUNDAY, ZONES, cancelled, pickup, run

pytestmark = pytest.mark.duckdb2

NO_FINDINGS = {check: [] for check in CHECKS}


# the checks that report a run, and a change that makes a receipt wrong
WRONG_RECEIPTS = {
    "clocks_agree": "clock_difference_seconds = -3601",
    "open_pickups_listed": "open_missing = 1",
    "frontier_held_back": "frontier_pickup_id = 901",
    "refused_records": "rows_read = 199, quarantined = 2",
}


def findings(con):
    """Returns the (account, id) pairs that each check reports."""
    found = {}
    for check, text in CHECKS.items():
        result = con.execute(text)
        key = "run_id" if check in WRONG_RECEIPTS else "id"
        assert [name for name, *_ in result.description[:2]] == ["account", key], check
        found[check] = sorted(row[:2] for row in result.fetchall())
    return found


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

    assert findings(con) == NO_FINDINGS


def test_checks_find_nothing_in_an_empty_warehouse(warehouse):
    assert findings(warehouse(runs=[])) == NO_FINDINGS


WRONG_ROWS = {
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
    "unreadable_fields": [pickup(id=901, extra='{"contract":"57"}')],
}


def test_every_check_has_an_example_of_wrong_rows():
    assert WRONG_ROWS.keys() | WRONG_RECEIPTS.keys() == CHECKS.keys()


@pytest.mark.parametrize("check", WRONG_RECEIPTS)
def test_only_the_check_for_a_wrong_receipt_reports_it_if_it_is_the_last(warehouse, check):
    con = warehouse(pickup(), runs=[run(run_number=1, run_id="1"), run(run_number=2, run_id="2")])
    change = f"update sendcloud.pickup_runs set {WRONG_RECEIPTS[check]} where run_id = ?"

    con.execute(change, ["1"])
    assert findings(con) == NO_FINDINGS
    con.execute(change, ["2"])
    assert NO_FINDINGS | {check: [("shop", "2")]} == findings(con)


@pytest.mark.parametrize("check", WRONG_ROWS)
def test_only_the_check_for_a_wrong_row_reports_that_row(warehouse, check):
    con = warehouse(pickup(), cancelled(), *WRONG_ROWS[check])
    if check == "no_longer_listed":
        con.execute("insert into sendcloud.pickups_unlisted values ('shop', 901, timestamptz '2026-03-29 03:11:00Z')")

    assert NO_FINDINGS | {check: [("shop", 901)]} == findings(con)


def read_and_refused(rows_read, quarantined, hour=1):
    return run(observed_at=f"2026-04-01 0{hour}:00Z", rows_read=rows_read, quarantined=quarantined, run_id=str(hour))


@pytest.mark.parametrize(
    ("runs", "reported"),
    [
        ([read_and_refused(100, 1)], []),
        ([read_and_refused(99, 1)], ["1"]),
        ([read_and_refused(1, 1)], ["1"]),
        ([read_and_refused(0, 0)], []),
        ([read_and_refused(10, 10), read_and_refused(10, 0, hour=2)], []),
        ([read_and_refused(10, 0), read_and_refused(10, 10, hour=2)], ["2"]),
    ],
)
def test_refused_records_counts_those_of_the_last_run_and_allows_one_in_a_hundred(warehouse, runs, reported):
    assert findings(warehouse(pickup(), runs=runs))["refused_records"] == [("shop", run_id) for run_id in reported]


@pytest.mark.parametrize(
    ("api_version", "extra", "fields"),
    [
        ("v2", '{"contract":"57"}', "contract"),
        (None, '{"contract":"57"}', "contract"),
        ("v2", '{"contract_id":"57","time_slots":[]}', None),
        ("v3", '{"contract_id":"57","time_slots":[{"start_at":"soon"}]}', "contract_id, time_slots"),
        ("v3", '{"contract":"57","pickup_from":"soon","pickup_until":"soon"}', None),
        (
            "v2",
            '{"cancelled_at":"soon","country":7,"pickup_from":false,"pickup_until":[],"tracking_number":1.10}',
            "cancelled_at, country, pickup_from, pickup_until, tracking_number",
        ),
        ("v2", '{"colour":"green","depot":{"contract":1},"note":"\\"contract\\":"}', None),
        ("v2", '{"contract_number":1}', None),
    ],
)
def test_unreadable_fields_names_the_fields_of_the_pickups_own_version(warehouse, api_version, extra, fields):
    con = warehouse(pickup(api_version=api_version, extra=extra))

    assert [word for _, _, word in con.execute(CHECKS["unreadable_fields"]).fetchall()] == ([fields] if fields else [])


def duplicates_found(warehouse, *, before=None, this):
    """Returns the duplicates that the check reports among three rows, two of which are the same pickup.

    `before` and `this` are fields of the receipts of the account's last two runs.
    """
    runs = [run(observed_at="2026-03-31 00:00Z", **before)] if before else []
    con = warehouse(pickup(), *WRONG_ROWS["unique_key"], runs=[*runs, run(**this)])
    return findings(con)["unique_key"]


def test_unique_key_check_does_not_group_keys_if_the_row_counts_add_up(warehouse):
    """The table has 3 rows: 2 from the previous run and 1 new one. The check is skipped, so it misses the duplicate.

    Grouping the keys of ten million pickups takes a second and a gigabyte of memory.
    """
    assert duplicates_found(warehouse, before={"rows_in_table": 2}, this={"rows_new": 1, "rows_in_table": 3}) == []


@pytest.mark.parametrize(("new", "duplicates"), [(2, []), (1, [("shop", 901)])])
def test_unique_key_check_compares_the_last_two_runs_even_if_the_machine_clock_was_set_back(warehouse, new, duplicates):
    """The run that was made last says 09:30, and 2 rows were in the table before it.

    If it added 2 rows, the counts add up, and the check is skipped. If it added 1, it groups the keys.
    """
    runs = [
        run(run_number=1, started_at="2026-03-31 10:15Z", rows_in_table=2),
        run(run_number=2, started_at="2026-03-31 09:30Z", rows_new=new, rows_in_table=4),
    ]
    con = warehouse(pickup(), pickup(), *WRONG_ROWS["unique_key"], runs=runs)
    assert findings(con)["unique_key"] == duplicates


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
    ids=[
        "one row too many",
        "a sweep",
        "duplicates in the previous run",
        "a previous run of an older version",
        "a previous run of another account",
        "the first run",
    ],
)
def test_unique_key_check_reports_a_duplicate_if_the_counts_cannot_rule_it_out(warehouse, before, this):
    assert duplicates_found(warehouse, before=before, this=this) == [("shop", 901)]


@pytest.mark.parametrize("column", ["account", "id", "carrier", "pickup_status", "created_at"])
def test_null_in_any_required_column_is_reported(warehouse, column):
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
def test_documented_statuses_are_known_in_any_letter_case(warehouse, status):
    assert findings(warehouse(pickup(pickup_status=status)))["known_statuses"] == []


@pytest.mark.parametrize("country", ["CH", "", None])
def test_missing_country_and_country_without_a_time_zone_are_reported(warehouse, country):
    assert findings(warehouse(pickup(id=901, country=country)))["known_countries"] == [("shop", 901)]


def test_the_check_and_the_view_know_the_same_countries(warehouse):
    codes = [first + second for first in ascii_uppercase for second in ascii_uppercase]
    countries = [*codes, "nl", "Gb", "", None, " NL", "NLD"]
    con = warehouse(*(pickup(id=number, country=country) for number, country in enumerate(countries, start=1)))

    in_utc = con.execute("select account, pickup_id from analytics.pickups where not has_local_time").fetchall()
    reported = findings(con)["known_countries"]

    assert len(reported) == len(countries) - 11, "nine countries have a time zone, two of them also in another case"
    assert sorted(reported) == sorted(in_utc)


def test_window_of_zero_length_is_reported_as_out_of_order(warehouse):
    con = warehouse(pickup(id=901, pickup_until="2026-03-10 09:00Z"))

    assert findings(con)["window_order"] == [("shop", 901)]


def test_failed_pickup_may_have_its_window_before_its_booking(warehouse):
    # In the API's own example, a pickup booked in 2022 has a window in 2021.
    con = warehouse(
        pickup(
            pickup_status="Failed", created_at="2022-03-30 10:57Z", pickup_from="2021-04-06 12:00Z", tracking_number=""
        )
    )

    assert findings(con) == NO_FINDINGS


@pytest.mark.parametrize(
    "exempt",
    [
        pickup(tracking_number="", pickup_status="Announcing"),
        pickup(tracking_number="", pickup_status="Failed"),
        cancelled(tracking_number=""),
        pickup(tracking_number="", **FUTURE),
    ],
    ids=["announcing", "failed", "cancelled", "window in the future"],
)
def test_pickup_needs_no_tracking_number_unless_it_is_kept_and_mature(warehouse, exempt):
    assert findings(warehouse(exempt))["missing_tracking_number"] == []
