"""Copies the published tables into a temporary database that computes the views for one selection at a time.

Opening a filtered session for each selection would derive every column of `analytics.pickups` again, which takes a
quarter of the time of a report on a million pickups (2026-11). The copy derives the columns once. The selections then
limit the derived rows by the same columns as `PickupFilter`: the country and the end of the window.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from pipelines.analytics.views import SQL, create_views, query_of
from pipelines.destinations.base import Session
from pipelines.destinations.duckdb.session import DuckDBSession, open_database
from pipelines.destinations.filter import NO_COUNTRY
from pipelines.destinations.migrations import STATUS_HISTORY
from pipelines.report.workspace import private_workspace
from pipelines.wording.rows import Row as Row

BATCH_ROWS = 50_000
FEW_PICKUPS = 300_000  # for fewer, a single thread takes a fifth less CPU time and is as fast (2 cores, 2026-11)
MEMORY_LIMIT = "600MB"  # larger steps use the temporary folder, so that a million pickups fit into 1 GB
TABLES = ("pickups", "pickup_runs", "pickups_quarantine", "pickup_status_history")
# The report shows neither tracking numbers nor unknown fields, so the copy leaves them out.
PICKUPS = """
    select account, id, carrier, country, pickup_from, pickup_until, pickup_status, created_at, cancelled_at, contract,
        time_slots, api_version
    from sendcloud.pickups
"""
# The report reads the receipts of RUN_DAYS and each account's newest ones. Copying all receipts of 40 accounts with a
# year of runs took 17 s and 3 GB of memory (2026-11-29).
RUN_DAYS = 28
RECEIPTS = f"""
    select runs.* from sendcloud.pickup_runs as runs
    join (
        select
            account,
            max(coalesce(run_number, 0)) as newest,
            max(case when outcome = 'succeeded' and observed_at is not null then coalesce(run_number, 0) end) as good
        from sendcloud.pickup_runs group by account
    ) as numbers on numbers.account = runs.account
    cross join (select max(started_at) as started_at from sendcloud.pickup_runs) as latest
    where runs.started_at >= latest.started_at - interval {RUN_DAYS} day
        or coalesce(runs.run_number, 0) in (numbers.newest, numbers.good)
"""  # noqa: S608  # a constant
ADDED = "null::text as tracking_number, null::json as extra, null::text as _dlt_load_id, time_slots::json as time_slots"
VIEWS = SQL / "views"
READ_INTERVALS = ("rates", "carrier_cancellations", "carrier_cancellations_weekly", "carrier_expected")
BREAKDOWNS, WEEKS = ("total", "carrier"), ("carrier and week",)
ALL_CARRIERS = "all carriers"
# DuckDB plans with the statistics of a table, and keeps a prepared plan when they change. The rows that are not current
# give each column statistics that allow every later selection, so that no condition is decided by the plan.
_SELECTIONS = """
    create table derived.selection (country text, since timestamp, is_one_carrier bool, is_current bool);
    insert into derived.selection values
        ('', '0001-01-01', true, false), (null, null, false, false), (chr(1114111), '9999-12-31', null, null),
        (null, null, false, true)
"""
_SELECTED = f"""
    create or replace view analytics.pickups as
    select
        pickups.* replace (case when is_one_carrier then '{ALL_CARRIERS}' else carrier end as carrier)
    from derived.pickups, derived.selection
    where selection.is_current
        and (selection.country is null or coalesce(pickups.country, '{NO_COUNTRY}') = selection.country)
        and (since is null or window_ends_at_utc >= since)
