"""Updates the published views on a PostgreSQL server without losing what people have added to them.

`create or replace view` keeps grants, comments and dependent views. The statement fails if columns were renamed or
removed. In that case, the views are dropped (never with `cascade`) and re-created with their grants. If another object
depends on one of the views, the old views remain and the run continues.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg2.errors

from pipelines.analytics.column_comments import comment_on_columns
from pipelines.analytics.views import create_views, views_are_current
from pipelines.destinations.ownership import VIEWS
from pipelines.destinations.postgres.publish import PUBLISH_LOCK
from pipelines.destinations.schemas import SchemaNames, create_if_missing, rename_schemas

if TYPE_CHECKING:
    import psycopg2.extensions

    from pipelines.destinations.postgres.session import PostgresSession

DIALECT = "postgres"
LOCK_TIMEOUT = "10s"  # how long to wait for readers of a view that is to be replaced
_OURS = """
    select pg_class.oid, relname, relowner, relacl, reloptions
    from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = %(analytics)s and relkind = 'v' and relname = any(%(views)s)
"""
# dropping a view also drops its triggers and rules, which only a person could have added
_COMMENTS = """
    select relname, obj_description(pg_class.oid, 'pg_class')
    from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = %(analytics)s and relkind = 'v'
"""
_ADDED = f"""
    with ours as ({_OURS})
    select format('trigger %%I on %%s', tgname, tgrelid::regclass) from pg_trigger
    where tgrelid in (select oid from ours) and not tgisinternal
    union all
    select format('rule %%I on %%s', rulename, ev_class::regclass) from pg_rewrite
    where ev_class in (select oid from ours) and rulename <> '_RETURN'
    order by 1
"""  # noqa: S608  # a constant
# Returns the view, the column (if the statement concerns one), and the statement that restores what a person has set.
_KEPT = f"""
    with ours as ({_OURS}), columns as (
        select ours.*, attname, attnum, attacl from ours join pg_attribute on attrelid = ours.oid and attnum > 0
    )
    select relname, null, format('alter view %%s set (%%s)', oid::regclass, array_to_string(reloptions, ', '))
    from ours where reloptions is not null
    union all
    select relname, null, format('grant %%s on %%s to %%s%%s', privilege_type, ours.oid::regclass,
        case grantee when 0 then 'public' else grantee::regrole::text end,
        case when is_grantable then ' with grant option' else '' end)
    from ours cross join aclexplode(relacl) where grantee <> relowner
    union all
    select relname, attname, format('grant %%s (%%I) on %%s to %%s%%s', privilege_type, attname, columns.oid::regclass,
        case grantee when 0 then 'public' else grantee::regrole::text end,
        case when is_grantable then ' with grant option' else '' end)
    from columns cross join aclexplode(attacl)
    union all
    select relname, attname, format('comment on column %%s.%%I is %%L', columns.oid::regclass, attname, description)
    from columns join pg_description on objoid = columns.oid and objsubid = attnum
        and classoid = 'pg_class'::regclass
    union all
    select relname, null, format('alter view %%s owner to %%s', oid::regclass, relowner::regrole)
    from ours where relowner::regrole::text <> quote_ident(current_user)
"""  # noqa: S608  # a constant
_NAMES = f"select quote_ident(relname) from ({_OURS}) as ours"  # noqa: S608  # a constant
_COLUMNS = f"""
    with ours as ({_OURS})
    select relname, attname from ours join pg_attribute on attrelid = ours.oid and attnum > 0
"""  # noqa: S608  # a constant


_MAY_CREATE_TEMPORARY_VIEWS = """
    select has_database_privilege(current_database(), 'temporary') and not pg_is_in_recovery()
"""
_UNDESCRIBED = _COLUMNS + " and col_description(ours.oid, attnum) is null"


class _Cursor:
    """Executes statements over our schemas and raises psycopg2's errors unchanged."""

    def __init__(self, cursor: psycopg2.extensions.cursor, names: SchemaNames) -> None:
        self._cursor, self._words = cursor, names.replacements()

    def execute(self, text: str, parameters: Any = None) -> Any:
        self._cursor.execute(create_if_missing(rename_schemas(text, self._words)), parameters)
        return self._cursor


