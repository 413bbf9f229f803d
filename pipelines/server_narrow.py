"""Some of what people read on a server, by temporary views: a connection's own, which go with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import models
from pipelines.narrow import Only, check_carriers
from pipelines.shown import PEOPLE_READ

if TYPE_CHECKING:
    from pipelines.server_session import ServerSession

_CARRIERS = "select distinct carrier from sendcloud.pickups order by carrier"
_NARROWED = """
    create temp view wanted_pickups as
    select * from sendcloud.pickups
    where carrier in (select carrier from wanted) and (select created_at >= coalesce(since, created_at) from bounds)
"""


def narrowed(session: ServerSession, only: Only) -> ServerSession:
    """A session over some of the pickups, with all views. Raises UnknownCarrier for one of which there are none."""
    known = [name for (name,) in session.plain(_CARRIERS).fetchall()]
    check_carriers(only, known)
    session.plain("create temp table wanted as select unnest(%s::text[]) as carrier", [list(only.carriers or known)])
    session.plain("create temp table bounds as select %s::timestamptz as since", [only.since])
    session.plain(_NARROWED)
    return _with_views(session.meaning(pickups="pg_temp.wanted_pickups", analytics="pg_temp."), models.views())


def of_accounts(session: ServerSession, accounts: Sequence[str]) -> ServerSession:
    """A session over these accounts' rows, with the views that checks read: by an index, whoever else is there."""
    for table in filter(session.has_table, PEOPLE_READ):
        session.plain(f"drop view if exists pg_temp.checked_{table} cascade")
        rows = f"select * from sendcloud.{table} where account = any(%s)"  # noqa: S608  # a name of ours
        session.plain(f"create temp view checked_{table} as {rows}", [list(accounts)])
    own = {"sendcloud": "pg_temp.checked_", "pickups": "pg_temp.checked_pickups", "analytics": "pg_temp."}
    return _with_views(session.meaning(**own), models.views(models.checks()))


def _with_views(session: ServerSession, views: Sequence[Path]) -> ServerSession:
    for path in views:
        session.execute(f"create temp view {path.stem} as\n{models.query_of(path)}")
    return session
