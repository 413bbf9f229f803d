"""A session with a PostgreSQL server, for statements that are written in DuckDB's dialect.

Each account has a schema of its own, which runs write, dlt's own tables included; people read `sendcloud`, which holds
all of them, and `analytics`. Where a statement says `sendcloud`, a session `of` an account takes it for that one's.
"""

from __future__ import annotations

import io
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg2
import psycopg2.extensions
import psycopg2.extras
import pyarrow as pa
import pyarrow.csv

from pipelines import models
from pipelines.errors import DestinationFailed
from pipelines.models.translate import translated
from pipelines.server_narrow import of_accounts
from pipelines.shown import LOCK_FOR_TABLES, show
from pipelines.store import DATASET
from sources.sendcloud.rows import INSTANT

DIALECT = "postgres"
OURS = re.compile(r"('(?:[^']|'')*')|\b(sendcloud\.pickups\b|sendcloud\.|analytics\.)")  # a text stays as it is
SQL_OF = {pa.string(): "text", pa.int64(): "bigint", pa.float64(): "double precision", pa.bool_(): "boolean"}
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
REMEDY = "What was loaded before is as it was: mend the cause (server, network, rights) and run again."


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

    def to_arrow_reader(self) -> pa.RecordBatchReader:
        return self.to_arrow_table().to_reader()

    def df(self) -> Any:
        """As DuckDB would give it, so that a notebook finds the same kinds of columns."""
        from pipelines.warehouse import IN_MEMORY, opened

        with opened(IN_MEMORY) as connection:
            connection.register("found", self.to_arrow_table())
            return connection.sql("select * from found").df()


def _within(read: Callable[[Any, Any], Any], text: str | None, cursor: Any) -> Any:
    """What lies beyond Python's calendar is the last or first instant of it: a window can end in the year 10000."""
    try:
        return read(text, cursor)
    except ValueError:
        first, last = (end.replace(tzinfo=UTC if read is INSTANTS[1184] else None) for end in CALENDAR)
        return first if str(text).endswith("BC") else last


def _plain(kind: pa.DataType) -> Callable[[Any], Any]:
    return (lambda value: None if value is None else float(value)) if kind == pa.float64() else (lambda value: value)


class ServerSession:
    """A connection, see store.py; `schema` is what `sendcloud` stands for."""

    def __init__(self, raw: Any, where: str, schema_of: Callable[[str], str], schema: str = DATASET) -> None:
        self._raw, self._where, self._schema_of, self._schema = raw, where, schema_of, schema
        self._means = {"sendcloud.": f'"{schema}".', "sendcloud.pickups": f'"{schema}".pickups'}
        self._sessions: dict[str, ServerSession] = {}

    def execute(self, sql: str, parameters: Any = None, /) -> Answer:
        """Answers with rows; statements outside of `begin` and `commit` take effect each at once."""
        return self.plain(self._in_place(translated(sql, DIALECT)), parameters)

    def _in_place(self, text: str) -> str:
        return OURS.sub(lambda found: found[1] or self._means.get(found[2], found[2]), text)

    def plain(self, text: str, parameters: Any = None, /) -> Answer:
        """The same of a statement in the server's own words."""
        with self._failing_here(), self._raw.cursor() as cursor:
            cursor.execute(text, parameters)
            return Answer(cursor)

    sql = execute

    def register(self, name: str, rows: pa.Table, /) -> None:
        """A temporary table of the connection; texts keep their difference from nothing."""
        kinds = ", ".join(f'"{field.name}" {SQL_OF.get(field.type, "timestamptz")}' for field in rows.schema)
        self.unregister(name)
        self.plain(f"create temp table {name} ({kinds})")
        lines = io.BytesIO()
        pyarrow.csv.write_csv(rows, lines, pyarrow.csv.WriteOptions(include_header=False))
        lines.seek(0)
        with self._failing_here(), self._raw.cursor() as cursor:
            cursor.copy_expert(f"copy pg_temp.{name} from stdin with (format csv)", lines)

    def unregister(self, name: str, /) -> None:
        self.plain(f"drop table if exists pg_temp.{name}")

    def has_table(self, name: str) -> bool:
        return bool(self.columns(name))

    def columns(self, table: str) -> list[str]:
        found = self.plain(COLUMNS, {"schema": self._schema, "table": table})
        return [name for (name,) in found.fetchall()]

    def of(self, account: str) -> ServerSession:
        if account not in self._sessions:
            self._sessions[account] = ServerSession(self._raw, self._where, self._schema_of, self._schema_of(account))
        return self._sessions[account]

    def of_all(self) -> ServerSession:
        """Over what people read."""
        return self if self._schema == DATASET else ServerSession(self._raw, self._where, self._schema_of)

    def for_checks(self, accounts: Sequence[str]) -> ServerSession:
        return of_accounts(self.of_all(), accounts)

    def meaning(self, **tables: str) -> ServerSession:
        """The same for people, with other words for `sendcloud.`, `sendcloud.pickups` and `analytics.`."""
        other = ServerSession(self._raw, self._where, self._schema_of)
        words = {"sendcloud": "sendcloud.", "pickups": "sendcloud.pickups", "analytics": "analytics."}
        other._means = {words[name]: means for name, means in tables.items()}
        return other

    def show(self, account: str) -> None:
        show(self, self._schema_of(account), account)

    def build_views(self) -> None:
        """In the transaction under way; only where they are not there as they would be made."""
        as_it_is = _AsItIs(self)
        if not models.are_built(as_it_is, DIALECT):
            self.plain("set local lock_timeout = '10s'")  # whoever reads a view holds it
            self.plain(LOCK_FOR_TABLES)  # another machine may be about to do the same
            models.build(as_it_is, DIALECT)

    def close(self) -> None:
        self._raw.close()

    @contextmanager
    def _failing_here(self) -> Iterator[None]:
        try:
            yield
        except psycopg2.Error as error:
            self._leave_the_transaction()
            raise DestinationFailed(self._where, str(error).strip().split("\n")[0], REMEDY) from error

    def _leave_the_transaction(self) -> None:
        """Or the receipt of a run that failed in one could not be written: nothing is answered until it is left."""
        if self._raw.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_INERROR:
            with self._raw.cursor() as cursor:
                cursor.execute("rollback")


class _AsItIs:
    """For statements that are in the server's words already."""

    def __init__(self, session: ServerSession) -> None:
        self.execute = session.plain


COLUMNS = """
    select attname from pg_attribute
    join pg_class on pg_class.oid = attrelid join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = %(schema)s and relname = %(table)s and attnum > 0 and not attisdropped order by attnum
"""


def connected(dsn: str, where: str, schema_of: Callable[[str], str]) -> ServerSession:
    """A session in UTC. Raises DestinationFailed where the server can't be reached, or doesn't let us in."""
    who = f"pickups, process {os.getpid()} on {socket.gethostname()}"
    try:
        raw = psycopg2.connect(dsn, options="-c timezone=UTC", application_name=who)
    except psycopg2.Error as error:
        remedy = "Is it running, and are host, port, database, user and password right? See [destination.postgres]."
        raise DestinationFailed(where, str(error).strip().split("\n")[0], remedy) from None
    raw.autocommit = True
    for kind, read in INSTANTS.items():
        psycopg2.extensions.register_type(psycopg2.extensions.new_type((kind,), "INSTANT", partial(_within, read)), raw)
    psycopg2.extras.register_default_json(raw, loads=str)
    psycopg2.extras.register_default_jsonb(raw, loads=str)
    return ServerSession(raw, where, schema_of)
