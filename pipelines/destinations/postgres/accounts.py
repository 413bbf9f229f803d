"""Implements AccountEditor (destinations/base.py) for a server, where each account has its own schema.

A change covers the account's schema, dlt's staging schema and the published tables, in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.destinations.account_rows import (
    Renaming,
    RowCounts,
    account_tables,
    clear_staging,
    count_rows,
    has_pickups,
    rename_rows,
)
from pipelines.destinations.base import Result, Session
from pipelines.destinations.naming import STAGING_SUFFIX
from pipelines.destinations.ownership import TABLE_COLUMNS, first_few
from pipelines.destinations.postgres.publish import COLUMN_TYPES, PUBLISHED_TABLES, show_all_rows_again
from pipelines.destinations.schemas import SchemaNames
from pipelines.errors import DestinationError, ForeignObject

if TYPE_CHECKING:
    from pipelines.destinations.postgres.session import PostgresSession

SCHEMAS = "select nspname from pg_namespace where nspname = any(%(names)s)"
_LOADS_WITHOUT_ACCOUNT = "pickup_states_recorded"


@dataclass(frozen=True)
class PostgresAccountEditor:
    """Changes rows in one transaction. `schemas` contains the names of our schemas."""

    open_session: Callable[[], AbstractContextManager[PostgresSession]]
    schemas: SchemaNames

    def count_rows(self) -> RowCounts:
        """Returns the published row counts. Each run publishes all rows of an account's own schema."""
        with self.open_session() as session:
            return count_rows(session.for_readers(), self.schemas.data)

    def rename(self, names: Renaming, *, is_trial: bool) -> None:
        with self._transaction(is_trial=is_trial) as session:
            own = session.for_account(names.new)
            self._move_schema(session, names)
            rename_rows(own, self.schemas.of_account(names.new), names)
            self._delete_published(session, names.old)
            if own.has_table("pickups"):
                show_all_rows_again(session, self.schemas.of_account(names.new))
                own.publish_account(names.new)

    def remove(self, account: str) -> None:
        with self._transaction() as session:
            self._drop_schema(session, account)
            self._delete_published(session, account)

    def edit(self, account: str, change: Callable[[Session], None]) -> None:
        with self._transaction() as session:
            own = session.for_account(account)
            change(own)
            clear_staging(session, self.schemas.of_account(account))
            show_all_rows_again(session, self.schemas.of_account(account))
            own.publish_account(account)

    def query(self, account: str, ask: Callable[[Session], Result]) -> Result:
        with self.open_session() as session:
            return ask(session.for_account(account))

    def publish(self) -> None:
        """Does nothing, because the transaction has already published the change."""

    @contextmanager
    def _transaction(self, *, is_trial: bool = False) -> Iterator[PostgresSession]:
        with self.open_session() as session:
            session.execute_native("begin")
            try:
                yield session
                session.execute_native("rollback" if is_trial else "commit")
            except BaseException:
                session.execute_native("rollback")
                raise

    def _move_schema(self, session: PostgresSession, names: Renaming) -> None:
        """Moves the rows of both names into the new name's schema."""
        old, new = self.schemas.of_account(names.old), self.schemas.of_account(names.new)
        there = {name for (name,) in session.execute_native(SCHEMAS, {"names": [old, new]}).fetchall()}
        if old not in there:
            evidence = f"the schema {old}, which contains the rows of {names.old!r}, is missing"
            raise DestinationError(old, evidence, "Restore it from a backup of the database.")
        own = session.for_account(names.new)
        if new in there and has_pickups(own, account_tables(own, new), names.new):
            _copy_rows(session, old, new)
            self._drop_schema(session, names.old)
            return
        if new in there:  # the new name's first run failed, so its schema contains only receipts
            _copy_rows(session, new, old)
            self._drop_schema(session, names.new)
        for suffix in ("", STAGING_SUFFIX):
            self._drop_schema_named(session, new + suffix)
            if session.execute_native(SCHEMAS, {"names": [old + suffix]}).fetchall():
                session.execute_native(f'alter schema "{old}{suffix}" rename to "{new}{suffix}"')

    def _drop_schema(self, session: PostgresSession, account: str) -> None:
        for suffix in ("", STAGING_SUFFIX):
            self._drop_schema_named(session, self.schemas.of_account(account) + suffix)

    def _drop_schema_named(self, session: PostgresSession, schema: str) -> None:
        ours = {"schema": schema, "tables": list(TABLE_COLUMNS)}
        if foreign := [what for (what,) in session.execute_native(_FOREIGN, ours).fetchall()]:
            remedy = f"The command drops the schema {schema}: move or drop the object, then run the command again."
            raise ForeignObject(first_few(foreign), "was not created by this program", remedy)
        session.execute_native(f'drop schema if exists "{schema}" cascade')

    def _delete_published(self, session: PostgresSession, account: str) -> None:
        readers = session.for_readers()
        for table in filter(readers.has_table, PUBLISHED_TABLES):
            session.execute_native(f"delete from sendcloud.{table} where account = %(account)s", {"account": account})  # noqa: S608  # a constant


def _copy_rows(session: PostgresSession, source: str, target: str) -> None:
    """Copies all rows of one account's tables to another account's schema, and adds missing tables and columns."""
    for table in [*account_tables(session, source), _LOADS_WITHOUT_ACCOUNT]:
        columns = session.execute_native(COLUMN_TYPES, {"schema": source, "table": table}).fetchall()
        if not columns:
            continue
        session.execute_native(f'create table if not exists "{target}".{table} (like "{source}".{table} including all)')
        for name, kind in columns:
            session.execute_native(f'alter table "{target}".{table} add column if not exists "{name}" {kind}')
        names = ", ".join(f'"{name}"' for name, _ in columns)
        copied = f'insert into "{target}".{table} ({names}) select {names} from "{source}".{table}'  # noqa: S608  # from the catalog
        if table == _LOADS_WITHOUT_ACCOUNT:
            copied += f' where _dlt_load_id not in (select _dlt_load_id from "{target}".{table})'  # noqa: S608  # as above
        session.execute_native(copied)


# objects that a person has created in our schema or on our tables
_FOREIGN = """
    with ours as (
        select pg_class.oid, relname, relkind from pg_class join pg_namespace on pg_namespace.oid = relnamespace
        where nspname = %(schema)s
    )
    select oid::regclass::text from ours where relkind in ('r', 'v', 'm', 'p', 'f') and not relname = any(%(tables)s)
    union
    select ev_class::regclass::text from pg_rewrite join pg_depend on objid = pg_rewrite.oid
    where classid = 'pg_rewrite'::regclass and refclassid = 'pg_class'::regclass and refobjid in (select oid from ours)
        and ev_class <> refobjid
    order by 1
"""
