"""The checks: nothing in a sound warehouse, and each its planted row."""

import pytest

from tests.support.by_hand import CHECKS, FUTURE, SESSION_ZONES, SUNDAY, ZONES, cancelled, pickup, run

pytestmark = pytest.mark.duckdb2

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
