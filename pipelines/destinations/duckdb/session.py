"""Opens DuckDB databases (warehouses, published files and in-memory databases) and executes statements in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from pipelines.analytics.views import create_views
from pipelines.destinations.duckdb.blocks import read_format
from pipelines.destinations.duckdb.filtered_views import create_checked_tables, create_filtered_views
from pipelines.destinations.filter import ALL_PICKUPS, PickupFilter
from pipelines.destinations.schemas import DEFAULT_NAMES, SchemaNames, rename_schemas
from pipelines.destinations.warehouse_mark import MARK_TABLE, read_mark
from pipelines.errors import DestinationError, NoData
from pipelines.receipt import program_version

DatabaseError = duckdb.Error
IN_MEMORY, ATTACHED = Path(":memory:"), "published"  # ATTACHED is the catalog name of an attached file.
HELD_HERE = ("Unique file handle conflict", "different configuration than existing connections")
NEWER_FORMAT = "database file with version number"
IN_USE, NOT_PERMITTED = ("Could not set lock", "being used by another process"), "Permission denied"
DAMAGED = ("Corrupt database file", "Could not read enough bytes")  # found by queries, too, when they read a block
WAREHOUSE_REMEDY = "If the file is damaged, keep it. To find out what the next run would do, run: pickups check"
PUBLISHED_REMEDY = "To replace a damaged published file with a copy of the warehouse, run: pickups run"


class DuckDBSession:
    """Implements Session (destinations/base.py) with a connection to a DuckDB database."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        names: SchemaNames = DEFAULT_NAMES,
        words: Mapping[str, str] | None = None,
    ) -> None:
        self.connection, self.names, self._words = connection, names, words or names.replacements()
        self.has_new_views = False  # whether `for_checks` has created views, which lack their descriptions

    def execute(self, sql: str, parameters: Any = None, /) -> duckdb.DuckDBPyConnection:
        return self.connection.execute(rename_schemas(sql, self._words), parameters)

    def sql(self, query: str, /) -> Any:
        # a relation of DuckDB 1.5 plans twice (27 ms for carrier_cancellations); DuckDB 2 copies a result for Arrow
        run = self.connection.sql if duckdb.__version__ >= "2" else self.connection.execute
        return run(rename_schemas(query, self._words))

    def register(self, name: str, rows: Any, /) -> None:
        self.connection.register(name, rows)

    def has_table(self, name: str) -> bool:
        return self._table(name) is not None

    def columns(self, table: str) -> list[str]:
        if (found := self._table(table)) is not None:  # a table without rows is false
            return list(found.columns)
        # duckdb_columns() plans every view of the database: ten calls took 3 % of a run without changes (2026-11-29)
        return [name for (name,) in self.connection.execute(_COLUMNS, [self.names.data, table]).fetchall()]

    def _table(self, name: str) -> duckdb.DuckDBPyRelation | None:
        """Returns the table, or None if it doesn't exist. A query of the catalog would take 0.5 ms (2026-11-30)."""
        ((catalogue,),) = self.connection.execute("select current_database()").fetchall()
        # A file's name may contain quotes, for which this function has no escape (duckdb 1.5.5). A schema's may not.
        path = [self.names.data, name] if '"' in catalogue else [catalogue, self.names.data, name]
        try:
            found = self.connection.table(".".join(f'"{part}"' for part in path))
        except duckdb.CatalogException:
            return None
        return found if found.type == "TABLE_RELATION" else None  # DuckDB 2 also finds views

    def attach(self, file: Path, catalogue: str) -> None:
        """Attaches the file read-only, so that statements can read its tables as `catalogue.schema.table`."""
        self.execute(f"attach '{quote_path(file)}' as {catalogue} (read_only)")

    def in_catalog(self, catalogue: str) -> DuckDBSession:
        """Returns another session on this database, with its own in-memory catalog, which is created if necessary."""
        self.connection.execute(f"attach if not exists ':memory:' as \"{catalogue}\"")
        return self.over_catalog(catalogue)

    def over_catalog(self, catalogue: str) -> DuckDBSession:
        """Returns another session on this database, in an existing catalog."""
        connection = self.connection.cursor()
        connection.execute(f'use "{catalogue}"')
        connection.execute("set timezone = 'UTC'")
        return self.with_names(self.names, connection)

    def with_names(self, names: SchemaNames, connection: duckdb.DuckDBPyConnection | None = None) -> DuckDBSession:
        """Returns a session that uses other schemas, on this connection or on another one."""
        return DuckDBSession(connection or self.connection, names)

    def close(self) -> None:
        """Closes the connection. Other sessions on the database stay open."""
        self.connection.close()

    def for_account(self, account: str) -> DuckDBSession:
        return self

    def for_checks(self, accounts: Sequence[str], only: str | None = None) -> DuckDBSession:
        """Creates the views. Returns this session, over all accounts, because excluding some would take longer."""
        if only:
            return create_checked_tables(self, only)
        existing = self.connection.execute(_VIEWS, [self.names.analytics]).fetchall()
        self.has_new_views |= create_views(self, existing=dict(existing))
        return self

    def publish_account(self, account: str) -> None:
        """Does nothing, because readers get a copy of the whole file (destinations/duckdb/publish.py)."""

    def publish_views(self) -> list[str]:
        """Returns an empty list, because `for_checks` has already created the views in the file."""
        return []


