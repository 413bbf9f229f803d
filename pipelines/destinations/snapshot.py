"""Copies the published tables into memory, so that several queries see the same state without an open connection."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pipelines.analytics.column_comments import describe_views
from pipelines.analytics.kept_columns import KEPT_COLUMNS
from pipelines.analytics.views import create_views, select_all
from pipelines.destinations.base import Session
from pipelines.destinations.duckdb.session import IN_MEMORY, DuckDBSession, open_database, quote_path
from pipelines.destinations.filter import ALL_PICKUPS, PickupFilter
from pipelines.destinations.migrations import STATUS_HISTORY

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("pickups", "pickup_status_history", "pickups_quarantine", "pickups_unlisted", "pickup_runs")
JSON_COLUMNS = {"extra", "time_slots", "record"}
BATCH_ROWS = 100_000
EXAMPLE = "from analytics.pickups"


class Snapshot:
    """A copy in memory of the selected pickups and of all views over them, as they were when the copy was made.

    The copy is freed when the snapshot is closed or no longer referenced. It can also be used in a `with` statement.

    Attributes:
        only: the filter that selected the pickups.
        is_demo: whether these are the pickups of `pickups demo`, because no run has published anything yet.
    """

    def __init__(self, source: Session, only: PickupFilter = ALL_PICKUPS, *, is_demo: bool = False) -> None:
        """Copies the tables from a session for readers. The session can be closed afterwards."""
        self.only, self.is_demo = only, is_demo
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pickups-snapshot-"))
            self._session = stack.enter_context(open_database(IN_MEMORY))
            _copy_tables(source, self._session)
            create_views(self._session)
            describe_views(self._session)
            _close_doors(self._session, folder)
            self._stack = stack.pop_all()

    def read(self, view: str) -> pd.DataFrame:
        """Returns an `analytics` view as a pandas data frame.

        Raises:
            ValueError: the view does not exist. The message lists the valid names.
        """
        return self.sql(select_all(view))

    def sql(self, query: str) -> pd.DataFrame:
        """Returns the result of a query over the schemas `analytics` and `sendcloud` as a pandas data frame.

        Args:
            query: one query in DuckDB's SQL, whatever the destination. It can't write anything, and it can't read
                files.

        Raises:
            ValueError: the text is not a single query.
            duckdb.Error: DuckDB can't execute the query.
        """
        _check_is_query(self._session, query)
        self._session.execute("begin transaction read only")
        try:
            frame: pd.DataFrame = self._session.sql(query).df()
            return frame
        finally:
            self._session.execute("rollback")

    def close(self) -> None:
        """Frees the copy."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _copy_tables(source: Session, to: DuckDBSession) -> None:
    to.execute("create schema sendcloud")
    for table in TABLES:
        columns = source.columns(table)
        if not columns:  # `has_table` finds no views, and a filter selects pickups with views
            continue
        if table == "pickups":  # as in a filtered session (duckdb/filtered_views.py), the views derive the kept columns
            columns = [name for name in columns if name not in KEPT_COLUMNS]
        names = ", ".join(f'"{name}"' for name in columns)
        rows = source.sql(f"select {names} from sendcloud.{table}").to_arrow_reader(BATCH_ROWS)  # noqa: S608  # as above
        casts = ", ".join(f'"{name}"::json as "{name}"' for name in rows.schema.names if name in JSON_COLUMNS)
        replaced = f"replace ({casts})" if casts else ""
        to.register("copied", rows)
        to.execute(f"create table sendcloud.{table} as select * {replaced} from copied")  # noqa: S608  # as above
        to.execute("drop view copied")
    to.execute(STATUS_HISTORY)


def _close_doors(session: DuckDBSession, folder: str) -> None:
    """Keeps queries from reading and writing files. Only DuckDB itself writes to the folder if memory runs short."""
    session.execute(f"set temp_directory = '{quote_path(Path(folder))}'")
    session.execute("set enable_external_access = false")
    session.execute("set lock_configuration = true")


def _check_is_query(session: DuckDBSession, query: str) -> None:
    kinds = [statement.type.name for statement in session.connection.extract_statements(query)]
    if kinds not in (["SELECT"], ["EXPLAIN"]):
        found = "several statements" if len(kinds) > 1 else kinds[0].lower() if kinds else "nothing"
        raise ValueError(f"sql executes one query, such as {EXAMPLE!r}; found: {found}")
