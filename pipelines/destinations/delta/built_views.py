"""Reads the lake views that `pickups models` has built, and lists the files from which they are built."""

from __future__ import annotations

from pipelines.analytics.views import view_files
from pipelines.destinations.delta.tables import DeltaTables
from pipelines.destinations.duckdb.session import DatabaseError, DuckDBSession
from pipelines.errors import ViewsNotExported


def parquet_files(tables: DeltaTables) -> dict[str, list[str]]:
    """Returns the current Parquet files of all accounts, grouped by table. The list is empty for a table without rows.

    Resolved quarantine records are in a separate table (RESOLVED_TABLE in destinations/delta/session.py).
    """
    found: dict[str, list[str]] = {}
    for dataset in tables.datasets():
        for name in tables.names(dataset):
            if table := tables.table(dataset, name):
                found.setdefault(name, []).extend(tables.files(table))
    return found


def use_exported_views(connection: DuckDBSession, folder: str) -> None:
    """Replaces a connection's computed views with views over the built files in `folder`.

    Raises:
        ViewsNotExported: a view's files are missing.
    """
    for path in view_files():
        files = f"{folder}/{path.stem}/**/*.parquet".replace("'", "''")
        rows = f"select * from read_parquet('{files}', hive_partitioning = false)"  # noqa: S608  # the address comes from the settings
        try:
            connection.execute(f"create or replace view analytics.{path.stem} as {rows}")
        except DatabaseError:
            raise ViewsNotExported(folder) from None
