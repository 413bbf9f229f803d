"""Checks whether a run could write to the server: access, privileges, locks and ownership. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from pipelines.destinations.postgres import lock
from pipelines.destinations.postgres.ownership import check_server
from pipelines.errors import DestinationError, OwnershipError
from pipelines.finding import Finding, error_finding

if TYPE_CHECKING:
    from pipelines.destinations.postgres.session import PostgresSession

_PRIVILEGES = """
    select current_setting('server_version'), has_database_privilege(current_user, current_database(), 'CREATE'),
        pg_backend_pid()
"""


def server_findings(connect: Callable[[], PostgresSession], where: str, accounts: Sequence[str]) -> Iterator[Finding]:
    """Yields the findings about the server.

    Args:
        connect: opens another connection.
        where: the server, for messages.
        accounts: the accounts of a run.
    """
    try:
        with closing(connect()) as session, closing(connect()) as beside:
            ((version, may_create, backend),) = session.execute_native(_PRIVILEGES).fetchall()
            ((_, _, second_backend),) = beside.execute_native(_PRIVILEGES).fetchall()
            check_server(session, where, accounts)
    except (DestinationError, OwnershipError) as error:
        yield error_finding("destination", error)
        return
    if backend == second_backend:  # only a pool that assigns a connection to each transaction uses one process for both
        yield error_finding("destination", DestinationError(where, lock.POOLED_PROBLEM, lock.POOLED_REMEDY))
    elif may_create:
        yield Finding("destination", "ok", f"{where} is accessible; version {version}")
    else:
        remedy = "Grant the privilege: grant create on database … to …"
        yield error_finding("destination", DestinationError(where, "this user may not create schemas there", remedy))
