"""The DuckDB files: what a run asks of the one that it writes, and how people read the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import duckdb

from pipelines import models
from pipelines.errors import DestinationFailed, NothingYet
from pipelines.narrow import EVERYTHING, Only, Since, narrow
from pipelines.project import inside
from pipelines.store import DATASET, Connection

if TYPE_CHECKING:
    import pandas as pd
    from dlt.common.destination import Destination
    from fsspec import AbstractFileSystem

DatabaseError = duckdb.Error
IN_MEMORY = Path(":memory:")
_IN_DATASET = f"database_name = current_database() and schema_name = '{DATASET}'"


class Session:
    """A connection to a DuckDB file; what it must be able to do says store.py, `Connection`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.execute, self.sql = connection.execute, connection.sql
        self.register, self.unregister = connection.register, connection.unregister

    def has_table(self, name: str) -> bool:
        return (name,) in self.execute(f"select table_name from duckdb_tables() where {_IN_DATASET}").fetchall()  # noqa: S608

    def columns(self, table: str) -> list[str]:
        names = f"select column_name from duckdb_columns() where {_IN_DATASET} and table_name = ?"  # noqa: S608
        return [name for (name,) in self.execute(f"{names} order by column_index", [table]).fetchall()]

    def attach(self, file: Path, catalogue: str) -> None:
        """Lets it read a file's tables as `catalogue.schema.table`."""
        quoted = str(file).replace("'", "''")
        self.execute(f"attach '{quoted}' as {catalogue} (read_only)")

    def read_through(self, filesystem: AbstractFileSystem) -> None:
        """Lets it read files that lie there, by their addresses (`s3://…`)."""
        self._connection.register_filesystem(filesystem)

    def beside(self, catalogue: str) -> Session:
        """Another session with the same database, in a catalogue of its own in memory, which is made if need be."""
        connection = self._connection.cursor()
        connection.execute(f"attach if not exists ':memory:' as \"{catalogue}\"")
        connection.execute(f'use "{catalogue}"')
        connection.execute("set timezone = 'UTC'")
        return Session(connection)

    def of(self, account: str) -> Session:
        return self

    def for_checks(self, accounts: Sequence[str]) -> Session:
        """All accounts: to leave some out would take longer."""
        models.build(self)
        return self

    def show(self, account: str) -> None:
        """They read a copy, see publish.py."""

    def show_views(self) -> None:
        """They are in the file already."""


@contextmanager
def opened(path: Path, *, read_only: bool = False, backup: Path | None = None) -> Iterator[Session]:
    """A connection in UTC that is closed afterwards, so that the file is released.

    `backup` is the copy that takes the place of the file if it is damaged. Raises DestinationFailed when another
    process holds the file, or it is no DuckDB file.
    """
    try:
        connection = duckdb.connect(str(path), read_only=read_only)
    except duckdb.Error as error:
        remedy = "If another program has it open, close it there (readers open the published file). "
        remedy += _if_damaged(path, backup)
        raise DestinationFailed(str(path), str(error).split("\n")[0], remedy) from None
    try:
        connection.execute("set timezone = 'UTC'")
        yield Session(connection)
    finally:
        connection.close()


def _if_damaged(path: Path, backup: Path | None) -> str:
    """What to do with a file that DuckDB can't read. It may hold the last copy of what the API no longer lists."""
    if backup is None:
        return "If the file is damaged, keep it: the next run publishes a new one from the warehouse."
    if not backup.exists():
        return "If the file is damaged, keep it and restore a backup: nothing was published that could replace it."
    log = path.with_name(f"{path.name}.wal")
    moved = [f"mv {quote(str(file))} {quote(f'{file}.damaged')}" for file in (path, log) if file.exists()]
    commands = " && ".join([*moved, f"cp {quote(str(backup))} {quote(str(path))}"])
    return f"If the file is damaged, keep it and continue from the published copy: {commands}"


def prepare(warehouse: Path) -> None:
    """Makes an empty warehouse where there is none, whole or not at all: a disk that is full just then must not leave
    half a file that no later run can open. Raises OSError or duckdb.Error.
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


def destination_of(path: Path) -> Destination[Any, Any]:
    """dlt's handle of the file."""
    import dlt

    return dlt.destinations.duckdb(str(path))


def checkpoint(path: Path, backup: Path) -> None:
    """Puts what is in the log, and in memory, into the file. Raises duckdb.Error."""
    with opened(path, backup=backup) as connection:
        connection.execute("checkpoint")


def read(
    view: str, path: str | Path | None = None, *, carriers: Sequence[str] | None = None, since: Since = None
) -> pd.DataFrame:
    """A view of `analytics` as a pandas frame, from the published file; the file is let go of at once.

    Args:
        view: the view's name, such as `carrier_cancellations`.
        path: the file to read; default `[publish] path` of the project at or above the working directory, or what
            `pickups demo` left as long as there is no such file.
        carriers: only their pickups; default all.
        since: only pickups that were booked then or later: a day such as "2026-01-31" (from midnight, UTC), a date, or
            an instant. Every number of the view is then over these pickups only; runs and quarantine are as they are.

    Raises:
        NothingYet: there is no such file, or no pickups in it. ValueError: no such view, or no such carrier; the
        message lists them.
    """
    with reading(path, Only.of(carriers, since)) as connection:
        frame: pd.DataFrame = connection.sql(_select(view)).df()
        return frame


def read_rows(view: str, path: str | Path | None = None) -> list[dict[str, Any]]:
    """The same as a list of dicts, for those who have no pandas."""
    with reading(path) as connection:
        rows: list[dict[str, Any]] = connection.sql(_select(view)).to_arrow_table().to_pylist()
        return rows


@contextmanager
def reading(path: str | Path | None = None, only: Only = EVERYTHING) -> Iterator[Connection]:
    """A connection to what people read, see `read` for which, or to a part of it; nothing can be written.

    Raises NothingYet where it has no pickups.
    """
    if path:
        with reading_file(Path(path), only) as connection:
            yield connection
        return
    from pipelines.which_store import store_of

    with inside() as project:
        store = store_of(project)
    with store.readable(only) as connection:
        yield connection


@contextmanager
def reading_file(published: Path, only: Only = EVERYTHING) -> Iterator[Session]:
    """The same of a published file."""
    if not published.exists():
        raise NothingYet(published)
    with opened(published, read_only=True) as connection:
        if not connection.has_table("pickups"):
            raise NothingYet(published)
        if only == EVERYTHING:
            yield connection
            return
    with opened(IN_MEMORY) as connection:
        connection.attach(published, "published")
        narrow(connection, only)
        yield connection


def _select(view: str) -> str:
    names = [path.stem for path in models.views()]
    if view not in names:
        raise ValueError(f"no view {view!r}; there are {', '.join(sorted(names))}")
    return f"select * from analytics.{view}"  # noqa: S608  # one of our own names
