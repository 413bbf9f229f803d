"""The lock of an account on a PostgreSQL server: whoever holds it loads the account, on whichever machine.

The server lets go of it when the connection ends, however it ends.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pipelines.errors import AnotherRun, DestinationFailed
from pipelines.store import DATASET

if TYPE_CHECKING:
    from pipelines.server_session import ServerSession

SECONDS_BETWEEN_TRIES = 0.5
POOLED = "a pool that gives each transaction another connection lies in between, and with it no lock holds"
DIRECTLY = "Connect to the server directly, or by a pool of sessions (PgBouncer: pool_mode = session)."
_LOCK = "select pg_try_advisory_lock(hashtextextended(%(name)s, 0))"
_IT = """
    locktype = 'advisory' and granted and objsubid = 1
        and database = (select oid from pg_database where datname = current_database())
        and (classid::bigint << 32) + objid::bigint = hashtextextended(%(name)s, 0)
"""
_HOLDER = f"select application_name, backend_start from pg_locks join pg_stat_activity using (pid) where {_IT}"  # noqa: S608  # ours
_OURS = f"select 1 from pg_locks where pid = pg_backend_pid() and {_IT}"  # noqa: S608  # ours


def take(session: ServerSession, account: str, where: str, until: float) -> None:
    """Waits until then, by `time.monotonic()`. Raises AnotherRun, which names whoever holds it."""
    name = _name(account)
    while not session.plain(_LOCK, name).fetchall()[0][0]:
        if time.monotonic() >= until:
            raise AnotherRun(f"of account {account!r} in {where}", _holder(session, name))
        time.sleep(SECONDS_BETWEEN_TRIES)


def make_sure(session: ServerSession, account: str, where: str) -> None:
    """In the transaction that is to be committed. Raises DestinationFailed where another connection has the lock."""
    if not session.plain(_OURS, _name(account)).fetchall():
        raise DestinationFailed(where, POOLED, DIRECTLY)


def _name(account: str) -> dict[str, Any]:
    return {"name": f"{DATASET} account {account}"}


def _holder(session: ServerSession, name: dict[str, Any]) -> str:
    holders = session.plain(_HOLDER, name).fetchall()
    return ", ".join(f"{who} since {since:%Y-%m-%d %H:%M:%S} UTC" for who, since in holders) or "it has just ended"
