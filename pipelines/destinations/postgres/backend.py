"""Implements `[pipeline] destination = "postgres"`: a PostgreSQL server.

Each account has its own schema for its rows, dlt's state and the bookkeeping tables. The server holds a separate lock
for each account, so any number of machines can execute runs, but only one run loads an account at a time. Users query
the `sendcloud` and `analytics` schemas.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.destinations.filter import ALL_PICKUPS, PickupFilter
from pipelines.destinations.naming import AccountDatasets, working_dir
from pipelines.destinations.postgres import lock
from pipelines.destinations.postgres.accounts import SCHEMAS, PostgresAccountEditor
from pipelines.destinations.postgres.diagnose import server_findings
from pipelines.destinations.postgres.filtered_views import filtered_session
from pipelines.destinations.postgres.ownership import check_server
from pipelines.destinations.postgres.publish import PUBLISH_LOCK, create_indexes
from pipelines.destinations.postgres.session import PostgresSession, connect
from pipelines.destinations.postgres.views import must_compute_views
from pipelines.destinations.schemas import SchemaNames
from pipelines.destinations.warehouse_mark import read_mark, write_mark
from pipelines.dlt_workarounds import copy_parquet_by_row_group, resolve_configuration
from pipelines.errors import DestinationError, NoData
from sources.sendcloud.errors import SettingsError

if TYPE_CHECKING:
    from dlt.common.destination import Destination
    from dlt.extract import DltSource

    from pipelines.destinations.base import OpenSession
    from pipelines.finding import Finding

SNAPSHOT_VARIABLE = "PICKUPS_SNAPSHOT"  # set in the environment of processes that read data for a report


class PostgresBackend(AccountDatasets):
    """Implements Backend (destinations/base.py) with a PostgreSQL server.

    A run uses one connection, which holds its locks. dlt opens its own connections.
    """

    def __init__(self, destination: Destination[Any, Any], dsn: str, where: str, names: SchemaNames) -> None:
        super().__init__(destination, names)
        self._dsn, self._where = dsn, where
        self._session: PostgresSession | None = None

    def __str__(self) -> str:
        return self._where

    def exists(self) -> bool:
        try:
            with self.session() as session:
                return bool(session.execute_native(SCHEMAS, {"names": [self._names.data]}).fetchall())
        except DestinationError:
            return False

    @contextmanager
    def lock(self, accounts: Sequence[str], wait_seconds: float) -> Iterator[None]:
        """Holds a lock for each account during the block.

        The server releases a lock when the connection ends, including after a crash.
        """
        with self.session() as session:
            until = time.monotonic() + wait_seconds
            for account in sorted(accounts):  # the fixed order prevents deadlocks between runs
                lock.acquire(session, account, self._where, until)
            self._locked = list(accounts)
            try:
                yield
            finally:
                lock.release(session)

    def check_lock(self) -> None:
        """Raises DestinationError if the run's connection no longer holds the locks.

        dlt loads over its own connections, which would not notice that a lock was lost.
        """
        with self.session() as session:
            for account in self._locked:
                lock.check_held(session, account, self._where)

    @contextmanager
    def ownership_checked(self, accounts: Sequence[str]) -> Iterator[None]:
        with self.session() as session:
            check_server(session, self._where, accounts)
        yield

    def write_mark(self) -> None:
        with self.session() as session:
            lock_mark = partial(session.execute_native, PUBLISH_LOCK)  # only one of two parallel runs creates the mark
            write_mark(session, self._where, {"analytics_schema": self._names.analytics}, lock_mark)

    def prepare(self, accounts: Sequence[str]) -> None:
        wanted = [*self._names, *map(self._names.of_account, accounts)]
        with self.session() as session:
            there = {name for (name,) in session.execute_native("select nspname from pg_namespace").fetchall()}
            for name in wanted:
                if name not in there:  # if two runs overlapped, one would fail despite `if not exists`
                    session.execute_native("begin")
                    session.execute_native(PUBLISH_LOCK)
                    session.execute_native(f'create schema if not exists "{name}"')
                    session.execute_native("commit")

    @contextmanager
    def session(self) -> Iterator[PostgresSession]:
        """Opens the run's session and closes it after the block, or reuses the open session."""
        if self._session:
            yield self._session
            return
        self._session = connect(self._dsn, self._where, self._names)
        try:
            yield self._session
        finally:
            session, self._session = self._session, None
            session.close()

    def has_transactions(self) -> bool:
        return True

    def account_editor(self) -> PostgresAccountEditor:
        return PostgresAccountEditor(self.session, self._names)

    def has_atomic_loads(self) -> bool:
        """Returns False, because the response to a commit can be lost, in which case dlt repeats the load."""
        return False

    def checkpoint(self) -> None:
        """Creates the indexes used to compare the next package with the stored rows.

        Without an index, each page would be compared with every row of a first load. Committed rows are already on the
        server's disk.
        """
        with self.session() as session:
            for account in self._locked:
                create_indexes(session, self._names.of_account(account))

    def adapt_source(self, source: DltSource, open_session: OpenSession) -> None:
        """Replaces NUL, the one character that PostgreSQL can't store, in the source's rows."""
        source.resources["pickups"].add_map(_replace_nul, insert_at=1)  # before the rows are compared

    def working_dir(self) -> Path:
        return working_dir("postgres", self._where)

    def publish(self, *, is_last: bool = True) -> bool:
        """Returns False, because the run's transaction has already published everything."""
        return False

    def findings(self, accounts: Sequence[str]) -> Iterator[Finding]:
        return server_findings(partial(connect, self._dsn, self._where, self._names), self._where, accounts)

    def data_dir(self) -> Path:
        return self.working_dir().parent

    @contextmanager
    def snapshot(self) -> Iterator[Mapping[str, str]]:
        """Exports a snapshot of the server. The snapshot lasts as long as the transaction that exported it."""
        with self.session() as session:
            session.execute_native("begin isolation level repeatable read read only")
            ((snapshot,),) = session.execute_native("select pg_export_snapshot()").fetchall()
            self._session = None  # meanwhile, readers in this process open another session
            try:
                yield {SNAPSHOT_VARIABLE: snapshot}
            finally:
                self._session = session

    @contextmanager
    def read_session(self, only: PickupFilter) -> Iterator[PostgresSession]:
        with self.session() as session:
            session.execute_native("begin isolation level repeatable read")  # all queries see the same state
            if snapshot := os.environ.get(SNAPSHOT_VARIABLE):
                session.execute_native("set transaction snapshot %s", [snapshot])
            readers = session.for_readers()
            read_mark(readers, self._where)  # This call may raise NewerLayout.
            if "account" not in readers.columns("pickups"):  # The table is missing or isn't ours.
                raise NoData(self._where)
            computes = only != ALL_PICKUPS or must_compute_views(readers)
            yield filtered_session(readers, only) if computes else readers


