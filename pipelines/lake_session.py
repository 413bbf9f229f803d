"""A session with a lake: a database in memory that is filled from its tables, and what a run wrote brought back.

An account's pickups are read where they lie; what a run notes beside them is small enough to be held in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from pipelines.datasets import PREFIX, dataset_of
from pipelines.lake_tables import Tables
from pipelines.warehouse import Session

RESOLVED = "pickups_quarantine_resolved"  # of ours: what dlt merges knows no such column, and would leave it as it was
# in the order in which they are brought: history before what says that it is there, and last of all the receipt
OURS = ("pickup_status_history", "pickup_states_recorded", "pickups_swept", "pickups_unlisted", "pickup_runs")
SWEPT = "pickups_swept"
SAID_BEFORE_A_LOAD = {"pickup_states_recorded", "pickup_runs"}  # by record_states and receipts: the package is whole
_QUARANTINE = """
    select refused.*, resolved.resolved_at
    from {refused} as refused
    left join {resolved} as resolved on resolved.account = refused.account
        and resolved.record_hash = refused.record_hash and resolved.resolved_at >= refused.last_seen_at
"""
_NOTHING = "(select null::text as account, null::text as record_hash, null::timestamptz as resolved_at where false)"
_IS_RESOLVED = """
    select account, record_hash, resolved_at from sendcloud.pickups_quarantine where resolved_at is not null
"""
# dlt keeps its own in files of its own there; house keeping finds nothing to do
_OF_DLT = """
    create table sendcloud._dlt_pipeline_state (created_at timestamptz, pipeline_name text, _dlt_load_id text);
    create table sendcloud._dlt_loads (inserted_at timestamptz, load_id text, status int, schema_version_hash text);
    create table sendcloud._dlt_version (inserted_at timestamptz, version_hash text, schema_name text);
"""


class AccountSession:
    """One account's tables, see store.py, `Connection`. All is in a catalogue of its own of the memory's database."""

    def __init__(self, connection: Session, tables: Tables, dataset: str) -> None:
        self._connection, self._tables, self._dataset = connection, tables, dataset
        self.sql, self.register, self.unregister = connection.sql, connection.register, connection.unregister
        self.columns = connection.columns
        self._versions: dict[str, int] = {}
        self._before: dict[str, pa.Table] = {}
        self._touched: set[str] = set()
        connection.execute("create schema sendcloud")
        connection.execute(_OF_DLT)
        for name in OURS:
            if table := tables.table(dataset, name):
                _fill(connection, name, table, tables)
                self._before[name] = self._all(name)
        self.look()

    def execute(self, sql: str, parameters: Any = None, /) -> Any:
        self._touched |= {name for name in (*OURS, "pickups_quarantine") if name in sql}
        return self._connection.execute(sql, parameters)

    def has_table(self, name: str) -> bool:
        return bool(self.columns(name))

    def look(self) -> None:
        """Finds what dlt has loaded since."""
        for name in ("pickups", "pickups_quarantine"):
            table = self._tables.table(self._dataset, name)
            if table and self._versions.get(name) != table.version():
                self._versions[name] = table.version()
                self._show(name, table)

    def _show(self, name: str, table: DeltaTable) -> None:
        source = _source(table, self._tables)
        if name == "pickups":
            self._connection.execute(f"create or replace view sendcloud.pickups as select * from {source}")  # noqa: S608
            return
        resolved = self._tables.table(self._dataset, RESOLVED)
        kept = _source(resolved, self._tables) if resolved else _NOTHING
        query = _QUARANTINE.format(refused=source, resolved=kept)
        self._connection.execute(f"create or replace table sendcloud.pickups_quarantine as {query}")
        self._before[RESOLVED] = self._resolved()

    def keep(self, *, is_between_pages: bool = False) -> None:
        """Brings what was written to the lake, each table in one step.

        What a sweep has seen waits for the package to be whole: it grows by a page at a time, and a run that dies
        before reads these pages again. Not in the very first package, before which no states are recorded.
        """
        may_wait = is_between_pages and self.has_table("pickups") and not self._touched & SAID_BEFORE_A_LOAD
        waits = {SWEPT} & self._touched if may_wait else set()
        for name in OURS:
            if name in self._touched - waits and self.has_table(name):
                self._bring(name, self._all(name))
        if "pickups_quarantine" in self._touched and self.has_table("pickups_quarantine"):
            self._bring(RESOLVED, self._resolved())
        self._touched = waits

    def _bring(self, name: str, rows: pa.Table) -> None:
        before, written = self._before.get(name), self._tables.table(self._dataset, name)
        if (
            before is None
            or not written
            or rows.schema != before.schema
            or not rows.slice(0, before.num_rows).equals(before)
        ):
            self._tables.write(self._dataset, name, rows, "overwrite")
        elif before is not None and rows.num_rows > before.num_rows:
            self._tables.write(self._dataset, name, rows.slice(before.num_rows), "append")
        self._before[name] = rows

    def _all(self, name: str) -> pa.Table:
        return self._connection.sql(f"select * from sendcloud.{name}").to_arrow_table()  # noqa: S608  # a name of ours

    def _resolved(self) -> pa.Table:
        return self._connection.sql(_IS_RESOLVED).to_arrow_table()

    def of(self, account: str) -> AccountSession:
        return self

    def for_checks(self, accounts: Sequence[str]) -> AccountSession:
        return self

    def show(self, account: str) -> None:
        """It comes to the lake with `keep`."""

    def show_views(self) -> None:
        """Nobody asks a lake's views of itself, see people_read."""


