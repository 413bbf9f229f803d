"""A PostgreSQL server as the place to write: `[pipeline] destination = "postgres"`.

An account is read into a schema of its own (its rows, dlt's state, what a run notes), under a lock of its own, which
the server holds: any number of machines may run, each account once. People read `sendcloud` and `analytics`.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import server_lock
from pipelines.datasets import dataset_of
from pipelines.errors import DestinationFailed, NotConfigured, NothingYet
from pipelines.finding import Finding, wrong
from pipelines.narrow import EVERYTHING, Only
from pipelines.project import find_project
from pipelines.server_narrow import narrowed
from pipelines.server_session import ServerSession, connected
from pipelines.shown import LOCK_FOR_TABLES, index
from pipelines.store import DATASET

if TYPE_CHECKING:
    from dlt.common.destination import Destination
    from dlt.extract import DltSource

SNAPSHOT = "PICKUPS_SNAPSHOT"  # in the environment of who reads for a report


class Server:
    """A place to write, see store.py. One connection for a run, which holds its locks; dlt has its own beside it."""

    def __init__(self, destination: Destination[Any, Any], dsn: str, where: str) -> None:
        self._destination, self._dsn, self._where = destination, dsn, where
        self._session: ServerSession | None = None
        self._locked: list[str] = []

    def __str__(self) -> str:
        return self._where

    def exists(self) -> bool:
        try:
            with self.opened() as session:
                return bool(session.plain(_IS_THERE, {"name": DATASET}).fetchall())
        except DestinationFailed:
            return False

    @contextmanager
    def locked(self, accounts: Sequence[str], wait_seconds: float) -> Iterator[None]:
        """The server lets go of a lock when the connection ends, however it ends."""
        with self.opened() as session:
            until = time.monotonic() + wait_seconds
            for account in sorted(accounts):  # in one order, so that no two wait for one another
                server_lock.take(session, account, self._where, until)
            self._locked = list(accounts)
            yield

    def make_sure_of_lock(self) -> None:
        """dlt loads over a connection of its own, which knows nothing of the one that holds it."""
        with self.opened() as session:
            for account in self._locked:
                server_lock.make_sure(session, account, self._where)

    def prepare(self, accounts: Sequence[str]) -> None:
        wanted = [DATASET, "analytics", *map(dataset_of, accounts)]
        with self.opened() as session:
            there = {name for (name,) in session.plain("select nspname from pg_namespace").fetchall()}
            for name in wanted:
                if name not in there:  # two that make the same at once: one of them fails, if not exists or not
                    session.plain("begin")
                    session.plain(LOCK_FOR_TABLES)
                    session.plain(f'create schema if not exists "{name}"')
                    session.plain("commit")

    @contextmanager
    def opened(self) -> Iterator[ServerSession]:
        """The run's one connection, or the first of it."""
        if self._session:
            yield self._session
            return
        self._session = connected(self._dsn, self._where, dataset_of)
        try:
            yield self._session
        finally:
            session, self._session = self._session, None
            session.close()

    def loads_once(self) -> bool:
        """The answer to a commit can be lost, and dlt loads again what failed."""
        return False

    def checkpoint(self) -> None:
        """What is committed is on the server's disk; the next package is compared by an index, and not with all rows
        that a first load has brought, for each page.
        """
        with self.opened() as session:
            for account in self._locked:
                index(session, dataset_of(account))

    def destination(self) -> Destination[Any, Any]:
        return self._destination

    def fit(self, source: DltSource) -> None:
        """Without the one character that PostgreSQL has no place for."""
        source.resources["pickups"].add_map(_without_nul)

    def dataset(self, account: str) -> str:
        return dataset_of(account)

    def scratch(self) -> Path:
        mark = hashlib.sha256(self._where.encode()).hexdigest()[:8]
        base = Path(os.environ.get("DLT_DATA_DIR") or find_project() / "data")
        return base / "pipelines" / f"postgres-{mark}"

    def publish(self) -> bool:
        """A run's transaction has done it."""
        return False

    def findings(self) -> Iterator[Finding]:
        try:
            with self.opened() as session:
                ((version, may_create, backend),) = session.plain(_MAY_CREATE).fetchall()
                is_pooled = backend == self._backend_of_another()
        except DestinationFailed as error:
            yield wrong("destination", error)
            return
        if is_pooled:
            yield wrong("destination", DestinationFailed(self._where, server_lock.POOLED, server_lock.DIRECTLY))
        elif may_create:
            yield Finding("destination", "ok", f"{self._where} answers, version {version}")
        else:
            remedy = "Give it the right: grant create on database … to …"
            yield wrong("destination", DestinationFailed(self._where, "this user may not make schemas there", remedy))

    def _backend_of_another(self) -> int:
        """Of a connection beside ours: no other's can be the same, unless a pool lends each transaction one."""
        beside = connected(self._dsn, self._where, dataset_of)
        ((_, _, backend),) = beside.plain(_MAY_CREATE).fetchall()
        beside.close()
        return int(backend)

    def lies_in(self) -> Path:
        return self.scratch().parent

    def is_demo(self) -> bool:
        return False

    @contextmanager
    def held_still(self) -> Iterator[Mapping[str, str]]:
        """By a snapshot of the server's, which lasts as long as the transaction that made it."""
        with self.opened() as session:
            session.plain("begin isolation level repeatable read read only")
            ((snapshot,),) = session.plain("select pg_export_snapshot()").fetchall()
            self._session = None  # whoever reads meanwhile opens another
            try:
                yield {SNAPSHOT: snapshot}
            finally:
                self._session = session

    @contextmanager
    def readable(self, only: Only) -> Iterator[ServerSession]:
        with self.opened() as session:
            session.plain("begin isolation level repeatable read")  # all that is asked is of one state
            if snapshot := os.environ.get(SNAPSHOT):
                session.plain("set transaction snapshot %s", [snapshot])
            readers = session.of_all()
            if not readers.has_table("pickups"):
                raise NothingYet(self._where)
            yield readers if only == EVERYTHING else narrowed(readers, only)