def _replace_nul(rows: pa.Table) -> pa.Table:
    """Returns the rows with each NUL in text columns replaced by U+FFFD, which decoders also use for unreadable bytes.

    JSON columns contain NUL only as an escape (see `_column_lists` in destinations/postgres/publish.py).
    """
    for place, field in enumerate(rows.schema):
        if field.type == pa.string() and pc.any(pc.match_substring(rows[place], "\0")).as_py():
            rows = rows.set_column(place, field, pc.replace_substring(rows[place], "\0", "\ufffd"))
    return rows


def postgres_backend(names: SchemaNames) -> PostgresBackend:
    """Returns the backend of the configured server.

    Args:
        names: the names of our schemas.

    Raises:
        SettingsError: a setting is missing, or the password contains an @ that is not percent-encoded.
    """
    import dlt

    copy_parquet_by_row_group()
    destination = dlt.destinations.postgres()
    config = resolve_configuration(destination, names.data)
    keys = config.credentials
    if "@" in str(keys.host):  # the text before the @ is part of the password and must not appear in a message
        raise SettingsError("[destination.postgres] credentials: write an @ in the password as %40.")
    where = f"PostgreSQL {keys.host}:{keys.port}/{keys.database}"
    return PostgresBackend(destination, keys.to_native_representation(), where, names)
