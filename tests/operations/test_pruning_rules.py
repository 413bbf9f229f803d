"""Which old rows stay, asked of the statements themselves; whole runs that prune are in test_housekeeping.py."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipelines.bookkeeping.housekeeping import prune
from pipelines.bookkeeping.receipts import write_receipt
from pipelines.config.project import project_context
from pipelines.destinations.duckdb.session import IN_MEMORY, DuckDBSession, open_database
from pipelines.receipt import Receipt
from sources.sendcloud import ReadStats
from tests.support.worlds import NOW

DLT_TABLES = """
    create table sendcloud._dlt_pipeline_state (created_at timestamptz, pipeline_name text, _dlt_load_id text);
    create table sendcloud._dlt_loads (inserted_at timestamptz, load_id text, status int, schema_version_hash text);
    create table sendcloud._dlt_version (inserted_at timestamptz, version_hash text, schema_name text);
    create table sendcloud.pickup_states_recorded (_dlt_load_id text);
    create table sendcloud.pickups (_dlt_load_id text);
"""


def receipt(
    run_id: str, days_ago: float, outcome: str = "succeeded", observed_days_ago: float | None = None
) -> Receipt:
    observed = NOW - timedelta(days=days_ago if observed_days_ago is None else observed_days_ago)
    stats = ReadStats(account="north", observed_at=observed)
    return Receipt(stats, run_id=run_id, started_at=NOW - timedelta(days=days_ago), outcome=outcome)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[DuckDBSession]:
    with project_context(tmp_path), open_database(IN_MEMORY) as opened:
        opened.execute("create schema sendcloud")
        opened.execute(DLT_TABLES)
        yield opened


def prune_after(session: DuckDBSession, *receipts: Receipt) -> set[str]:
    """Writes the receipts, and prunes as the run of the last one; returns the ids that stay."""
    for each in receipts:
        write_receipt(session, each)
    prune(session, receipts[-1:])
    return {run_id for (run_id,) in session.execute("select run_id from sendcloud.pickup_runs").fetchall()}


def test_the_last_good_run_stays_whatever_the_clocks_said(session: DuckDBSession) -> None:
    """Both clocks were ahead during an earlier run. `status` and the views' as_of need the run that was made last."""
    kept = prune_after(
        session,
        receipt("oldest", 900),
        receipt("with clocks ahead", 600),
        receipt("last good", 700, observed_days_ago=850),
        receipt("failed", 600, "failed"),
        receipt("now", 0, "failed"),
    )

    assert kept == {"last good", "failed", "now"}


def test_a_run_made_while_this_machines_clock_was_wrong_is_kept_as_long_as_its_neighbours(
    session: DuckDBSession,
) -> None:
    """Receipts stay for 365 days. A failed run that read no page has no time but this machine's."""
    year_2001 = (NOW - datetime(2001, 1, 1, tzinfo=NOW.tzinfo)).days
    wrong = [receipt("yesterday, in 2001", year_2001, "failed"), receipt("in 2031", -4 * 365, "failed")]
    for each in wrong:
        each.stats.observed_at = None
    old = receipt("two years ago, in 2031", -4 * 365, "failed")
    old.stats.observed_at = None

    kept = prune_after(
        session,
        receipt("oldest", 800),
        old,
        receipt("700 days ago", 700),
        receipt("recent", 2),
        *wrong,
        receipt("now", 0),
    )

    assert kept == {"recent", "yesterday, in 2001", "in 2031", "now"}


def test_a_run_whose_api_said_2001_and_the_run_after_it_are_kept(session: DuckDBSession) -> None:
    """The API's clock was 25 years behind in the first run, and both clocks are 30 days ahead in the second."""
    year_2001 = (NOW - datetime(2001, 1, 1, tzinfo=NOW.tzinfo)).days

    kept = prune_after(session, receipt("API in 2001", 1, observed_days_ago=year_2001), receipt("now", -30))

    assert kept == {"API in 2001", "now"}


def test_a_run_whose_api_said_2001_is_kept_if_this_machines_clock_is_ahead(session: DuckDBSession) -> None:
    """This machine's clock is nine days ahead of the API's in all runs, so the first run seems to be still to come."""
    year_2001 = (NOW - datetime(2001, 1, 1, tzinfo=NOW.tzinfo)).days

    kept = prune_after(
        session,
        receipt("API in 2001", -9, observed_days_ago=year_2001),
        receipt("next", -7, observed_days_ago=2),
        receipt("now", -9, observed_days_ago=0),
    )

    assert kept == {"API in 2001", "next", "now"}


def test_a_run_never_prunes_its_own_receipt(session: DuckDBSession) -> None:
    """Neither clock of the second run is plausible, so its age would be that of the run before it."""
    kept = prune_after(session, receipt("two years ago", 730), receipt("now", -30))

    assert kept == {"two years ago", "now"}


def test_each_accounts_newest_state_stays(session: DuckDBSession) -> None:
    """dlt restores the state of the completed load with the highest id, for each pipeline."""
    add_states(session, ("north", "1", 0), ("north", "2", 0), ("south", "3", 0), ("south", "4", 1))  # 4: not completed

    prune_after(session, receipt("yesterday", 1), receipt("now", 0))

    assert states(session) == ["2", "3"]


@pytest.mark.parametrize(("age_days", "kept"), [(29.9, ["1", "2"]), (30.1, ["2"])])
def test_the_loads_of_thirty_days_stay_with_their_states(
    session: DuckDBSession, age_days: float, kept: list[str]
) -> None:
    """The other tables have nothing to prune."""
    add_states(session, ("north", "1", 0), ("north", "2", 0), days_ago=age_days)

    prune_after(session, receipt("now", 0))

    assert states(session) == kept
    assert session.execute("select load_id from sendcloud._dlt_loads order by 1").fetchall() == [(one,) for one in kept]


def test_loads_without_pickups_are_no_longer_listed_as_recorded(session: DuckDBSession) -> None:
    """The other tables have nothing to prune."""
    session.execute("insert into sendcloud.pickup_states_recorded values ('1'), ('2')")
    session.execute("insert into sendcloud.pickups values ('2')")

    prune_after(session, receipt("now", 0))

    assert session.execute("from sendcloud.pickup_states_recorded").fetchall() == [("2",)]


def add_states(
    session: DuckDBSession, *pipelines_loads_and_statuses: tuple[str, str, int], days_ago: float = 90
) -> None:
    """Adds states that dlt stored so long ago, and their loads."""
    old = NOW - timedelta(days=days_ago)
    for pipeline, load, status in pipelines_loads_and_statuses:
        session.execute("insert into sendcloud._dlt_loads values (?, ?, ?, 'hash')", [old, load, status])
        session.execute("insert into sendcloud._dlt_pipeline_state values (?, ?, ?)", [old, pipeline, load])


def states(session: DuckDBSession) -> list[str]:
    found = session.execute("select _dlt_load_id from sendcloud._dlt_pipeline_state order by 1").fetchall()
    return [load for (load,) in found]
