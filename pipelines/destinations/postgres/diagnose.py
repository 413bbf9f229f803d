"""Checks whether a run could write to the server: access, privileges, locks and ownership. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from pipelines.destinations.naming import STAGING_SUFFIX
from pipelines.destinations.ownership import TABLE_COLUMNS, VIEWS
from pipelines.destinations.postgres import lock
from pipelines.destinations.postgres.ownership import check_server
from pipelines.errors import DestinationError, OwnershipError
from pipelines.finding import Finding, error_finding

if TYPE_CHECKING:
    from pipelines.destinations.postgres.session import PostgresSession

_SERVER = "select current_setting('server_version'), pg_backend_pid()"
# Each row contains a reason why this user can't write, and a statement that solves the problem. The right to create
# schemas is needed only if a schema is missing.
_OBSTACLES = """
    with wanted as (select name, to_regnamespace(quote_ident(name)) as oid from unnest(%(schemas)s) as name)
    select format('the schema %%I is missing, and this user may not create schemas', name),
        format('create schema %%I authorization %%I', name, current_user)
    from wanted where oid is null and not has_database_privilege(current_user, current_database(), 'create')
    union all
    select format('this user may not create tables in the schema %%I', name),
        format('grant usage, create on schema %%I to %%I', name, current_user)
    from wanted where oid is not null
        and not (has_schema_privilege(oid, 'usage') and has_schema_privilege(oid, 'create'))
    union all
    select format('%%s belongs to %%s', pg_class.oid::regclass, relowner::regrole),
        format('alter table %%s owner to %%I', pg_class.oid::regclass, current_user)
    from pg_class join wanted on relnamespace = wanted.oid
    where relkind in ('r', 'v') and relname = any(%(ours)s) and not pg_has_role(relowner, 'usage')
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
            ((version, backend),) = session.execute_native(_SERVER).fetchall()
            ((_, second_backend),) = beside.execute_native(_SERVER).fetchall()
            check_server(session, where, accounts)
            obstacles = session.execute_native(_OBSTACLES, _parameters(session, accounts)).fetchall()
    except (DestinationError, OwnershipError) as error:
        yield error_finding("destination", error)
        return
    # two sessions share a server process only if a connection pool assigns connections to transactions, not sessions
    if backend == second_backend:
        yield error_finding("destination", DestinationError(where, lock.POOLED_PROBLEM, lock.POOLED_REMEDY))
    for evidence, statement in obstacles[:1]:
        remedy = f"Ask a server administrator to run: {statement}"
        yield error_finding("destination", DestinationError(where, evidence, remedy))
    if backend != second_backend and not obstacles:
        yield Finding("destination", "ok", f"{where} is accessible; version {version}")


def _parameters(session: PostgresSession, accounts: Sequence[str]) -> dict[str, list[str]]:
    own = [session.names.of_account(account) for account in accounts]
    schemas = [*session.names, *own, *(name + STAGING_SUFFIX for name in own)]
    return {"schemas": schemas, "ours": [*TABLE_COLUMNS, *VIEWS]}
