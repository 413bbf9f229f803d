"""Implements a lake's sessions with an in-memory database whose changes are written back to the lake.

Pickups are read directly from the lake's files. The bookkeeping tables are small enough to be copied into memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from pipelines.analytics.views import create_views
from pipelines.destinations.delta.tables import DeltaTables
from pipelines.destinations.duckdb.session import DuckDBSession
from pipelines.destinations.migrations import current_columns

# a separate table, because dlt's merge would keep old values of `resolved_at`
RESOLVED_TABLE = "pickups_quarantine_resolved"
# the tables in the order in which they are written: the history before the record of its loads, and the receipts last
OWN_TABLES = (
    "pickup_status_history",
    "pickup_states_recorded",
    "pickups_swept",
    "pickups_unlisted",
    "pickups_forgotten",
    "pickup_runs",
)
SWEPT_TABLE = "pickups_swept"
# record_states and write_receipt write these tables when a package is complete
WRITTEN_BEFORE_LOAD = {"pickup_states_recorded", "pickup_runs"}
_QUARANTINE = """
    select refused.*, resolved.resolved_at
    from {refused} as refused
    left join {resolved} as resolved on resolved.account = refused.account
        and resolved.record_hash = refused.record_hash and resolved.resolved_at >= refused.last_seen_at
"""
_NO_RESOLVED = "(select null::text as account, null::text as record_hash, null::timestamptz as resolved_at where false)"
_RESOLVED_ROWS = """
    select account, record_hash, resolved_at from sendcloud.pickups_quarantine where resolved_at is not null
"""
# dlt stores its own tables in separate files in the lake, so these tables stay empty and are never pruned
_EMPTY_DLT_TABLES = """
    create table sendcloud._dlt_pipeline_state (created_at timestamptz, pipeline_name text, _dlt_load_id text);
    create table sendcloud._dlt_loads (inserted_at timestamptz, load_id text, status int, schema_version_hash text);
    create table sendcloud._dlt_version (inserted_at timestamptz, version_hash text, schema_name text);
"""


class AccountTables(DuckDBSession):
    """Implements Session (destinations/base.py) for one account, with a separate catalog in the in-memory database.

    There is no separate publishing step: `flush` writes to the lake, and readers create the views
    (`create_filtered_views`).
    """

    def __init__(self, database: DuckDBSession, tables: DeltaTables, dataset: str) -> None:
        super().__init__(database.in_catalog(dataset).connection, database.names)
        self._tables = tables
        self._dataset = dataset
        self._versions: dict[str, int] = {}
        self._before: dict[str, pa.Table] = {}
        self._touched: set[str] = set()
        super().execute("create schema sendcloud")
        super().execute(_EMPTY_DLT_TABLES)
        for name in OWN_TABLES:
            if table := tables.table(dataset, name):
                super().execute(f"create table sendcloud.{name} as select * from {_from_clause(table, tables)}")  # noqa: S608
                self._before[name] = self._all_rows(name)
        self.refresh()

    def execute(self, sql: str, parameters: Any = None, /) -> Any:
        self._touched |= {name for name in (*OWN_TABLES, "pickups_quarantine") if name in sql}
        return super().execute(sql, parameters)

    def has_table(self, name: str) -> bool:
        """Returns whether a table or view has this name. Views are included because `pickups` is a view over files."""
        return bool(self.columns(name))

    def refresh(self) -> None:
        """Makes the rows that dlt has loaded since the last call available to statements."""
        for name in ("pickups", "pickups_quarantine"):
            table = self._tables.table(self._dataset, name)
            if table and self._versions.get(name) != table.version():
                self._versions[name] = table.version()
                self._expose(name, table)

    def _expose(self, name: str, table: DeltaTable) -> None:
        if name == "pickups":
            super().execute(f"create or replace view sendcloud.pickups as {table_query(table, self._tables)}")
            return
        rows = _quarantine_query(table, self._tables, self._dataset)
        super().execute(f"create or replace table sendcloud.pickups_quarantine as {rows}")
        self._before[RESOLVED_TABLE] = self._resolved()

    def flush(self, *, is_between_pages: bool = False) -> None:
        """Writes each changed table to the lake atomically.

        The rows that a sweep has seen are written when the package is complete, because their number grows with every
        page. If the run crashes before then, the next run reads these pages again. The very first package is an
        exception, because no states are recorded before it.

        Args:
            is_between_pages: whether the package may be incomplete.
        """
        may_wait = is_between_pages and self.has_table("pickups") and not self._touched & WRITTEN_BEFORE_LOAD
        waits = {SWEPT_TABLE} & self._touched if may_wait else set()
        for name in OWN_TABLES:
            if name in self._touched - waits and self.has_table(name):
                self._write_table(name, self._all_rows(name))
        if "pickups_quarantine" in self._touched and self.has_table("pickups_quarantine"):
            self._write_table(RESOLVED_TABLE, self._resolved())
        self._touched = waits

    def _write_table(self, name: str, rows: pa.Table) -> None:
        before, written = self._before.get(name), self._tables.table(self._dataset, name)
        # a table with another schema is not equal
        if before is None or not written or not rows.slice(0, before.num_rows).equals(before):
            self._tables.write(self._dataset, name, rows, "overwrite")
        elif rows.num_rows > before.num_rows:
            self._tables.write(self._dataset, name, rows.slice(before.num_rows), "append")
        self._before[name] = rows

    def _all_rows(self, name: str) -> pa.Table:
        return self.sql(f"select * from sendcloud.{name}").to_arrow_table()  # noqa: S608  # the name is a constant

    def _resolved(self) -> pa.Table:
        return self.sql(_RESOLVED_ROWS).to_arrow_table()


class DeltaSession(DuckDBSession):
    """Provides a session for each account of the run, and a session with the run's data as readers will see it."""

    def __init__(self, database: DuckDBSession, tables: DeltaTables) -> None:
        super().__init__(database.connection, database.names)
        self._tables = tables
        self._accounts: dict[str, AccountTables] = {}

    def for_account(self, account: str) -> AccountTables:
        dataset = self._tables.schemas.of_account(account)
        if dataset not in self._accounts:
            self._accounts[dataset] = AccountTables(self, self._tables, dataset)
        return self._accounts[dataset]

    def refresh(self) -> None:
        for account in self._accounts.values():
            account.refresh()

    def flush(self, *, is_between_pages: bool = False) -> None:
        for account in self._accounts.values():
            account.flush(is_between_pages=is_between_pages)

    def for_checks(self, accounts: Sequence[str], only: str | None = None) -> DuckDBSession:  # base.py
        """Returns a session with this run's accounts in memory. Other accounts would have to be read from the lake."""
        checked = self.in_catalog("for_checks")
        found: dict[str, list[str]] = {}
        for dataset, account in self._accounts.items():
            for name in (*OWN_TABLES, "pickups", "pickups_quarantine"):
                if account.has_table(name):
                    found.setdefault(name, []).append(f'select * from "{dataset}".sendcloud.{name}')  # noqa: S608
        _create_views(checked, found)
        create_views(checked)
        return checked


