"""The DuckDB files: what a run asks of the one that it writes, and how people read the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from pipelines import models
from pipelines.errors import DestinationFailed, NothingYet
from pipelines.narrow import Only, Since, narrow
from pipelines.project import inside, readable_path

if TYPE_CHECKING:
    import pandas as pd

DATASET = "sendcloud"
EVERYTHING, IN_MEMORY = Only(), Path(":memory:")


@contextmanager
def opened(path: Path, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in UTC that is closed afterwards, so that the file is let go of.

    Raises DestinationFailed when another process holds the file, or it is no DuckDB file.
    """
    try:
        connection = duckdb.connect(str(path), read_only=read_only)
    except duckdb.Error as error:
        remedy = (
            "If another program has it open, close it there (readers open the published file); "
            "if the file is damaged, move it away: the next run reads everything again."
        )
        raise DestinationFailed(str(path), str(error).split("\n")[0], remedy) from None
    try:
        connection.execute("set timezone = 'UTC'")
        yield connection
    finally:
        connection.close()


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


def checkpoint(path: Path) -> None:
    """Puts what is in the log, and in memory, into the file. Raises duckdb.Error."""
    with opened(path) as connection:
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
        return connection.execute(_select(view)).df()


def read_rows(view: str, path: str | Path | None = None) -> list[dict[str, Any]]:
    """The same as a list of dicts, for those who have no pandas."""
    with reading(path) as connection:
        rows: list[dict[str, Any]] = connection.sql(_select(view)).to_arrow_table().to_pylist()
        return rows


@contextmanager
def reading(path: str | Path | None = None, only: Only = EVERYTHING) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the published file, see `read` for which one, or to a part of it; nothing can be written.

    Raises NothingYet where it has no pickups.
    """
    if path:
        published = Path(path)
    else:
        with inside() as project:
            published = readable_path(project)
    if not published.exists():
        raise NothingYet(published)
    with opened(published, read_only=True) as connection:
        if not has_table(connection, "pickups"):
            raise NothingYet(published)
        if only == EVERYTHING:
            yield connection
            return
    with opened(IN_MEMORY) as connection:
        narrow(connection, published, only)
        yield connection


def _select(view: str) -> str:
    names = [path.stem for path in models.views()]
    if view not in names:
        raise ValueError(f"no view {view!r}; there are {', '.join(sorted(names))}")
    return f"select * from analytics.{view}"  # noqa: S608  # one of our own names


def has_table(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether the dataset `sendcloud` has this table."""
    query = f"select table_name from duckdb_tables() where schema_name = '{DATASET}'"  # noqa: S608
    return (name,) in connection.execute(query).fetchall()
