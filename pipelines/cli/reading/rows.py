"""Reads the rows of a query in batches, so that a million rows are never in memory as Python objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pipelines.cli import streams
from pipelines.destinations.base import Session
from pipelines.destinations.duckdb.session import DuckDBSession

BATCH_ROWS = 20_000
Row = dict[str, Any]


class Rows(NamedTuple):
    """The names of a query's columns, and an iterator over its rows. Read the rows before the session ends."""

    columns: list[str]
    values: Iterator[tuple[Any, ...]]

    def as_dicts(self) -> list[Row]:
        """Returns all rows, for a query with few rows."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.values]


def fetch_rows(session: Session, query: str) -> Rows:
    """Returns the rows of a query. If the reader of stdout goes away, such as `head`, the rows end early."""
    if isinstance(session, DuckDBSession):  # takes 20 % less than through Arrow (2026-11-30)
        found = session.execute(query)
        return Rows([name for name, *_ in found.description or ()], _fetched(found))
    reader = session.sql(query).to_arrow_reader(BATCH_ROWS)
    return Rows(list(reader.schema.names), _values(reader))


def _fetched(found: Any) -> Iterator[tuple[Any, ...]]:
    while (rows := found.fetchmany(BATCH_ROWS)) and not streams.is_reader_gone():
        yield from rows


def _values(reader: Any) -> Iterator[tuple[Any, ...]]:
    for batch in reader:
        if streams.is_reader_gone():
            return
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def count_rows(session: Session, query: str) -> int:
    """Returns the number of rows of a query."""
    ((rows,),) = session.execute(f"select count(*) from ({query}) as found").fetchall()  # noqa: S608  # own query
    return int(rows)