_IN_SCHEMA = "database_name = current_database() and schema_name = ?"
_COLUMNS = f"select column_name from duckdb_columns() where {_IN_SCHEMA} and table_name = ? order by column_index"  # noqa: S608  # a constant
_VIEWS = f"select view_name, comment from duckdb_views() where {_IN_SCHEMA}"  # noqa: S608  # as above
_MARKED_SCHEMA = f"""
    select schema_name from duckdb_tables()
    where database_name = current_database() and table_name = '{MARK_TABLE}' order by schema_name limit 1
"""  # noqa: S608  # the name is a constant


def quote_path(path: Path) -> str:
    """Returns the path, escaped for an SQL string literal."""
    return str(path).replace("'", "''")


@contextmanager
def open_database(
    path: Path, *, read_only: bool = False, names: SchemaNames = DEFAULT_NAMES
) -> Iterator[DuckDBSession]:
    """Opens a session in UTC and closes it after the block, so that the file is released.

    Args:
        path: the database file, or IN_MEMORY.
        read_only: whether to open the file without write access.
        names: the names of the schemas in the file.

    Raises:
        DestinationError: another process has the file open, or the file is not a DuckDB database.
    """
    try:
        connection = duckdb.connect(str(path), read_only=read_only)
    except duckdb.Error as error:
        raise _file_error(path, error, WAREHOUSE_REMEDY) from None
    try:
        connection.execute("set timezone = 'UTC'")
        yield DuckDBSession(connection, names)
    finally:
        connection.close()


@contextmanager
def open_newest(path: Path) -> Iterator[DuckDBSession]:
    """Opens a read-only session over the file that currently has this path, and closes it after the block.

    `duckdb.connect` would return the old file in a process that keeps it open, even after a run has replaced it. An
    attached file is always opened again (duckdb 1.5 and 2.0).

    Raises:
        DestinationError: the file can't be opened.
        NewerLayout: a newer version of this program wrote the file.
    """
    with open_database(IN_MEMORY) as session:
        try:
            session.attach(path, ATTACHED)
        except duckdb.Error as error:
            raise _file_error(path, error, PUBLISHED_REMEDY) from error
        session.execute(f"use {ATTACHED}")
        yield own_names(session, str(path))


def _file_error(path: Path, error: duckdb.Error, remedy: str) -> DestinationError:
    """Returns the error to report for a file that DuckDB can't read. `remedy` is for a file that may be damaged."""
    evidence = str(error).split("\n")[0]
    if any(words in evidence for words in HELD_HERE):
        remedy = "Close that connection, or open it with duckdb.connect(path, read_only=True)."
        return DestinationError(str(path), "a connection in this process has the file open for writing", remedy)
    if NEWER_FORMAT in evidence and (found := read_format(path)):
        problem = f"DuckDB {found.writer} wrote it in a format that DuckDB {duckdb.__version__} can't read"
        remedy = f"Install DuckDB {found.writer} and run: pickups run. This rewrites the file for DuckDB 1.4 and later."
        return DestinationError(str(path), problem, remedy)
    if any(words in evidence for words in IN_USE):
        remedy = "Close the file in that program. Programs that only read should open the published file read-only."
    elif NOT_PERMITTED in evidence:
        remedy = "Grant this user access to the file."
    return DestinationError(str(path), evidence, remedy)


def is_damage(error: duckdb.Error) -> bool:
    """Returns whether a query failed because it read a damaged block."""
    return any(words in str(error) for words in DAMAGED)


@contextmanager
def open_published(published: Path, only: PickupFilter = ALL_PICKUPS) -> Iterator[DuckDBSession]:
    """Opens a session for a published file, with only the pickups that match the filter.

    Raises:
        NoData: the file doesn't exist or contains no pickups.
        FilterError: the filter names an account, a carrier or a country that no pickup has.
        DestinationError: the file can't be opened or read, or a newer version of this program wrote it.
    """
    if not published.exists():
        raise NoData(published)
    with _reporting_damage(published), open_newest(published) as connection:
        if not connection.has_table("pickups"):
            raise NoData(published)
        if only != ALL_PICKUPS or _has_other_views(connection, published):
            connection.execute("use memory")
            create_filtered_views(connection, only)
        yield connection


@contextmanager
def _reporting_damage(published: Path) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        if is_damage(error):
            raise _file_error(published, error, PUBLISHED_REMEDY) from error
        raise


def _has_other_views(connection: DuckDBSession, published: Path) -> bool:
    """Returns whether another version of this program wrote the file. Its views may lack columns until the next run."""
    mark = read_mark(connection, str(published))
    return connection.has_table("pickup_runs") and (mark is None or mark.program_version != program_version())


def own_names(connection: DuckDBSession, where: str) -> DuckDBSession:
    """Returns a session that uses the schema names in the file's mark.

    A file can therefore be read without the settings of its project.

    Raises:
        NewerLayout: a newer version of this program wrote the file.
    """
    for (data,) in connection.execute(_MARKED_SCHEMA).fetchall():
        found = connection.with_names(SchemaNames(data))
        if mark := read_mark(found, where):
            return connection.with_names(SchemaNames(data, mark.analytics_schema))
    return connection
