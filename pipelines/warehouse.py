"""The DuckDB files: what a run asks of the one that it writes, and how people read the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import duckdb
import pyarrow as pa

from pipelines import history, models
from pipelines.errors import DestinationFailed, NothingYet
from pipelines.project import inside, readable_path
from pipelines.receipt import Receipt
from sources.sendcloud.records import INSTANT, ROW_SCHEMA

if TYPE_CHECKING:
    import pandas as pd

DATASET = "sendcloud"
_ARROW = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), datetime: INSTANT}


@contextmanager
def opened(path: Path, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in UTC that is closed afterwards, so that the file is let go of.

    Raises DestinationFailed when another process holds the file, or it is no DuckDB file.
    """
    try:
        connection = duckdb.connect(str(path), read_only=read_only)
    except duckdb.Error as error:
        remedy = (
            "If another program has it open, close it there (readers open the published file); "
            "if the file is damaged, move it away: the next run reads everything again."
        )
        raise DestinationFailed(str(path), str(error).split("\n")[0], remedy) from None
    try:
        connection.execute("set timezone = 'UTC'")
        yield connection
    finally:
        connection.close()


def prepare(warehouse: Path) -> None:
    """Makes an empty warehouse where there is none, whole or not at all: a disk that is full just then must not leave
    half a file that no later run can open. Raises OSError or duckdb.Error.
    """
    if warehouse.exists():
        return
    fresh = warehouse.with_name(warehouse.name + ".new")
    fresh.unlink(missing_ok=True)
    try:
        duckdb.connect(str(fresh)).close()
        fresh.replace(warehouse)
    finally:
        fresh.unlink(missing_ok=True)


def read(view: str, path: str | Path | None = None) -> pd.DataFrame:
    """A view of `analytics` as a pandas frame, from the published file; the file is let go of at once.

    Args:
        view: the view's name, such as `carrier_cancellations`.
        path: the file to read; default `[publish] path` of the project at or above the working directory, or what
            `pickups demo` left as long as there is no such file.

    Raises:
        NothingYet: there is no such file, or no pickups in it. ValueError: no such view; the message lists them.
    """
    with reading(path) as connection:
        return connection.execute(_select(view)).df()


def read_rows(view: str, path: str | Path | None = None) -> list[dict[str, Any]]:
    """The same as a list of dicts, for those who have no pandas."""
    with reading(path) as connection:
        rows: list[dict[str, Any]] = connection.sql(_select(view)).to_arrow_table().to_pylist()
        return rows


