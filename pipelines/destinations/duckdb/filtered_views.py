"""Creates views or temporary tables over a subset of the pickups. The file stays unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.analytics.checks import check_files
from pipelines.analytics.kept_columns import KEPT_COLUMNS
from pipelines.analytics.views import create_views, query_of, view_files
from pipelines.destinations.filter import PickupFilter, check_names
from pipelines.destinations.migrations import STATUS_HISTORY, current_columns
from pipelines.destinations.schemas import replacements

if TYPE_CHECKING:
    from pipelines.destinations.duckdb.session import DuckDBSession


def create_filtered_views(connection: DuckDBSession, only: PickupFilter) -> None:
    """Fills an empty database with the analytics views and with views of the tables in the `published` catalog.

    In that database, `sendcloud.pickups` contains only the pickups that match `only`, and the other tables contain only
    the rows of its accounts. The kept columns are left out, because another version may have written the file, so the
    views derive them.

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


def create_checked_tables(connection: DuckDBSession, only: str) -> DuckDBSession:
    """Returns a session in which temporary tables replace `sendcloud.pickups` and the views that the checks read.

    Args:
        connection: a session over the warehouse.
        only: the name of a temporary table with the `account` and `id` of the pickups to include.
    """
    connection.execute(_SOME_PICKUPS.format(only=only))
    words = replacements(f'"{connection.names.data}"', "temp.checked")
    words |= {"sendcloud.pickups": "temp.some_pickups", "analytics.": "temp.checked_"}
    found = type(connection)(connection.connection, connection.names, words)
    for path in view_files(check_files()):  # a view would be planned once for each check
        connection.execute(f"drop table if exists temp.checked_{path.stem}")
        found.execute(f"create temp table checked_{path.stem} as\n{query_of(path)}")
    return found


def _create_table_view(connection: DuckDBSession, table: str, only: PickupFilter) -> None:
    described = connection.execute(f'describe published.sendcloud."{table}"').fetchall()
    names = [name for name, *_ in described if table != "pickups" or name not in KEPT_COLUMNS]
    condition = only.condition(table) if "account" in names else "true"
    selected = f'select {current_columns(names, table)} from published.sendcloud."{table}" where {condition}'  # noqa: S608  # the name comes from the catalog
    connection.execute(f'create view sendcloud."{table}" as {selected}')


_SOME_PICKUPS = """
    create or replace temp table some_pickups as
    select pickups.* from sendcloud.pickups join {only} as wanted
        on wanted.account = pickups.account and wanted.id = pickups.id
"""
_PUBLISHED_TABLES = """
    select table_name from information_schema.tables where table_catalog = 'published' and table_schema = ?
"""
