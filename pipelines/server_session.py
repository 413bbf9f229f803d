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
from typing import Any

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import psycopg2.extras
import pyarrow as pa
import pyarrow.csv

from pipelines import models, server_lock
from pipelines.errors import DestinationFailed
from pipelines.models.translate import translated
from pipelines.server_answers import Answer, Question, read_as_we_do
from pipelines.server_narrow import of_accounts
from pipelines.shown import LOCK_FOR_TABLES, show
from pipelines.store import DATASET

DIALECT = "postgres"
OURS = re.compile(r"('(?:[^']|'')*')|\b(sendcloud\.pickups\b|sendcloud\.|analytics\.)")  # a text stays as it is
SQL_OF = {pa.string(): "text", pa.int64(): "bigint", pa.float64(): "double precision", pa.bool_(): "boolean"}
PATIENCE = "10s"  # with who reads a view that is to be another
REMEDY = "What was loaded before is as it was: mend the cause (server, network, rights) and run again."


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

    def sql(self, query: str, /) -> Question:
        return Question(self, self._in_place(translated(query, DIALECT)))

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
        server_lock.make_sure(self, account, self._where)
        show(self, self._schema_of(account), account)

    def show_views(self) -> None:
        """Only where they are not there as they would be made. Whoever reads one holds it: the old ones are kept then,
        and the next run tries again.
        """
        if models.are_built(_AsItIs(self), DIALECT):
            return
        with self._failing_here(), self._raw.cursor() as cursor:
            cursor.execute(LOCK_FOR_TABLES)  # another machine may be about to do the same
            cursor.execute("savepoint views")
            try:
                cursor.execute(f"set local lock_timeout = '{PATIENCE}'")
                models.build(_Cursor(cursor), DIALECT)
            except psycopg2.errors.LockNotAvailable:
                cursor.execute("rollback to savepoint views")

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


class _Cursor:
    """The same, whose errors are the server's own."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, text: str, parameters: Any = None) -> Any:
        self._cursor.execute(text, parameters)
        return self._cursor


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
        raw = psycopg2.connect(dsn, application_name=who)
    except psycopg2.Error as error:
        remedy = "Is it running, and are host, port, database, user and password right? See [destination.postgres]."
        raise DestinationFailed(where, str(error).strip().split("\n")[0], remedy) from None
    raw.autocommit = True
    with raw.cursor() as cursor:  # not by `options`: the address may have its own
        cursor.execute("set timezone = 'UTC'")
    read_as_we_do(raw)
    return ServerSession(raw, where, schema_of)
