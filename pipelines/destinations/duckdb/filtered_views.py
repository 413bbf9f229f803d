"""Creates in-memory views over a subset of the pickups. The published file stays unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.analytics.views import create_views
from pipelines.destinations.filter import PickupFilter, check_names
from pipelines.destinations.migrations import STATUS_HISTORY, current_columns

if TYPE_CHECKING:
    from pipelines.destinations.duckdb.session import DuckDBSession


def create_filtered_views(connection: DuckDBSession, only: PickupFilter) -> None:
    """Fills an empty database with the analytics views and with views of the tables in the `published` catalog.

    In that database, `sendcloud.pickups` contains only the pickups that match `only`, and the other tables contain only
    the rows of its accounts.

    Raises:
        FilterError: the filter names an account, a carrier or a country that no pickup has.
    """
    check_names(only, connection, "published.sendcloud")
    for kind, names in only.names().items():
        connection.execute(f"create table filter_{kind} as select unnest(?::text[]) as name", [list(names)])
    connection.execute("create schema sendcloud")
    tables = [table for (table,) in connection.execute(_PUBLISHED_TABLES, [connection.names.data]).fetchall()]
    for table in tables:
        _create_table_view(connection, table, only)
    if "pickup_status_history" not in tables:
        connection.execute(STATUS_HISTORY)
    create_views(connection)


def _create_table_view(connection: DuckDBSession, table: str, only: PickupFilter) -> None:
    described = connection.execute(f'describe published.sendcloud."{table}"').fetchall()
    names = [name for name, *_ in described]
    condition = only.condition(table) if "account" in names else "true"
    selected = f'select {current_columns(names, table)} from published.sendcloud."{table}" where {condition}'  # noqa: S608  # the name comes from the catalog
    connection.execute(f'create view sendcloud."{table}" as {selected}')


_PUBLISHED_TABLES = """
    select table_name from information_schema.tables where table_catalog = 'published' and table_schema = ?
"""
