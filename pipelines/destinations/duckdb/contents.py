"""Reads all of a DuckDB file, which proves that the file is intact, and describes its contents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pipelines.destinations.base import DATASET
from pipelines.destinations.duckdb.blocks import may_be_damaged
from pipelines.destinations.duckdb.session import (
    IN_USE,
    NEWER_FORMAT,
    NOT_PERMITTED,
    DatabaseError,
    DuckDBSession,
    open_newest,
)
from pipelines.destinations.warehouse_mark import WarehouseMark, read_mark
from pipelines.errors import DestinationError, NewerLayout

# every file that this program wrote contains these tables
REQUIRED_TABLES = (f"{DATASET}.pickups", f"{DATASET}.pickup_runs")
# DuckDB's messages about intact files that can't be opened contain these words
NOT_DAMAGE = (*IN_USE, NOT_PERMITTED, NEWER_FORMAT)
_TABLES = """
    select schema_name, table_name from duckdb_tables()
    where database_name = current_database() and not temporary order by all
"""


class Contents(NamedTuple):
    """The contents of a file.

    Attributes:
        rows: the number of rows in each table, such as `sendcloud.pickups`, except tables that can't be read.
        accounts: the accounts with pickups or receipts.
        newest_run: when the newest good run observed the list, or None.
        mark: the mark in the file, or None if an older version wrote the file.
        damage: DuckDB's message about the first table that can't be read, or None.
    """

    rows: Mapping[str, int]
    accounts: frozenset[str] = frozenset()
    newest_run: datetime | None = None
    mark: WarehouseMark | None = None
    damage: str | None = None

    @property
    def pickups(self) -> int:
        """The number of pickups."""
        return self.rows.get(REQUIRED_TABLES[0], 0)

    def is_ours(self) -> bool:
        """Returns whether a run of this program wrote the file."""
        return all(table in self.rows for table in REQUIRED_TABLES)

    def __str__(self) -> str:
        newest = f"newest good run {self.newest_run:%Y-%m-%d %H:%M} UTC" if self.newest_run else "no good run"
        return f"{self.pickups:,} pickups of {', '.join(sorted(self.accounts)) or 'no account'}, {newest}"


def read_contents(path: Path) -> Contents:
    """Reads every value in the file and returns a description of its contents.

    Raises:
        DestinationError: the file can't be opened.
        DatabaseError: a table can't be read.
    """
    with open_newest(path) as session:
        rows = {table: _read_table(session, quoted) for table, quoted in _tables(session).items()}
        return _describe(session, Contents(rows))


def salvage_contents(path: Path) -> Contents:
    """Returns the file's contents as far as they can be read. Raises no errors."""
    rows: dict[str, int] = {}
    damage = None
    try:
        with open_newest(path) as session:
            for table, quoted in _tables(session).items():
                try:
                    rows[table] = _read_table(session, quoted)
                except DatabaseError as error:
                    damage = damage or first_line(error)
            with suppress(DatabaseError):
                return _describe(session, Contents(rows, damage=damage))
    except (DestinationError, NewerLayout, DatabaseError, OSError) as error:
        damage = damage or first_line(error.__cause__ or error)
    return Contents(rows, damage=damage)


def find_damage(path: Path) -> str | None:
    """Returns the evidence that the file is damaged, or None if it is intact or can't be examined.

    No other process may be writing to the file.
    """
    try:
        if not path.is_file():
            return f"it is a {'folder' if path.is_dir() else 'special file'}" if path.exists() else None
        with open_newest(path) as session:
            _tables(session)
        if may_be_damaged(path):
            read_contents(path)
    except NewerLayout:
        return None
    except (DatabaseError, DestinationError) as error:
        evidence = first_line(error.__cause__ or error)
        return None if any(words in evidence for words in NOT_DAMAGE) else evidence
    except OSError:
        return None
    return None


def first_line(error: BaseException) -> str:
    """Returns the first line of the error's text."""
    return str(error).split("\n")[0]


def _tables(session: DuckDBSession) -> dict[str, str]:
    """Returns a mapping from each table's usual name, such as `sendcloud.pickups`, to its quoted name in the file."""
    usual = {session.names.data: DATASET}
    found = session.execute(_TABLES).fetchall()
    return {f"{usual.get(schema, schema)}.{name}": f'"{schema}"."{name}"' for schema, name in found}


def _read_table(session: DuckDBSession, quoted: str) -> int:
    """Returns the number of rows. Hashing forces DuckDB to read every row; a count alone would not."""
    query = f"select count(*), bit_xor(hash(every)) from {quoted} as every"  # noqa: S608  # from the catalog
    ((rows, _),) = session.execute(query).fetchall()
    return int(rows)


def _describe(session: DuckDBSession, found: Contents) -> Contents:
    if not found.is_ours():
        return found._replace(mark=read_mark(session, "the copy"))
    accounts = "select account from sendcloud.pickups union select account from sendcloud.pickup_runs"
    ((newest_run,),) = session.execute(_newest_run_query(session.columns("pickup_runs"))).fetchall()
    names = frozenset(name for (name,) in session.execute(accounts).fetchall())
    return found._replace(accounts=names, newest_run=newest_run, mark=read_mark(session, "the copy"))


def _newest_run_query(columns: Sequence[str]) -> str:
    """Returns the query for `newest_run`. Runs are ordered by number, because a clock may be wrong."""
    # versions before 2026-11-28 have no run numbers
    order = "run_number desc nulls last, " if "run_number" in columns else ""
    time = "coalesce(observed_at, started_at)" if "observed_at" in columns else "started_at"
    return f"""
        select max(seen_at) from (
            select distinct on (account) {time} as seen_at from sendcloud.pickup_runs
            where outcome = 'succeeded' order by account, {order}started_at desc
        )
    """  # noqa: S608  # the names are constants
