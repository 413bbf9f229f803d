"""Creates in-memory views over a subset of the pickups. The published file stays unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.analytics.views import create_views
from pipelines.destinations.base import Session
from pipelines.destinations.filter import ALL_PICKUPS, PickupFilter, check_carriers
from pipelines.destinations.migrations import current_columns

if TYPE_CHECKING:
    from pipelines.destinations.duckdb.session import DuckDBSession


def create_filtered_views(connection: DuckDBSession, only: PickupFilter) -> None:
    """Fills an empty database with the analytics views and with views of the tables in the `published` catalog.

    In that database, `sendcloud.pickups` contains only the pickups that match `only`.

    Raises:
        UnknownCarrier: the filter names a carrier that no pickup has.
    """
    connection.execute("create schema sendcloud")
    tables = connection.execute(_PUBLISHED_TABLES, [connection.names.data]).fetchall()
    columns = {table: _columns(connection, table) for (table,) in tables}
    for table, selected in columns.items():
        connection.execute(f'create view sendcloud."{table}" as select {selected} from published.sendcloud."{table}"')  # noqa: S608  # the name comes from the catalog
    condition = "true"
    if only != ALL_PICKUPS:
        known = [name for (name,) in connection.execute(_CARRIERS).fetchall()]
        check_carriers(only, known)
        carriers = list(only.carriers or known)
        connection.execute("create table wanted as select unnest(?::text[]) as carrier", [carriers])
        connection.execute("create table bounds as select ?::timestamptz as since", [only.since])
        condition = _MATCHES_FILTER
    connection.execute(_FILTERED_PICKUPS.format(columns=columns["pickups"], condition=condition))
    create_views(connection)


def _columns(connection: Session, table: str) -> str:
    described = connection.execute(f'describe published.sendcloud."{table}"').fetchall()
    return current_columns([name for name, *_ in described], table)


_PUBLISHED_TABLES = """
    select table_name from information_schema.tables where table_catalog = 'published' and table_schema = ?
"""
_CARRIERS = "select distinct carrier from published.sendcloud.pickups order by carrier"
_MATCHES_FILTER = (
    "carrier in (select carrier from wanted) and (select created_at >= coalesce(since, created_at) from bounds)"
)
_FILTERED_PICKUPS = """
    create or replace view sendcloud.pickups as
    select {columns} from published.sendcloud.pickups where {condition}
"""
