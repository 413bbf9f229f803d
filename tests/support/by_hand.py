"""Creates a warehouse from a few pickups, for comparison with results that were worked out by hand.

The default pickup is for carrier dpd in country NL. It was booked on Friday 2026-03-06 at 09:00 UTC for Tuesday
2026-03-10 from 09:00 to 12:00 UTC, which is 10:00 to 13:00 in Amsterdam. A run observed it on 2026-04-01. Each test
changes only the fields under test.
"""

import shutil
from datetime import date, datetime, timedelta
from itertools import count, groupby

import duckdb
import pyarrow as pa
import pytest

from pipelines.analytics.checks import check_files
from pipelines.analytics.views import create_views, view_files

VIEWS = {path.stem: path.read_text() for path in sorted(view_files())}
CHECKS = {path.stem: path.read_text() for path in check_files()}

BY_ACCOUNT = tuple(
    view for view, text in VIEWS.items() if " as is_every_account" in text or "  is_every_account," in text
)
OVER_PICKUPS = tuple(view for view in VIEWS if view not in ("runs", "quarantine"))
SESSION_ZONES = ("UTC", "America/New_York", "Asia/Kolkata")
SUNDAY = "2026-03-08 09:00Z"
FUTURE = {"pickup_from": "2026-04-10 09:00Z", "pickup_until": "2026-04-10 12:00Z"}
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

TABLES = """
create schema sendcloud;
create table sendcloud.pickups (
    account text, id bigint, carrier text, country text, tracking_number text,
    pickup_from timestamptz, pickup_until timestamptz, pickup_status text,
    created_at timestamptz, cancelled_at timestamptz, contract bigint, extra json, _dlt_load_id text,
    time_slots json, api_version text
);
create table sendcloud.pickup_runs (
    run_id text, run_number bigint, clock_difference_seconds double, open_missing bigint, frontier_pickup_id bigint,
    account text, started_at timestamptz, finished_at timestamptz, observed_at timestamptz, outcome text,
    sweep text, rows_new bigint, rows_in_table bigint, checks_failed text,
    error text, pages bigint, requests bigint, retries bigint, waited_seconds double, rows_read bigint,
    rows_changed bigint, rows_unchanged bigint, rows_cancelled bigint, quarantined bigint, "order" text,
    stopped_because text, open_pickups bigint, open_beyond_lookback bigint, history_complete boolean,
    rows_missed bigint, rows_unlisted bigint, seconds_read double, seconds_loaded double, seconds_published double,
    unexpected_values text, unknown_fields text, must_pass_failed boolean, version text
);
create table sendcloud.pickups_quarantine (
    account text, record_hash text, reason text, record json, first_seen_at timestamptz, last_seen_at timestamptz,
    _dlt_load_id text, resolved_at timestamptz
);
create table sendcloud.pickups_unlisted (account text, id bigint, unlisted_since timestamptz);
create table sendcloud.pickup_status_history (
    account text, id bigint, pickup_status text, cancelled_at timestamptz, pickup_from timestamptz,
    pickup_until timestamptz, observed_at timestamptz, _dlt_load_id text, is_first boolean
);
"""

ids = count(1)
INSTANTS = ("pickup_from", "pickup_until", "created_at", "cancelled_at")


def instant(text):
    return datetime.fromisoformat(text) if isinstance(text, str) else text


def pickup(**changes):
    everyday = {
        "account": "shop",
        "id": next(ids),
        "carrier": "dpd",
        "country": "NL",
        "tracking_number": "09985053927752",
        "pickup_from": "2026-03-10 09:00Z",
        "pickup_until": "2026-03-10 12:00Z",
        "pickup_status": "Created",
        "created_at": "2026-03-06 09:00Z",
        "cancelled_at": None,
        "contract": 57,
        "extra": None,
        "time_slots": None,
        "api_version": "v2",
        "_dlt_load_id": "1774000000.5",
    }
    assert changes.keys() <= everyday.keys()
    row = everyday | changes
    return row | {column: instant(row[column]) for column in INSTANTS}


def cancelled(**changes):
    """Returns a pickup cancelled on Sunday at 09:00 UTC, 48 hours after booking and 48 hours before its window."""
    return pickup(**{"pickup_status": "Cancelled", "cancelled_at": "2026-03-08 09:00Z"} | changes)


def run(account="shop", observed_at="2026-04-01 00:00Z", outcome="succeeded", **changes):
    """Returns the receipt of a run. By default, the run started and finished at `observed_at`."""
    everyday = {"run_id": f"run-{next(ids)}", "account": account, "observed_at": observed_at, "outcome": outcome}
    times = {"started_at": observed_at, "finished_at": observed_at}
    row = everyday | times | {"rows_new": 0, "checks_failed": "{}"} | changes
    return {name: instant(value) if name.endswith("_at") else value for name, value in row.items()}


