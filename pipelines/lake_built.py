"""A lake's views as `pickups models` has built them, and the files that it builds them from."""

from __future__ import annotations

from pipelines import models
from pipelines.datasets import PREFIX
from pipelines.errors import NotBuilt
from pipelines.lake_tables import Tables
from pipelines.warehouse import DatabaseError, Session


def lake_files(tables: Tables) -> dict[str, list[str]]:
    """By table, the Parquet files of all accounts as they are now; none for a table without a row. What was resolved
    of the quarantine is a table of its own there.
    """
    found: dict[str, list[str]] = {}
    for dataset in tables.datasets(PREFIX):
        for name in tables.names(dataset):
            if table := tables.table(dataset, name):
                found.setdefault(name, []).extend(tables.files(table))
    return found


def show_built(connection: Session, folder: str) -> None:
    """Lets a connection read the built views in place of computing them. Raises NotBuilt where one is not there."""
    for path in models.views():
        files = f"{folder}/{path.stem}/**/*.parquet".replace("'", "''")
        rows = f"select * from read_parquet('{files}', hive_partitioning = false)"  # noqa: S608  # ours
        try:
            connection.execute(f"create or replace view analytics.{path.stem} as {rows}")
        except DatabaseError:
            raise NotBuilt(folder) from None
