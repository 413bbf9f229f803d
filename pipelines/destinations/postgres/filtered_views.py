"""Creates temporary views over a subset of the published rows. The views disappear when their connection closes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.analytics.checks import check_files
from pipelines.analytics.views import query_of, view_files
from pipelines.destinations.filter import PickupFilter, check_carriers
from pipelines.destinations.postgres.publish import PUBLISHED_TABLES

if TYPE_CHECKING:
    from pipelines.destinations.postgres.session import PostgresSession

_CARRIERS = "select distinct carrier from sendcloud.pickups order by carrier"
_FILTERED_PICKUPS = """
    create temp view wanted_pickups as
    select * from sendcloud.pickups
    where carrier in (select carrier from wanted) and (select created_at >= coalesce(since, created_at) from bounds)
"""


def filtered_session(session: PostgresSession, only: PickupFilter) -> PostgresSession:
    """Returns a session in which all views include only the pickups that match the filter.

    Raises:
        UnknownCarrier: the filter names a carrier that no pickup has.
    """
    known = [name for (name,) in session.execute_native(_CARRIERS).fetchall()]
    check_carriers(only, known)
    session.execute_native(
        "create temp table wanted as select unnest(%s::text[]) as carrier", [list(only.carriers or known)]
    )
    session.execute_native("create temp table bounds as select %s::timestamptz as since", [only.since])
    session.execute_native(_FILTERED_PICKUPS)
    return _with_views(session.with_schemas(pickups="pg_temp.wanted_pickups", analytics="pg_temp."), view_files())


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


def _with_views(session: PostgresSession, views: Sequence[Path]) -> PostgresSession:
    for path in views:
        session.execute(f"create temp view {path.stem} as\n{query_of(path)}")
    return session
