"""Implements AccountEditor (destinations/base.py) for a lake, where each account has its own folders.

A lake has no transactions across tables. A change therefore hides the folders that it writes or deletes (hidden.py). If
the command is killed, the account's next run or the same command finishes or undoes the change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from pipelines.destinations.account_rows import Renaming, RowCounts, account_tables, rename_rows, renamed_state
from pipelines.destinations.base import DATASET, Result, Session
from pipelines.destinations.delta.hidden import COPY_OF, LEFTOVER, MERGING, finish_changes, hidden_datasets, hide, show
from pipelines.destinations.delta.session import table_query
from pipelines.destinations.delta.tables import DeltaTables
from pipelines.destinations.duckdb.session import DuckDBSession
from pipelines.destinations.ownership import PIPELINE_PREFIX

STATE_FOLDER = "_dlt_pipeline_state"
NAME_SEPARATOR = "__"
LOADS_TABLE = "pickup_states_recorded"  # has no column `account`


@dataclass(frozen=True)
class DeltaAccountEditor:
    """Changes accounts' folders.

    Attributes:
        tables: the lake.
        memory: opens an in-memory database that can read the lake's files.
        translate_errors: translates the lake's errors into the pipeline's errors.
        locked: the folders of the accounts whose locks the caller holds.
    """

    tables: DeltaTables
    memory: Callable[[], AbstractContextManager[DuckDBSession]]
    translate_errors: Callable[[], AbstractContextManager[None]]
    locked: Sequence[str]

    @contextmanager
    def open_memory(self) -> Iterator[DuckDBSession]:
        with self.translate_errors(), self.memory() as session:
            yield session

    def count_rows(self) -> RowCounts:
        """Returns the row counts of all accounts, including accounts that an interrupted rename left hidden."""
        found: RowCounts = {}
        with self.open_memory() as session:
            for dataset in self._datasets():
                for table in self._tables(dataset):
                    if table == LOADS_TABLE:
                        continue
                    counts = f"select account, count(*) from ({self._query(dataset, table)}) group by account"  # noqa: S608  # the names come from the lake
                    for account, rows in session.execute(counts).fetchall():
                        found.setdefault(account, {})[table] = rows
        return found

    def rename(self, names: Renaming, *, is_trial: bool) -> None:
        old, new = self.tables.schemas.of_account(names.old), self.tables.schemas.of_account(names.new)
        with self.open_memory():
            finish_changes(self.tables, [new, old])
        with self._in_memory([old, new]) as session:
            rename_rows(session, DATASET, names)
            if not is_trial:
                self._write_renamed(names, old, new, session)

    def _write_renamed(self, names: Renaming, old: str, new: str, session: DuckDBSession) -> None:
        marked = (old, MERGING) if self.tables.table(new, "pickups") else (new, COPY_OF + old)
        hide(self.tables, *marked)
        if marked[0] == new:
            self.tables.remove_dataset(new)  # a failed first run leaves receipts, which `session` contains
            self.tables.copy_dataset(old, new)
            _rename_positions(self.tables, new, names)
        for table in self._tables(old):
            self._write(new, table, session)
        hide(self.tables, old, LEFTOVER)
        show(self.tables, *marked)
        finish_changes(self.tables, [old])

    def remove(self, account: str) -> None:
        with self.open_memory():
            hide(self.tables, self.tables.schemas.of_account(account), LEFTOVER)
            finish_changes(self.tables, [self.tables.schemas.of_account(account)])

    def edit(self, account: str, change: Callable[[Session], None]) -> None:
        dataset = self.tables.schemas.of_account(account)
        with self._in_memory([dataset]) as session:
            change(session)
            for table in account_tables(session, DATASET):
                self._write(dataset, table, session)
                self.tables.delete_old_files(dataset, table)

    def query(self, account: str, ask: Callable[[Session], Result]) -> Result:
        with self._in_memory([self.tables.schemas.of_account(account)]) as session:
            return ask(session)

    def publish(self) -> None:
        """Finishes the change that a killed command began. Nothing is copied, as readers use the tables directly."""
        with self.open_memory():
            finish_changes(self.tables, self.locked)

    @contextmanager
    def _in_memory(self, datasets: Sequence[str]) -> Iterator[DuckDBSession]:
        """Yields an in-memory database with the tables of the first dataset and the rows from all datasets."""
        with self.open_memory() as session:
            session.execute("create schema sendcloud")
            for table in self._tables(datasets[0]):
                there = [dataset for dataset in datasets if self.tables.table(dataset, table)]
                union = " union by name " if table == LOADS_TABLE else " union all by name "
                session.execute(f"create table sendcloud.{table} as {union.join(self._query(d, table) for d in there)}")
            yield session

    def _datasets(self) -> list[str]:
        hidden = hidden_datasets(self.tables.entries(self.tables.root))
        return sorted({*self.tables.datasets(), *(name for name, kind in hidden.items() if kind == MERGING)})

    def _tables(self, dataset: str) -> list[str]:
        return [name for name in self.tables.names(dataset) if self.tables.table(dataset, name)]

    def _write(self, dataset: str, table: str, session: DuckDBSession) -> None:
        rows = session.sql(f"select * from sendcloud.{table}").to_arrow_table()  # noqa: S608  # from the lake
        self.tables.write(dataset, table, rows, "overwrite")

    def _query(self, dataset: str, table: str) -> str:
        found = self.tables.table(dataset, table)
        assert found  # noqa: S101  # `_tables` returns only tables that exist
        return table_query(found, self.tables)


def _rename_positions(tables: DeltaTables, dataset: str, names: Renaming) -> None:
    """Renames the account in dlt's state files, which store its position in the list."""
    before, after = (f"{PIPELINE_PREFIX}{name}{NAME_SEPARATOR}" for name in (names.old, names.new))
    for path in tables.files_in(dataset, STATE_FOLDER):
        folder, _, name = path.rpartition("/")
        if name.startswith(before):
            state = json.loads(tables.filesystem.cat_file(path))
            changed = state | renamed_state(state["state"], names) | {"pipeline_name": PIPELINE_PREFIX + names.new}
            tables.filesystem.pipe_file(f"{folder}/{after}{name.removeprefix(before)}", json.dumps(changed).encode())
            tables.filesystem.rm(path)
