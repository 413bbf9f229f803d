"""Creates temporary views over a subset of the published rows. The views disappear when their connection closes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.analytics.checks import check_files
from pipelines.analytics.views import query_of, view_files
from pipelines.destinations.filter import PickupFilter, check_names
from pipelines.destinations.migrations import current_columns
from pipelines.destinations.postgres.publish import PUBLISHED_TABLES

if TYPE_CHECKING:
    from pipelines.destinations.postgres.session import PostgresSession


def filtered_session(session: PostgresSession, only: PickupFilter) -> PostgresSession:
    """Returns a session in which all tables and views include only the rows that match the filter.

    Raises:
        FilterError: the filter names an account, a carrier or a country that no pickup has.
    """
    check_names(only, session)
    for kind, names in only.names().items():
        session.execute_native(f"create temp table filter_{kind} as select unnest(%s::text[]) as name", [list(names)])
    for table in filter(session.has_table, PUBLISHED_TABLES):
        columns = current_columns(session.columns(table), table)
        rows = f"select {columns} from sendcloud.{table} where {only.condition(table)}"  # noqa: S608  # no text of the user
        session.execute(f"create temp view wanted_{table} as {rows}")
    own = {"sendcloud": "pg_temp.wanted_", "pickups": "pg_temp.wanted_pickups", "analytics": "pg_temp."}
    return _with_views(session.with_schemas(**own), view_files())


def checked_session(session: PostgresSession, accounts: Sequence[str]) -> PostgresSession:
    """Returns a session with the rows of these accounts and the views that the checks read.

    The rows are found through an index, so the number of other accounts doesn't matter.
    """
    for table in filter(session.has_table, PUBLISHED_TABLES):
        session.execute_native(f"drop view if exists pg_temp.checked_{table} cascade")
        rows = f"select * from sendcloud.{table} where account = any(%s)"  # noqa: S608  # the name is a constant
        session.execute_native(f"create temp view checked_{table} as {rows}", [list(accounts)])
    own = {"sendcloud": "pg_temp.checked_", "pickups": "pg_temp.checked_pickups", "analytics": "pg_temp."}
    return _with_views(session.with_schemas(**own), view_files(check_files()))


def session_of_pickups(session: PostgresSession, only: str) -> PostgresSession:
    """Returns a session with the pickups that the temporary table lists, and the views that the checks read.

    Requires the views of `checked_session`.
    """
    session.execute_native("drop table if exists pg_temp.some_pickups")
    session.execute_native(_SOME_PICKUPS.format(only=only))
    own = {"sendcloud": "pg_temp.checked_", "pickups": "pg_temp.some_pickups", "analytics": "pg_temp.of_some_"}
    found = session.with_schemas(**own)
    for path in view_files(check_files()):
        session.execute_native(f"drop table if exists pg_temp.of_some_{path.stem}")
        found.execute(f"create temp table of_some_{path.stem} as\n{query_of(path)}")
    return found


_SOME_PICKUPS = """
    create temp table some_pickups as
    select pickups.* from sendcloud.pickups join pg_temp.{only} as wanted
        on wanted.account = pickups.account and wanted.id = pickups.id
"""


def _with_views(session: PostgresSession, views: Sequence[Path]) -> PostgresSession:
    for path in views:
        session.execute(f"create temp view {path.stem} as\n{query_of(path)}")
    return session