"""  # noqa: S608  # the texts are constants


class Selection(NamedTuple):
    """Selects the pickups for which the views are computed.

    Attributes:
        country: a country as in `PickupFilter`. None includes all countries.
        since: the earliest end of a window, in UTC without a time zone. None sets no limit.
        is_one_carrier: whether the views treat all carriers as one carrier with the name ALL_CARRIERS.
    """

    country: str | None = None
    since: datetime | None = None
    is_one_carrier: bool = False


class Store:
    """Holds a copy of the published tables, and computes views for one selection at a time."""

    def __init__(self, session: DuckDBSession) -> None:
        self._session = session
        self._prepared: dict[str, str] = {}
        self._lacks_intervals: tuple[str, ...] = ()
        self._selected: Selection | None = None

    def select(self, selection: Selection) -> None:
        """Limits all views over pickups to the selection, until the next call."""
        if selection == self._selected:
            return
        self._selected = selection
        self._session.execute("delete from derived.selection where is_current")
        self._session.execute("insert into derived.selection values (?, ?, ?, true)", list(selection))
        self._lacks_intervals = BREAKDOWNS if selection.since else (*BREAKDOWNS, *WEEKS)
        if selection.is_one_carrier:  # only the weekly rates are read then
            self._lacks_intervals = WEEKS

    def rows(self, view: str, where: str = "true", columns: str = "*") -> list[Row]:
        """Returns rows of a view as dicts. `where` and `columns` must not contain text from the data.

        Planning a view takes as long as computing it over 100,000 pickups, so plans are kept for later selections. The
        plans of views that read `derived.intervals` are not, because they depend on the statistics of its rows.
        """
        query = f"select {columns} from analytics.{view} where {where}"  # noqa: S608  # the caller's own words
        if view in READ_INTERVALS:
            self._fill_intervals()
            found = self._session.execute(query)
        else:
            found = self._execute(query)
        names = [name for name, *_ in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def _fill_intervals(self) -> None:
        """Computes `rate_intervals` once for all views that read it, because it takes most of their time."""
        if self._lacks_intervals:
            self._session.execute("delete from derived.intervals")
            breakdowns = ", ".join(f"'{name}'" for name in self._lacks_intervals)
            chosen = f"select * from derived.interval_query where breakdown in ({breakdowns})"  # noqa: S608  # constants
            self._execute(f"insert into derived.intervals {chosen}")
            self._lacks_intervals = ()

    def _execute(self, statement: str) -> Any:
        if statement not in self._prepared:
            self._prepared[statement] = f"statement_{len(self._prepared)}"
            self._session.execute(f"prepare {self._prepared[statement]} as {statement}")
        return self._session.execute(f"execute {self._prepared[statement]}")


@contextmanager
def copied(published: Session) -> Iterator[Store]:
    """Yields a store with the tables of the session. The store's files are removed after the block."""
    with private_workspace() as folder, open_database(folder / "report.duckdb") as session:
        session.execute(f"set memory_limit = '{MEMORY_LIMIT}'; set enable_progress_bar = false")
        session.execute("create schema sendcloud")
        for table in TABLES:
            if published.columns(table):
                _copy(published, session, table)
        if not published.columns("pickup_status_history"):
            session.execute(STATUS_HISTORY)
        create_views(session)
        session.execute("create schema derived")
        session.execute("create table derived.pickups as select * from analytics.pickups")
        ((pickups,),) = session.execute("select count(*) from derived.pickups").fetchall()
        if pickups < FEW_PICKUPS:
            session.execute("set threads = 1")
        session.execute(f"{_SELECTIONS}; {_SELECTED}")
        session.execute(f"create view derived.interval_query as {query_of(VIEWS / 'rate_intervals.sql')}")
        session.execute("create table derived.intervals as select * from derived.interval_query limit 0")
        session.execute("create or replace view analytics.rate_intervals as select * from derived.intervals")
        yield Store(session)


def _copy(published: Session, session: DuckDBSession, table: str) -> None:
    query = {"pickups": PICKUPS, "pickup_runs": RECEIPTS}.get(table, f"select * from sendcloud.{table}")  # noqa: S608  # a constant
    session.register("copied_rows", published.sql(query).to_arrow_reader(BATCH_ROWS))
    columns = ADDED + ", * exclude (time_slots)" if table == "pickups" else "*"
    session.execute(f"create table sendcloud.{table} as select {columns} from copied_rows")  # noqa: S608  # constants
    session.connection.unregister("copied_rows")
