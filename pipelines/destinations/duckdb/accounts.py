"""Implements AccountEditor (destinations/base.py) for a DuckDB file, in which all accounts share their tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.destinations.account_rows import Renaming, RowCounts, clear_staging, count_rows, delete_rows, rename_rows
from pipelines.destinations.base import Result, Session
from pipelines.destinations.duckdb.publish import rewrite
from pipelines.destinations.duckdb.session import DuckDBSession


@dataclass(frozen=True)
class DuckDBAccountEditor:
    """Changes rows in a single transaction on the warehouse. `publish_file` copies the warehouse for readers."""

    open_session: Callable[[], AbstractContextManager[DuckDBSession]]
    schema: str
    warehouse: Path
    publish_file: Callable[[], bool]

    def count_rows(self) -> RowCounts:
        with self.open_session() as session:
            return count_rows(session, self.schema)

    def rename(self, names: Renaming, *, is_trial: bool) -> None:
        with self._transaction(is_trial=is_trial) as session:
            rename_rows(session, self.schema, names)

    def remove(self, account: str) -> None:
        with self._transaction() as session:
            delete_rows(session, self.schema, account)
            clear_staging(session, self.schema)

    def edit(self, account: str, change: Callable[[Session], None]) -> None:  # noqa: ARG002  # all accounts share the tables
        with self._transaction() as session:
            change(session)
            clear_staging(session, self.schema)

    def query(self, account: str, ask: Callable[[Session], Result]) -> Result:  # noqa: ARG002  # as above
        with self.open_session() as session:
            return ask(session)

    def publish(self) -> None:
        """Rewrites the warehouse, because its free space still contains deleted rows, and copies it for readers."""
        rewrite(self.warehouse)
        self.publish_file()

    @contextmanager
    def _transaction(self, *, is_trial: bool = False) -> Iterator[DuckDBSession]:
        """Opens a transaction, which is rolled back after a failure or a trial."""
        with self.open_session() as session:
            session.execute("begin")
            yield session
            session.execute("rollback" if is_trial else "commit")