def state(of, observed_at, pickup_status=None, **changes):
    """Returns a state of the status history, in which the pickup was observed at that time."""
    kept = ("account", "id", "cancelled_at", "pickup_from", "pickup_until", "pickup_status", "_dlt_load_id")
    row = {name: of[name] for name in kept} | {"observed_at": observed_at} | changes
    row |= {"pickup_status": pickup_status or row["pickup_status"]}
    return {name: instant(value) if name in (*INSTANTS, "observed_at") else value for name, value in row.items()}


def fill(con, pickups, runs=None, session_zone="UTC", history=()):
    """Creates all raw tables and views, and inserts the pickups, the receipts of runs and the observed states."""
    con.execute(TABLES)
    create_views(con)
    return insert(con, pickups, runs, session_zone, history)


def insert(con, pickups, runs=None, session_zone="UTC", history=()):
    con.execute(f"set TimeZone = '{session_zone}'")
    tables = {
        "pickups": pickups,
        "pickup_runs": [run()] if runs is None else runs,
        "pickup_status_history": history,
    }
    for table, rows in tables.items():
        # in bulk, because single inserts of ten thousand rows take ten seconds
        for _, alike in groupby(rows, key=tuple):
            con.register("told", pa.Table.from_pylist(list(alike)))
            con.execute(f"insert into sendcloud.{table} by name from told")
            con.unregister("told")
    return con


def mark_first_states(con, condition="true"):
    """Sets `is_first`, as runs do, of the states that meet the condition. It stays unknown for the others."""
    con.execute(f"""
        update sendcloud.pickup_status_history as marked set is_first = not exists (
            select 1 from sendcloud.pickup_status_history as earlier
            where earlier.account = marked.account and earlier.id = marked.id
                and (earlier.observed_at, earlier.rowid) < (marked.observed_at, marked.rowid)
        ) where {condition}
    """)


@pytest.fixture(scope="session")
def without_rows(tmp_path_factory):
    """Creates a file with all tables and views, all empty. Copying it takes a tenth of the time it takes to create."""
    path = tmp_path_factory.mktemp("by_hand") / "without_rows.duckdb"
    with duckdb.connect(path) as con:
        fill(con, [], runs=[])
    return path


@pytest.fixture
def warehouse(without_rows, tmp_path):
    """Returns a function that creates a warehouse from pickups."""
    opened = []

    def make(*pickups, runs=None, session_zone="UTC", history=()):
        opened.append(duckdb.connect(shutil.copy(without_rows, tmp_path / f"{len(opened)}.duckdb")))
        return insert(opened[-1], pickups, runs, session_zone, history)

    yield make
    for con in opened:
        con.close()


@pytest.fixture
def published(without_rows, tmp_path, monkeypatch):
    """Returns a function that writes pickups to the file that commands and `read` read by default."""

    def write(*pickups, runs=None, history=()):
        path = shutil.copy(without_rows, tmp_path / "published.duckdb")
        with duckdb.connect(path) as con:
            insert(con, pickups, runs, history=history)
        monkeypatch.setenv("PUBLISH__PATH", str(path))
        # the file has no mark, so that a reader would recreate its views, which takes 0.3 s
        monkeypatch.setattr("pipelines.destinations.duckdb.session._has_other_views", lambda *_: False)
        return path

    return write


def readable(value):
    return str(value) if isinstance(value, date) else value


def rows(con, columns, view="pickups", where="true"):
    """Returns the rows of the view, sorted. Rows of single accounts are left out unless `where` names the account."""
    if view in BY_ACCOUNT and "account" not in where:
        where = f"({where}) and is_every_account"
    found = con.execute(f"select {columns} from analytics.{view} where {where} order by all").fetchall()
    return [tuple(readable(value) for value in row) for row in found]


def only(con, columns, view="pickups", where="true"):
    """Returns the values of the only row, or the bare value if one column is selected."""
    (row,) = rows(con, columns, view, where)
    return row if len(row) > 1 else row[0]


def many(kind, n, **changes):
    return [kind(**changes) for _ in range(n)]


def on_separate_days(pickups):
    """Returns the pickups with bookings on consecutive days, the last of them on the default day.

    No two pickups are then in one cluster, so they count as independent.
    """
    booked = instant("2026-03-06 09:00Z")
    return [one | {"created_at": booked - timedelta(days=number)} for number, one in enumerate(pickups)]


def close(expected):
    """Matches values that agree to nine digits."""
    return pytest.approx(expected, rel=1e-9, abs=1e-12)


def wilson(cancelled: int, n: int) -> tuple[float, float]:
    """Returns the Wilson interval from statsmodels.

    Libraries are imported where they are used, because importing all of them takes three seconds.
    """
    from statsmodels.stats.proportion import proportion_confint

    return proportion_confint(cancelled, n, method="wilson")
