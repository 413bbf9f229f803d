"""Checks that a run would not replace other people's objects on the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.analytics.views import DIGEST_IN_COMMENT
from pipelines.destinations.ownership import TABLE_COLUMNS, VIEWS, CatalogObject, check_objects, is_recognized
from pipelines.destinations.schemas import SchemaNames
from pipelines.destinations.warehouse_mark import read_mark
from pipelines.errors import OtherSchema

if TYPE_CHECKING:
    from pipelines.destinations.postgres.session import PostgresSession

# Types without a table are included, because a view creates a type with the view's name. The server returns a view's
# query only if the view's comment lacks our digest.
_OBJECTS = """
    select nspname, relname,
        case relkind when 'r' then 'table' when 'v' then 'view' when 'm' then 'materialized view'
            when 'S' then 'sequence' when 'i' then 'index' when 'c' then 'type' when 'f' then 'foreign table'
            else 'partitioned table' end,
        obj_description(pg_class.oid, 'pg_class'),
        case when relkind = 'v' and coalesce(obj_description(pg_class.oid, 'pg_class'), '') !~ %(digest)s
            then pg_get_viewdef(pg_class.oid)
            else (
                select string_agg(attname, ' ') from pg_attribute
                where attrelid = pg_class.oid and attnum > 0 and not attisdropped
            )
        end
    from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where (nspname = any(%(data)s) and relname = any(%(tables)s))
        or (nspname = %(analytics)s and relname = any(%(views)s))
    union all
    select nspname, typname, 'type', null, ''
    from pg_type join pg_namespace on pg_namespace.oid = typnamespace
    where typrelid = 0 and ((nspname = any(%(data)s) and typname = any(%(tables)s))
        or (nspname = %(analytics)s and typname = any(%(views)s)))
    order by 1, 2
"""
# the shared schema `NAME` sorts before the accounts' own schemas, `NAME_of_ACCOUNT`
_OTHER_SCHEMAS = """
    select nspname from pg_class
    join pg_namespace on pg_namespace.oid = relnamespace join pg_attribute on attrelid = pg_class.oid
    where relname = 'pickup_runs' and relkind = 'r' and attname in ('run_id', 'account', 'outcome')
        and nspname <> %(data)s and not starts_with(nspname, %(accounts)s)
        and has_schema_privilege(pg_namespace.oid, 'usage') and has_table_privilege(pg_class.oid, 'select')
    group by nspname having count(*) = 3
    order by nspname
"""
SECOND_WAREHOUSE = "use another database for a second warehouse, or other names for its accounts."


def check_server(session: PostgresSession, where: str, accounts: Sequence[str]) -> None:
    """Raises an error if a run of the accounts would change other people's objects.

    Raises:
        ForeignObject: an object in one of our schemas is not ours.
        OtherSchema: the accounts' tables are in a schema other than `[schemas] data`.
        NewerLayout: a newer version of this program wrote the tables.
    """
    names = session.names
    mark = read_mark(session, where)
    objects = [CatalogObject(*row) for row in session.execute_native(_OBJECTS, _parameters(names, accounts)).fetchall()]
    is_ours = mark is not None or is_recognized(objects, names.data)
    if not is_ours:
        _check_other_schemas(session, where, accounts)
    check_objects(where, objects, names, is_ours=is_ours)


def _parameters(names: SchemaNames, accounts: Sequence[str]) -> dict[str, object]:
    own = [names.of_account(account) for account in accounts]
    return {
        "data": [names.data, *own, *(names._replace(data=name).staging for name in own)],
        "analytics": names.analytics,
        "tables": list(TABLE_COLUMNS),
        "views": list(VIEWS),
        "digest": DIGEST_IN_COMMENT.pattern,
    }


def _check_other_schemas(session: PostgresSession, where: str, accounts: Sequence[str]) -> None:
    """Raises OtherSchema if another schema has receipts of these accounts.

    Receipts of other accounts are allowed, because those accounts may have their own warehouse.
    """
    ours = {"data": session.names.data, "accounts": session.names.account_prefix}
    for (found,) in session.execute_native(_OTHER_SCHEMAS, ours).fetchall():
        receipts = f'select 1 from "{found}".pickup_runs where account = any(%s) limit 1'  # noqa: S608  # from the catalog
        if session.execute_native(receipts, [list(accounts)]).fetchall():
            raise OtherSchema(where, session.names.data, found, SECOND_WAREHOUSE)
