"""Opens DuckDB databases (warehouses, published files and in-memory databases) and executes statements in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import duckdb

from pipelines.analytics.views import create_views
from pipelines.destinations.base import DATASET
from pipelines.destinations.duckdb.filtered_views import create_filtered_views
from pipelines.destinations.filter import ALL_PICKUPS, PickupFilter
from pipelines.errors import DestinationError, NoData

if TYPE_CHECKING:
    from dlt.common.destination import Destination

DatabaseError = duckdb.Error


IN_MEMORY = Path(":memory:")


_DATASET_CONDITION = f"database_name = current_database() and schema_name = '{DATASET}'"


class DuckDBSession:
    """Implements Session (destinations/base.py) with a connection to a DuckDB database."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def execute(self, sql: str, parameters: Any = None, /) -> duckdb.DuckDBPyConnection:
        return self.connection.execute(sql, parameters)

    def sql(self, query: str, /) -> duckdb.DuckDBPyRelation:
        return self.connection.sql(query)

    def register(self, name: str, rows: Any, /) -> None:
        self.connection.register(name, rows)

    def has_table(self, name: str) -> bool:
        return (name,) in self.execute(f"select table_name from duckdb_tables() where {_DATASET_CONDITION}").fetchall()  # noqa: S608

    def columns(self, table: str) -> list[str]:
        names = f"select column_name from duckdb_columns() where {_DATASET_CONDITION} and table_name = ?"  # noqa: S608
        return [name for (name,) in self.execute(f"{names} order by column_index", [table]).fetchall()]

    def attach(self, file: Path, catalogue: str) -> None:
        """Attaches the file read-only, so that statements can read its tables as `catalogue.schema.table`."""
        quoted = str(file).replace("'", "''")
        self.execute(f"attach '{quoted}' as {catalogue} (read_only)")

    def in_catalog(self, catalogue: str) -> DuckDBSession:
        """Returns another session on this database, with its own in-memory catalog, which is created if necessary."""
        connection = self.connection.cursor()
        connection.execute(f"attach if not exists ':memory:' as \"{catalogue}\"")
        connection.execute(f'use "{catalogue}"')
        connection.execute("set timezone = 'UTC'")
        return DuckDBSession(connection)

    def for_account(self, account: str) -> DuckDBSession:
        return self

    def for_checks(self, accounts: Sequence[str]) -> DuckDBSession:
        """Creates the views and returns this session.

        It covers all accounts, because excluding some would take longer.
        """
        create_views(self)
        return self

    def publish_account(self, account: str) -> None:
        """Does nothing, because readers get a copy of the whole file (destinations/duckdb/publish.py)."""

    def publish_views(self) -> None:
        """Does nothing, because `for_checks` has already created the views in the file."""


@contextmanager
def open_database(path: Path, *, read_only: bool = False, backup: Path | None = None) -> Iterator[DuckDBSession]:
    """Opens a session in UTC and closes it after the block, so that the file is released.

    Args:
        path: the database file, or IN_MEMORY.
        read_only: whether to open the file without write access.
        backup: the copy that can replace the file if it is damaged.

    Raises:
        DestinationError: another process has the file open, or the file is not a DuckDB database.
    """
    try:
        connection = duckdb.connect(str(path), read_only=read_only)
    except duckdb.Error as error:
        remedy = "If another program has the file open, close it in that program (readers use the published file). "
        remedy += _damage_remedy(path, backup)
        raise DestinationError(str(path), str(error).split("\n")[0], remedy) from None
    try:
        connection.execute("set timezone = 'UTC'")
        yield DuckDBSession(connection)
    finally:
        connection.close()


def _damage_remedy(path: Path, backup: Path | None) -> str:
    """Returns instructions for a file that DuckDB can't read.

    The file may contain the last copy of pickups that the API no longer lists.
    """
    if backup is None:
        return "If the file is damaged, keep it. The next run publishes a new file from the warehouse."
    if not backup.exists():
        return "If the file is damaged, keep it and restore a backup, because there is no published copy."
    log = path.with_name(f"{path.name}.wal")
    moved = [f"mv {quote(str(file))} {quote(f'{file}.damaged')}" for file in (path, log) if file.exists()]
    commands = " && ".join([*moved, f"cp {quote(str(backup))} {quote(str(path))}"])
    return f"If the file is damaged, keep it and continue from the published copy: {commands}"


def create_database(warehouse: Path) -> None:
    """Creates an empty warehouse if there is none.

    The file is created under another name and then renamed. A full disk therefore can't leave an incomplete file that
    no later run can open.

    Raises:
        OSError, duckdb.Error: the file can't be created.
    """
    if warehouse.exists():
        return
    fresh = warehouse.with_name(warehouse.name + ".new")
    fresh.unlink(missing_ok=True)
    try:
        duckdb.connect(str(fresh)).close()
        fresh.replace(warehouse)
    finally:
        fresh.unlink(missing_ok=True)


def dlt_destination(path: Path) -> Destination[Any, Any]:
    """Returns dlt's destination object for the file."""
    import dlt

    return dlt.destinations.duckdb(str(path))


@contextmanager
def open_published(published: Path, only: PickupFilter = ALL_PICKUPS) -> Iterator[DuckDBSession]:
    """Opens a session for a published file, with only the pickups that match the filter.

    Raises:
        NoData: the file doesn't exist or contains no pickups.
        UnknownCarrier: the filter names a carrier that no pickup has.
        DestinationError: the file can't be opened.
    """
    if not published.exists():
        raise NoData(published)
    with open_database(published, read_only=True) as connection:
        if not connection.has_table("pickups"):
            raise NoData(published)
        if only == ALL_PICKUPS:
            yield connection
            return
    with open_database(IN_MEMORY) as connection:
        connection.attach(published, "published")
        create_filtered_views(connection, only)
        yield connection