class LakeSession:
    """The whole of it: sessions of accounts, and one over what people would read, were the run over."""

    def __init__(self, connection: Session, tables: Tables) -> None:
        self._connection, self._tables = connection, tables
        self.execute, self.sql = connection.execute, connection.sql
        self.register, self.unregister = connection.register, connection.unregister
        self.has_table, self.columns = connection.has_table, connection.columns
        self._accounts: dict[str, AccountSession] = {}

    def of(self, account: str) -> AccountSession:
        dataset = dataset_of(account)
        if dataset not in self._accounts:
            self._accounts[dataset] = AccountSession(self._connection.beside(dataset), self._tables, dataset)
        return self._accounts[dataset]

    def look(self) -> None:
        for account in self._accounts.values():
            account.look()

    def keep(self, *, is_between_pages: bool = False) -> None:
        for account in self._accounts.values():
            account.keep(is_between_pages=is_between_pages)

    def for_checks(self, accounts: Sequence[str]) -> Session:
        """Of the accounts of this run, as they are in memory: those of others would have to be read."""
        checked = self._connection.beside("for_checks")
        found: dict[str, list[str]] = {}
        for dataset, account in self._accounts.items():
            for name in (*OURS, "pickups", "pickups_quarantine"):
                if account.has_table(name):
                    found.setdefault(name, []).append(f'select * from "{dataset}".sendcloud.{name}')  # noqa: S608
        _make_views(checked, found)
        return checked.for_checks(accounts)

    def show(self, account: str) -> None:
        """It comes to the lake with `keep`."""

    def show_views(self) -> None:
        """Nobody asks a lake's views of itself, see people_read."""


def people_read(connection: Session, tables: Tables) -> None:
    """Lets a connection read every account's tables, in a catalogue `published`."""
    _make_views(connection.beside("published"), _lying_there(tables, tables.datasets(PREFIX)))


def _make_views(connection: Session, found: dict[str, list[str]]) -> None:
    connection.execute("create schema if not exists sendcloud")
    for name, queries in found.items():
        union = " union all by name ".join(queries)
        connection.execute(f"create or replace view sendcloud.{name} as {union}")


def _lying_there(tables: Tables, datasets: Sequence[str]) -> dict[str, list[str]]:
    """By table, the queries that give the rows of these datasets."""
    found: dict[str, list[str]] = {}
    for dataset in datasets:
        for name in tables.names(dataset):
            if name == RESOLVED or not (table := tables.table(dataset, name)):
                continue
            query = f"select * from {_source(table, tables)}"  # noqa: S608  # names of the lake's own
            if name == "pickups_quarantine":
                resolved = tables.table(dataset, RESOLVED)
                kept = _source(resolved, tables) if resolved else _NOTHING
                query = _QUARANTINE.format(refused=_source(table, tables), resolved=kept)
            found.setdefault(name, []).append(query)
    return found


def _source(table: DeltaTable, tables: Tables) -> str:
    """What stands behind `from`: the files, or where there are none, the columns without a row."""
    if files := tables.files(table):
        listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
        return f"read_parquet([{listed}], union_by_name = true)"
    kinds = ", ".join(f'null::{_SQL.get(str(field.type), "text")} as "{field.name}"' for field in _schema(table))
    return f"(select {kinds} where false)"


def _schema(table: DeltaTable) -> pa.Schema:
    return pa.schema(table.schema().to_arrow())


_SQL = {"int64": "bigint", "double": "double", "bool": "boolean", "timestamp[us, tz=UTC]": "timestamptz"}


def _fill(connection: Session, name: str, table: DeltaTable, tables: Tables) -> None:
    connection.execute(f"create table sendcloud.{name} as select * from {_source(table, tables)}")  # noqa: S608