def update_views(raw: psycopg2.extensions.connection, names: SchemaNames) -> list[str]:
    """Updates the views if they are missing or outdated, inside the open transaction.

    A query locks the views that it reads. If a view stays locked for LOCK_TIMEOUT, the old views remain and the next
    run tries again.

    Args:
        raw: the connection.
        names: the names of our schemas.

    Returns:
        The objects that depend on the old views and would be lost. If there are any, the old views remain.
    """
    with raw.cursor() as plain:
        cursor = _Cursor(plain, names)
        if views_are_current(_comments(cursor, names), DIALECT):
            return []
        cursor.execute(PUBLISH_LOCK)  # another machine may be updating the views too
        cursor.execute("savepoint views")
        try:
            cursor.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
            in_the_way = _replace(cursor, names)
            cursor.execute("rollback to savepoint views" if in_the_way else "set local lock_timeout = default")
        except psycopg2.errors.LockNotAvailable:
            cursor.execute("rollback to savepoint views")
            in_the_way = []
        # publish.py finds rows by the transaction's id, but rows written in a savepoint have a different id
        cursor.execute("release savepoint views")
        return in_the_way


def must_compute_views(session: PostgresSession) -> bool:
    """Returns whether a reader should compute the views itself, because those on the server are outdated.

    The views of an older version remain until the next run, and lack columns that the commands need. A role that may
    not create temporary views, or a standby server, can only read the outdated ones.
    """
    found = session.execute_native(_COMMENTS, {"analytics": session.names.analytics}).fetchall()
    if views_are_current(dict(found), DIALECT):
        return False
    ((may_create,),) = session.execute_native(_MAY_CREATE_TEMPORARY_VIEWS).fetchall()
    return bool(may_create)


def _comments(cursor: _Cursor, names: SchemaNames) -> dict[str, str | None]:
    return dict(cursor.execute(_COMMENTS, {"analytics": names.analytics}).fetchall())


def _replace(cursor: _Cursor, names: SchemaNames) -> list[str]:
    cursor.execute("savepoint replaced")
    try:
        create_views(cursor, DIALECT, _comments(cursor, names))
        _describe_columns(cursor, names)
        return []
    except psycopg2.errors.InvalidTableDefinition:
        cursor.execute("rollback to savepoint replaced")
    of_ours = {"analytics": names.analytics, "views": list(VIEWS)}
    cursor.execute("set local search_path = pg_catalog")  # so that the server qualifies all other names
    if added := cursor.execute(_ADDED, of_ours).fetchall():
        return [what for (what,) in added]
    kept = cursor.execute(_KEPT, of_ours).fetchall()
    try:
        _drop_views(cursor, names)
    except psycopg2.errors.DependentObjectsStillExist as error:
        return str(error.diag.message_detail).split("\n")
    create_views(cursor, DIALECT)
    columns = set(cursor.execute(_COLUMNS, of_ours).fetchall())
    for view, column, statement in kept:
        if column is None or (view, column) in columns:
            cursor.execute(statement)
    cursor.execute("set local search_path = default")
    _describe_columns(cursor, names)
    return []


def _describe_columns(cursor: _Cursor, names: SchemaNames) -> None:
    """Describes the columns that have no comment. A comment that a person has written stays."""
    of_ours = {"analytics": names.analytics, "views": list(VIEWS)}
    comment_on_columns(cursor, cursor.execute(_UNDESCRIBED, of_ours).fetchall())


def _drop_views(cursor: _Cursor, names: SchemaNames) -> None:
    """Drops our views, which depend on each other, in one statement."""
    found = cursor.execute(_NAMES, {"analytics": names.analytics, "views": list(VIEWS)}).fetchall()
    assert found  # noqa: S101  # a view could not be replaced
    cursor.execute("drop view " + ", ".join(f"analytics.{name}" for (name,) in found))
