"""What a PostgreSQL server answers, as Arrow and as Python: the types that DuckDB would give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg2.extensions
import psycopg2.extras
import pyarrow as pa

from sources.sendcloud.rows import INSTANT

if TYPE_CHECKING:
    from pipelines.server_session import ServerSession

ARROW_OF = {
    **dict.fromkeys((20, 21, 23), pa.int64()),  # int8, int2, int4: the numbers by which PostgreSQL names its types
    **dict.fromkeys((700, 701, 1700), pa.float64()),  # float4, float8, numeric: what sums of whole numbers are
    16: pa.bool_(),
    1082: pa.date32(),
    1114: pa.timestamp("us"),
    1184: INSTANT,
}
INSTANTS = {1114: psycopg2.extensions.PYDATETIME, 1184: psycopg2.extensions.PYDATETIMETZ}
CALENDAR = (datetime.min, datetime.max)  # noqa: DTZ901  # with or without a zone, as it is asked for
AT_ONCE = 20_000  # rows that are in memory as Python's objects


class Answer:
    """Rows that were found."""

    def __init__(self, cursor: Any) -> None:
        self._names = [column.name for column in cursor.description or ()]
        self._types = [ARROW_OF.get(column.type_code, pa.string()) for column in cursor.description or ()]
        self._rows = cursor.fetchall() if cursor.description else []

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows

    def to_arrow_table(self) -> pa.Table:
        columns = zip(*self._rows, strict=True) if self._rows else [()] * len(self._names)
        arrays = [pa.array(map(_plain(kind), values), kind) for kind, values in zip(self._types, columns, strict=True)]
        return pa.table(arrays, names=self._names)

    def df(self) -> Any:
        """As DuckDB would give it, so that a notebook finds the same kinds of columns."""
        from pipelines.warehouse import IN_MEMORY, opened

        with opened(IN_MEMORY) as connection:
            connection.register("found", self.to_arrow_table())
            return connection.sql("select * from found").df()


class Question:
    """A query that is yet to be asked: for its rows at once, or for many, part by part."""

    def __init__(self, session: ServerSession, text: str) -> None:
        self._session, self._text = session, text

    def to_arrow_table(self) -> pa.Table:
        return self._session.plain(self._text).to_arrow_table()

    def df(self) -> Any:
        return self._session.plain(self._text).df()

    def to_arrow_reader(self) -> pa.RecordBatchReader:
        """Needs a transaction that is under way, and lasts as long as the reading."""
        self._session.plain(f"declare many no scroll cursor for {self._text}")
        first = self._part()
        return pa.RecordBatchReader.from_batches(first.schema, self._parts(first))

    def _part(self) -> pa.Table:
        return self._session.plain(f"fetch {AT_ONCE} from many").to_arrow_table()

    def _parts(self, part: pa.Table) -> Iterator[pa.RecordBatch]:
        while part.num_rows:
            yield from part.to_batches()
            part = self._part()
        self._session.plain("close many")


def _within(read: Callable[[Any, Any], Any], text: str | None, cursor: Any) -> Any:
    """What lies beyond Python's calendar is the last or first instant of it: a window can end in the year 10000."""
    try:
        return read(text, cursor)
    except ValueError:
        first, last = (end.replace(tzinfo=UTC if read is INSTANTS[1184] else None) for end in CALENDAR)
        return first if str(text).endswith("BC") else last


def _plain(kind: pa.DataType) -> Callable[[Any], Any]:
    return (lambda value: None if value is None else float(value)) if kind == pa.float64() else (lambda value: value)


def read_as_we_do(raw: Any) -> None:
    """Instants within Python's calendar, and JSON as its text: of this connection's answers."""
    for kind, read in INSTANTS.items():
        psycopg2.extensions.register_type(psycopg2.extensions.new_type((kind,), "INSTANT", partial(_within, read)), raw)
    psycopg2.extras.register_default_json(raw, loads=str)
    psycopg2.extras.register_default_jsonb(raw, loads=str)
