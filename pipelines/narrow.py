"""The same views over some of the pickups: made in memory over the published file's tables, which stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, NamedTuple

from pipelines import models
from pipelines.upgrade import missing

Since = str | date | None  # a datetime is a date too


class UnknownCarrier(ValueError):
    """The text lists those that there are."""


class Only(NamedTuple):
    """Which pickups to look at: those of these carriers (None: of all), booked at that instant or later."""

    carriers: Sequence[str] | None = None
    since: datetime | None = None

    @classmethod
    def of(cls, carriers: Sequence[str] | None, since: Since) -> Only:
        """From what a person writes: a day is its midnight in UTC. Raises ValueError for what is no date or no list."""
        if isinstance(carriers, str):
            raise ValueError(f"carriers is a list: [{carriers!r}]")
        if carriers is not None and not carriers:
            raise ValueError("carriers is an empty list, so there is nothing to read; None means all of them")
        if isinstance(since, str):
            since = datetime.fromisoformat(since)
        if since is not None and not isinstance(since, datetime):
            since = datetime.combine(since, time())
        return cls(carriers, since.replace(tzinfo=since.tzinfo or UTC) if since else None)


def narrow(connection: Any, published: Path, only: Only) -> None:
    """Fills an empty connection in memory with every table and view of the file, the pickups narrowed to `only`.

    Raises UnknownCarrier for one of which the file has no pickups.
    """
    quoted = str(published).replace("'", "''")
    connection.execute(f"attach '{quoted}' as published (read_only)")
    connection.execute("create schema sendcloud")
    later = ", ".join(f"null as {name}" for name in missing(connection, "pickups", "published"))
    for (table,) in connection.execute(_TABLES).fetchall():
        connection.execute(f'create view sendcloud."{table}" as select * from published.sendcloud."{table}"')  # noqa: S608  # a name from the catalogue
    known = [name for (name,) in connection.execute(_CARRIERS).fetchall()]
    if unknown := sorted(set(only.carriers or []) - set(known)):
        raise UnknownCarrier(f"no carrier {unknown[0]!r}; there are {', '.join(known)}")
    connection.execute("create table wanted as select unnest(?::text[]) as carrier", [list(only.carriers or known)])
    connection.execute("create table bounds as select ?::timestamptz as since", [only.since])
    connection.execute(_NARROWED.format(later=f", {later}" if later else ""))
    models.build(connection)


_TABLES = """
    select table_name from duckdb_tables() where database_name = 'published' and schema_name = 'sendcloud'
"""
_CARRIERS = "select distinct carrier from published.sendcloud.pickups order by carrier"
_NARROWED = """
    create or replace view sendcloud.pickups as
    select *{later}
    from published.sendcloud.pickups
    where carrier in (select carrier from wanted)
        and (select created_at >= coalesce(since, created_at) from bounds)
"""