def _without_nul(rows: pa.Table) -> pa.Table:
    """NUL inside a text becomes U+FFFD, as decoders write what they can't read; JSON has it as an escape."""
    for place, field in enumerate(rows.schema):
        if field.type == pa.string() and pc.any(pc.match_substring(rows[place], "\0")).as_py():
            rows = rows.set_column(place, field, pc.replace_substring(rows[place], "\0", "\ufffd"))
    return rows


_MAY_CREATE = """
    select current_setting('server_version'), has_database_privilege(current_user, current_database(), 'CREATE'),
        pg_backend_pid()
"""
_IS_THERE = "select 1 from pg_namespace where nspname = %(name)s"


def server() -> Server:
    """The server that the configuration names. Raises NotConfigured where a part of it is missing."""
    import dlt
    from dlt.common.configuration.exceptions import ConfigurationException
    from dlt.destinations.impl.postgres.postgres import PostgresParquetCopyJob

    # as a whole, a file without rows fails: it has no batch to tell its columns by (dlt 1.31, 2026-11)
    PostgresParquetCopyJob._ingest_per_rowgroup = True
    destination = dlt.destinations.postgres()
    try:
        config = destination.configuration(destination.spec()._bind_dataset_name(DATASET))
    except ConfigurationException as error:
        raise NotConfigured(" ".join(str(error).split())) from None
    keys = config.credentials
    if "@" in str(keys.host):  # what stands before it is a part of the password, and must be in no message
        raise NotConfigured("[destination.postgres] credentials: write an @ in the password as %40.")
    where = f"PostgreSQL {keys.host}:{keys.port}/{keys.database}"
    return Server(destination, keys.to_native_representation(), where)