def attach_published(connection: DuckDBSession, tables: DeltaTables) -> None:
    """Creates views over the tables of all accounts in the connection's `published` catalog."""
    found: dict[str, list[str]] = {}
    for dataset in tables.datasets():
        for name in tables.names(dataset):
            if name == RESOLVED_TABLE or not (table := tables.table(dataset, name)):
                continue
            columns = current_columns(_schema(table).names, name)
            query = f"select {columns} from {_from_clause(table, tables)}"  # noqa: S608  # the names come from the lake
            is_quarantine = name == "pickups_quarantine"
            found.setdefault(name, []).append(_quarantine_query(table, tables, dataset) if is_quarantine else query)
    _create_views(connection.in_catalog("published"), found)


def _create_views(connection: DuckDBSession, found: dict[str, list[str]]) -> None:
    """Creates one view for each table. The view combines the rows from all queries for the table."""
    connection.execute("create schema if not exists sendcloud")
    for name, queries in found.items():
        union = " union all by name ".join(queries)
        connection.execute(f"create or replace view sendcloud.{name} as {union}")


def _quarantine_query(refused: DeltaTable, tables: DeltaTables, dataset: str) -> str:
    resolved = tables.table(dataset, RESOLVED_TABLE)
    kept = _from_clause(resolved, tables) if resolved else _NO_RESOLVED
    return _QUARANTINE.format(refused=_from_clause(refused, tables), resolved=kept)


def table_query(table: DeltaTable, tables: DeltaTables) -> str:
    """Returns a query for all rows of the table."""
    return f"select * from {_from_clause(table, tables)}"  # noqa: S608  # the names come from the lake


def _from_clause(table: DeltaTable, tables: DeltaTables) -> str:
    """Returns a `from` item that reads the table's files, or an empty relation if the table has no files."""
    if files := tables.files(table):
        listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
        return f"read_parquet([{listed}], union_by_name = true)"
    kinds = ", ".join(f'null::{_SQL_TYPES.get(str(field.type), "text")} as "{field.name}"' for field in _schema(table))
    return f"(select {kinds} where false)"


def _schema(table: DeltaTable) -> pa.Schema:
    return pa.schema(table.schema().to_arrow())


_SQL_TYPES = {"int64": "bigint", "double": "double", "bool": "boolean", "timestamp[us, tz=UTC]": "timestamptz"}
