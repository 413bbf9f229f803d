"""Locks an account on a PostgreSQL server, so that only one run across all machines loads it at a time.

The server releases the lock when the connection ends, including after a crash.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pipelines.errors import DestinationError, RunInProgress

if TYPE_CHECKING:
    from pipelines.destinations.postgres.session import PostgresSession

SECONDS_BETWEEN_TRIES = 0.5
POOLED_PROBLEM = "a connection pool assigns each transaction a different connection, so the run can't hold a lock"
POOLED_REMEDY = "Connect to the server directly or through a session pool (PgBouncer: pool_mode = session)."
_LOCK = "select pg_try_advisory_lock(hashtextextended(%(name)s, 0))"
_LOCK_CONDITION = """
    locktype = 'advisory' and granted and objsubid = 1
        and database = (select oid from pg_database where datname = current_database())
        and (classid::bigint << 32) + objid::bigint = hashtextextended(%(name)s, 0)
"""
_HOLDERS = "select application_name, backend_start from pg_locks join pg_stat_activity using (pid) where"
_HELD_BY_US = f"select 1 from pg_locks where pid = pg_backend_pid() and {_LOCK_CONDITION}"  # noqa: S608  # a constant


def acquire(session: PostgresSession, account: str, where: str, until: float) -> None:
    """Acquires the account's lock.

    Args:
        session: the session whose connection holds the lock.
        account: the account to lock.
        where: the server, for messages.
        until: when to stop waiting, as a value of `time.monotonic()`.

    Raises:
        RunInProgress: another connection still holds the lock. The message names the holder.
    """
    name = _lock_name(session, account)
    while not session.execute_native(_LOCK, name).fetchall()[0][0]:
        if time.monotonic() >= until:
            raise RunInProgress(f"of account {account!r} in {where}", _read_holder(session, name))
        time.sleep(SECONDS_BETWEEN_TRIES)


def release(session: PostgresSession) -> None:
    """Releases all locks of the connection. If that fails, they are released when the connection ends.

    A busy server may take seconds to notice that a connection was closed (2026-11-29). Meanwhile, another run would be
    turned away.
    """
    with suppress(DestinationError):
        session.execute_native("select pg_advisory_unlock_all()")


def check_held(session: PostgresSession, account: str, where: str) -> None:
    """Raises DestinationError if the session's connection doesn't hold the account's lock.

    Call this function in the transaction that is about to be committed.
    """
    if not session.execute_native(_HELD_BY_US, _lock_name(session, account)).fetchall():
        raise DestinationError(where, POOLED_PROBLEM, POOLED_REMEDY)


def _lock_name(session: PostgresSession, account: str) -> dict[str, Any]:
    return {"name": f"{session.names.data} account {account}"}


def _read_holder(session: PostgresSession, name: dict[str, Any]) -> str:
    holders = session.execute_native(f"{_HOLDERS} {_LOCK_CONDITION}", name).fetchall()
    return ", ".join(f"{who} since {since:%Y-%m-%d %H:%M:%S} UTC" for who, since in holders) or "the run just ended"
