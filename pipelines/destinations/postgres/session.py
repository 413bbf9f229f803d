"""Executes statements in DuckDB's dialect on a PostgreSQL server.

Runs and dlt write to a separate schema for each account. Users query `sendcloud`, which contains the rows of all
accounts, and `analytics`. An account's session replaces the `sendcloud` schema in statements with the account's own
schema.
"""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import psycopg2.extras
import pyarrow as pa
import pyarrow.csv

from pipelines.destinations.postgres import lock
from pipelines.destinations.postgres.filtered_views import checked_session, session_of_pickups
from pipelines.destinations.postgres.publish import column_types, publish_account
from pipelines.destinations.postgres.results import Query, Result, configure_types
from pipelines.destinations.postgres.views import update_views
from pipelines.destinations.schemas import DEFAULT_NAMES, SchemaNames, create_if_missing, rename_schemas, replacements
from pipelines.dialects.translate import translate
from pipelines.errors import DestinationError

DIALECT = "postgres"
SQL_TYPES = {pa.string(): "text", pa.int64(): "bigint", pa.float64(): "double precision", pa.bool_(): "boolean"}
# With these settings, the run and the server detect a lost connection within two minutes. By default, a server keeps
# the locks of a disconnected machine for two hours, and every other run ends with exit code 5 until then.
KEEPALIVES = {"keepalives_idle": 60, "keepalives_interval": 15, "keepalives_count": 4, "tcp_user_timeout": 120_000}
SERVER_KEEPALIVES = {f"tcp_{name.removeprefix('tcp_')}": value for name, value in KEEPALIVES.items()}
REMEDY = "Previously loaded data is unchanged. Fix the cause (server, network, privileges) and run again."


class PostgresSession:
    """Implements Session (destinations/base.py) with a connection to a server. `schema` replaces `sendcloud`."""

    def __init__(
        self, raw: psycopg2.extensions.connection, where: str, names: SchemaNames, schema: str | None = None
    ) -> None:
        self._raw, self._where, self.names, self._schema = raw, where, names, schema or names.data
        self._words = replacements(f'"{self._schema}"', f'"{names.analytics}"')
        self._sessions: dict[str, PostgresSession] = {}
        self._compared: set[str] = set()

    def execute(self, sql: str, parameters: Any = None, /) -> Result:
        """Executes the statements and returns the rows.

        Outside `begin` and `commit`, each statement takes effect immediately.
        """
        return self.execute_native(rename_schemas(translate(sql, DIALECT), self._words), parameters)

    def execute_native(self, text: str, parameters: Any = None, /) -> Result:
        """Executes a statement in the server's own dialect, over the published schemas, and returns the rows."""
        with self._translate_errors(), self._raw.cursor() as cursor:
            cursor.execute(create_if_missing(rename_schemas(text, self.names.replacements())), parameters)
            return Result(cursor)

    def sql(self, query: str, /) -> Query:
        return Query(self, rename_schemas(translate(query, DIALECT), self._words))

    def register(self, name: str, rows: pa.Table, /) -> None:
        """Copies the rows to a temporary table in this connection. Empty strings stay distinct from null."""
        kinds = ", ".join(f'"{field.name}" {SQL_TYPES.get(field.type, "timestamptz")}' for field in rows.schema)
        self.execute_native(f"drop table if exists pg_temp.{name}")
        self.execute_native(f"create temp table {name} ({kinds})")
        lines = io.BytesIO()
        pyarrow.csv.write_csv(rows, lines, pyarrow.csv.WriteOptions(include_header=False))
        lines.seek(0)
        with self._translate_errors(), self._raw.cursor() as cursor:
            cursor.copy_expert(f"copy pg_temp.{name} from stdin with (format csv)", lines)

    def has_table(self, name: str) -> bool:
        return bool(self.columns(name))

    def columns(self, table: str) -> list[str]:
        return list(column_types(self, self._schema, table))

    def for_account(self, account: str) -> PostgresSession:
        if account not in self._sessions:
            schema = self.names.of_account(account)
            self._sessions[account] = PostgresSession(self._raw, self._where, self.names, schema)
        return self._sessions[account]

    def for_readers(self) -> PostgresSession:
        """Returns a session with the published tables and views."""
        return self if self._schema == self.names.data else PostgresSession(self._raw, self._where, self.names)

    def for_checks(self, accounts: Sequence[str], only: str | None = None) -> PostgresSession:
        return session_of_pickups(self.for_readers(), only) if only else checked_session(self.for_readers(), accounts)

    def with_schemas(self, **tables: str) -> PostgresSession:
        """Returns a session with these replacements for `sendcloud.`, `sendcloud.pickups` and `analytics.`."""
        other = PostgresSession(self._raw, self._where, self.names)
        words = {"sendcloud": "sendcloud.", "pickups": "sendcloud.pickups", "analytics": "analytics."}
        other._words |= {words[name]: means for name, means in tables.items()}
        return other

    def publish_account(self, account: str) -> None:
        lock.check_held(self, account, self._where)
        publish_account(self, self.names.of_account(account), account, compares=account not in self._compared)
        self._compared.add(account)  # once per run is enough

    def publish_views(self) -> list[str]:
        with self._translate_errors():
            return update_views(self._raw, self.names)

    def close(self) -> None:
        self._raw.close()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg2.Error as error:
            if self._raw.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_INERROR:
                # until the rollback, the server rejects every statement, so a failed run could not write its receipt
                with self._raw.cursor() as cursor:
                    cursor.execute("rollback")
            raise DestinationError(self._where, str(error).strip().split("\n")[0], REMEDY) from error


def connect(dsn: str, where: str, names: SchemaNames = DEFAULT_NAMES) -> PostgresSession:
    """Opens a session in UTC.

    Args:
        dsn: the connection string.
        where: the name of the server for messages, without the password.
        names: the names of our schemas.

    Raises:
        DestinationError: the server can't be reached or rejects the login.
    """
    who = f"pickups, process {os.getpid()} on {socket.gethostname()}"
    try:
        given = psycopg2.extensions.parse_dsn(dsn)
        alive: dict[str, Any] = {name: value for name, value in KEEPALIVES.items() if name not in given}
        raw = psycopg2.connect(dsn, application_name=who, **alive)
        raw.autocommit = True
        with raw.cursor() as cursor:  # `options` is not used, because the DSN may have its own options
            cursor.execute("set timezone = 'UTC'")
            for name, value in SERVER_KEEPALIVES.items():
                cursor.execute(f"set {name} = {value}")
        configure_types(raw)
    except psycopg2.Error as error:
        remedy = "Check that the server is running, and check the host, port, database, user and password in "
        remedy += "[destination.postgres]."
        raise DestinationError(where, str(error).strip().split("\n")[0], remedy) from None
    return PostgresSession(raw, where, names)