@contextmanager
def reading(path: str | Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the published file, see `read` for which one; NothingYet where it has no pickups."""
    if path:
        published = Path(path)
    else:
        with inside() as project:
            published = readable_path(project)
    if not published.exists():
        raise NothingYet(published)
    with opened(published, read_only=True) as connection:
        if not has_table(connection, "pickups"):
            raise NothingYet(published)
        yield connection


def _select(view: str) -> str:
    names = [path.stem for path in models.views()]
    if view not in names:
        raise ValueError(f"no view {view!r}; there are {', '.join(names)}")
    return f"select * from analytics.{view}"  # noqa: S608  # one of our own names


def has_table(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether the dataset `sendcloud` has this table."""
    query = f"select table_name from duckdb_tables() where schema_name = '{DATASET}'"  # noqa: S608
    return (name,) in connection.execute(query).fetchall()


@dataclass
class Compared:
    """Compares rows with the table as it is, and lets only those through that would change it.

    A dlt step: `resource.add_map(Compared(path))`. The counts are facts about the table, not about the load.
    """

    warehouse: Path
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    cancelled: int = 0

    def __call__(self, rows: pa.Table) -> pa.Table | None:
        """The rows that are new or differ in any column; None when there are none.

        Into a warehouse without the table everything goes, an empty table too: it makes the columns.
        """
        if not self.warehouse.exists():
            return self._all_new(rows)
        with opened(self.warehouse) as connection:
            if not has_table(connection, "pickups"):
                return self._all_new(rows)
            connection.register("listed", rows)
            found = connection.sql(_DIFFERENCE).to_arrow_table()
        self.new += found["is_new"].to_pylist().count(True)
        self.changed += found["is_new"].to_pylist().count(False)
        self.unchanged += rows.num_rows - found.num_rows
        self.cancelled += found["newly_cancelled"].to_pylist().count(True)
        return found.select(ROW_SCHEMA.names).cast(ROW_SCHEMA) if found.num_rows else None

    def _all_new(self, rows: pa.Table) -> pa.Table:
        self.new += rows.num_rows
        return rows


# for the receipt's count only; what the analytics call cancelled is decided in models/analytics/pickups.sql, alike
_IS_CANCELLED = "(lower({0}.pickup_status) = 'cancelled' or {0}.cancelled_at is not null)"
_DIFFERS = " or ".join(f"listed.{c} is distinct from stored.{c}" for c in ROW_SCHEMA.names)
_DIFFERENCE = f"""
    select listed.*,
           stored.id is null as is_new,
           {_IS_CANCELLED.format("listed")}
               and (stored.id is null or not {_IS_CANCELLED.format("stored")}) as newly_cancelled
    from listed
    left join {DATASET}.pickups as stored on stored.account = listed.account and stored.id = listed.id
    where stored.id is null or {_DIFFERS}
"""  # noqa: S608  # column names of our own schema


def record_states(warehouse: Path, observed_at: datetime) -> None:
    """Brings the status history up to the table, see history.py; nothing where nothing was loaded yet."""
    with opened(warehouse) as connection:
        if has_table(connection, "pickups"):
            connection.execute("begin")
            history.record(connection, observed_at)
            connection.execute("commit")


def conclude(warehouse: Path, receipt: Receipt) -> bool:
    """Writes status history, receipt, views and checks as one transaction; tells whether there is aught to publish.

    Fills the receipt's `checks_failed`. Checks see the run's own `as_of`, so the receipt goes in before them; it
    goes in again with what they found. After a failed first run there are no tables, and nothing for readers.
    """
    with opened(warehouse) as connection:
        connection.execute("begin")
        write_receipt(connection, receipt)
        if loaded := has_table(connection, "pickups"):
            history.record(connection, receipt.observed_at or receipt.started_at)
            models.build(connection)
            results = models.check(connection)
            receipt.checks_failed = {r.name: r.rows for r in results if r.rows}
            receipt.must_pass_failed = any(r.rows and r.must_pass for r in results)
            write_receipt(connection, receipt)
        connection.execute("commit")
        return loaded


def write_receipt(connection: duckdb.DuckDBPyConnection, receipt: Receipt) -> None:
    """The receipt as a row of `sendcloud.pickup_runs`, in place of an earlier one of the same run.

    Columns that a newer version brings are added to an older table.
    """
    row = pa.Table.from_pylist([receipt.as_row()], schema=receipt_schema())
    table = f"{DATASET}.pickup_runs"
    connection.register("receipt", row)
    connection.execute(f"create schema if not exists {DATASET}")
    connection.execute(f"create table if not exists {table} as select * from receipt limit 0")  # noqa: S608
    there = {name for name, *_ in connection.execute(f"describe {table}").fetchall()}
    for name, kind, *_ in connection.execute("describe receipt").fetchall():
        if name not in there:
            connection.execute(f'alter table {table} add column "{name}" {kind}')
    connection.execute(f"delete from {table} where run_id in (select run_id from receipt)")  # noqa: S608
    connection.execute(f"insert into {table} by name select * from receipt")  # noqa: S608
    connection.unregister("receipt")


def receipt_schema() -> pa.Schema:
    """Column names and Arrow types of `pickup_runs`, from the receipt's own fields; mappings are text."""
    fields: dict[str, Any] = get_type_hints(Receipt)
    return pa.schema([(name, _arrow_type(hint)) for name, hint in fields.items()])


def _arrow_type(hint: Any) -> pa.DataType:
    kinds = [kind for kind in (hint, *get_args(hint)) if kind in _ARROW]
    return _ARROW[kinds[0]] if kinds and get_origin(hint) is not dict else pa.string()
