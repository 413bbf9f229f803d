"""Converts a PostgreSQL server's results to Arrow and Python values with the types that DuckDB returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg2.extensions
import psycopg2.extras
import pyarrow as pa

from sources.sendcloud.records.tables import INSTANT

if TYPE_CHECKING:
    from pipelines.destinations.postgres.session import PostgresSession

ARROW_TYPES = {
    **dict.fromkeys((20, 21, 23), pa.int64()),  # The OIDs of int8, int2 and int4.
    **dict.fromkeys((700, 701, 1700), pa.float64()),  # The OIDs of float4, float8 and numeric (used for sums).
    16: pa.bool_(),
    1082: pa.date32(),
    1114: pa.timestamp("us"),
    1184: INSTANT,
}
INSTANTS = {1114: psycopg2.extensions.PYDATETIME, 1184: psycopg2.extensions.PYDATETIMETZ}
CALENDAR_BOUNDS = (datetime.min, datetime.max)  # noqa: DTZ901  # `_clamp` sets the time zone.
BATCH_ROWS = 20_000  # At most this many rows are in memory as Python objects.


class Result:
    """Stores the rows that a statement returned."""

    def __init__(self, cursor: psycopg2.extensions.cursor) -> None:
        self._names = [column.name for column in cursor.description or ()]
        self._types = [ARROW_TYPES.get(column.type_code, pa.string()) for column in cursor.description or ()]
        self._rows = cursor.fetchall() if cursor.description else []

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows

    def to_arrow_table(self) -> pa.Table:
        columns = zip(*self._rows, strict=True) if self._rows else [()] * len(self._names)
        typed = zip(self._types, columns, strict=True)
        arrays = [pa.array(map(_converter(kind), values), kind) for kind, values in typed]
        return pa.table(arrays, names=self._names)

    def df(self) -> Any:
        """Returns the rows as a pandas data frame with DuckDB's column types, which the notebooks expect."""
        from pipelines.destinations.duckdb.session import IN_MEMORY, open_database

        with open_database(IN_MEMORY) as connection:
            connection.register("found", self.to_arrow_table())
            return connection.sql("select * from found").df()


class Query:
    """Executes a query when its rows are requested, either all rows at once or in batches."""

    def __init__(self, session: PostgresSession, text: str) -> None:
        self._session, self._text = session, text

    def to_arrow_table(self) -> pa.Table:
        return self._session.execute_native(self._text).to_arrow_table()

    def df(self) -> Any:
        return self._session.execute_native(self._text).df()

    def to_arrow_reader(self, _batch_rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """Returns a reader of record batches. The transaction must stay open until all batches are read."""
        self._session.execute_native(f"declare many no scroll cursor for {self._text}")
        first = self._next_batch()
        return pa.RecordBatchReader.from_batches(first.schema, self._batches(first))

    def _next_batch(self) -> pa.Table:
        return self._session.execute_native(f"fetch {BATCH_ROWS} from many").to_arrow_table()

    def _batches(self, part: pa.Table) -> Iterator[pa.RecordBatch]:
        while part.num_rows:
            yield from part.to_batches()
            part = self._next_batch()
        self._session.execute_native("close many")


def _clamp(read: Callable[[Any, Any], Any], text: str | None, cursor: Any) -> Any:
    """Returns the timestamp, or Python's earliest or latest timestamp if Python can't represent the value.

    A pickup window can end in the year 10000.
    """
    try:
        return read(text, cursor)
    except ValueError:
        first, last = (end.replace(tzinfo=UTC if read is INSTANTS[1184] else None) for end in CALENDAR_BOUNDS)
        return first if str(text).endswith("BC") else last


def _converter(kind: pa.DataType) -> Callable[[Any], Any]:
    return (lambda value: None if value is None else float(value)) if kind == pa.float64() else (lambda value: value)


def configure_types(raw: psycopg2.extensions.connection) -> None:
    """Makes the connection return JSON as text, and only timestamps that Python can represent."""
    for kind, read in INSTANTS.items():
        psycopg2.extensions.register_type(psycopg2.extensions.new_type((kind,), "INSTANT", partial(_clamp, read)), raw)
    psycopg2.extras.register_default_json(raw, loads=str)
    psycopg2.extras.register_default_jsonb(raw, loads=str)
