"""The same views over some of the pickups: made in memory over the published file's tables, which stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import NamedTuple

from pipelines import models
from pipelines.store import Connection
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


EVERYTHING = Only()


def narrow(connection: Connection, only: Only) -> None:
    """Gives an empty connection every table of the catalogue `published`, the pickups narrowed to `only`, and the views
    over them. Raises UnknownCarrier for one of which there are no pickups.
    """
    connection.execute("create schema sendcloud")
    for (table,) in connection.execute(_TABLES).fetchall():
        connection.execute(f'create view sendcloud."{table}" as select * from published.sendcloud."{table}"')  # noqa: S608  # a name from the catalogue
    there = [name for name, *_ in connection.execute("describe published.sendcloud.pickups").fetchall()]
    later = "".join(f", null as {name}" for name in missing(there, "pickups"))
    condition = "true"
    if only != EVERYTHING:
        known = [name for (name,) in connection.execute(_CARRIERS).fetchall()]
        check_carriers(only, known)
        carriers = list(only.carriers or known)
        connection.execute("create table wanted as select unnest(?::text[]) as carrier", [carriers])
        connection.execute("create table bounds as select ?::timestamptz as since", [only.since])
        condition = _WANTED
    connection.execute(_NARROWED.format(later=later, condition=condition))
    models.build(connection)


def check_carriers(only: Only, known: Sequence[str]) -> None:
    """Raises UnknownCarrier for one of which there are no pickups."""
    if unknown := sorted(set(only.carriers or []) - set(known)):
        raise UnknownCarrier(f"no carrier {unknown[0]!r}; there are {', '.join(known)}")


_TABLES = """
    select table_name from information_schema.tables where table_catalog = 'published' and table_schema = 'sendcloud'
"""
_CARRIERS = "select distinct carrier from published.sendcloud.pickups order by carrier"
_WANTED = "carrier in (select carrier from wanted) and (select created_at >= coalesce(since, created_at) from bounds)"
_NARROWED = """
    create or replace view sendcloud.pickups as
    select *{later} from published.sendcloud.pickups where {condition}
"""
