"""Replaces a damaged or missing warehouse with its published copy during a run, if no data can be lost."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pipelines.destinations.base import Recovery
from pipelines.destinations.duckdb.blocks import read_format
from pipelines.destinations.duckdb.contents import Contents, find_damage, first_line, read_contents, salvage_contents
from pipelines.destinations.duckdb.copies import decision_remedy
from pipelines.destinations.duckdb.ownership import Files, is_published_by_original
from pipelines.destinations.duckdb.replacement import has_log, log_of, replace_warehouse
from pipelines.destinations.duckdb.session import DatabaseError, DuckDBSession, open_newest
from pipelines.destinations.warehouse_mark import read_mark
from pipelines.errors import DestinationError

# a database without tables is smaller, so a larger file must contain tables and need not be opened
SMALL_BYTES = 1_000_000
# These queries return the keys of the data that earlier runs stored. A load's id is the time at which the load was
# created. If the clock of an earlier run was ahead, the ids of its loads are in the future.
_WORK = {
    "loads": """
        select load_id from sendcloud._dlt_loads where status = 0 and (
            coalesce(try_cast(load_id as double), 0) < $begun_at or coalesce(try_cast(load_id as double), 0) > $now
        )
    """,
    "good runs": """
        select run_id from sendcloud.pickup_runs
        where outcome = 'succeeded' and not list_contains($own_runs, run_id)
    """,
}
_HAS_OBJECTS = """
    select 1 from duckdb_tables() where database_name = current_database()
    union all
    select 1 from duckdb_views() where database_name = current_database() and not internal
    limit 1
"""

CONSTRAINT = "violates unique constraint"
_UNIQUE_INDEXES = """
    select index_name, table_name from duckdb_indexes()
    where database_name = current_database() and schema_name = ? and is_unique order by all limit 1
"""


def index_problem(session: DuckDBSession) -> tuple[str, str] | None:
    """Returns the evidence and the remedy if a person has added a unique index to one of our tables, else None."""
    for index, table in session.execute(_UNIQUE_INDEXES, [session.names.data]).fetchall():
        return (
            f"the unique index {index} on {session.names.data}.{table} rejects changed rows, because DuckDB still "
            "counts the replaced rows",
            "This program did not create the index. To drop the index, run in the warehouse: drop index "
            f"{session.names.data}.{index}. The check unique_key still detects duplicate pickups.",
        )
    return None


class Problem(NamedTuple):
    """A problem with the warehouse: its description in messages, and whether the file is damaged."""

    text: str
    is_damage: bool = False


@dataclass(frozen=True)
class FileRecovery(Recovery):
    """Implements Recovery (destinations/base.py) with the published file as the backup of the warehouse.

    The object must be created when the run begins, because `had_log` records whether a crashed run left a log.
    `own_runs` contains the ids of the run's receipts.
    """

    warehouse: Path
    published: Path
    accounts: Collection[str]
    own_runs: Sequence[str] = ()
    begun_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    had_log: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "had_log", has_log(self.warehouse))

    def before_run(self) -> str | None:
        return self._recover(_find_loss(self.warehouse, self.published))

    def after_failure(self, errors: Sequence[Exception], /) -> str | None:
        if any(CONSTRAINT in str(error) for error in errors):
            with open_newest(self.warehouse) as session:
                if problem := index_problem(session):
                    raise DestinationError(str(self.warehouse), *problem)
        return self._recover(self._find_damage())

    def finding(self) -> str | None:
        """Returns what a run would do about the warehouse, or None if nothing is wrong with it. Changes nothing.

        Raises:
            DestinationError: a run would refuse to replace the warehouse.
        """
        problem = _find_loss(self.warehouse, self.published) or self._find_damage()
        if not problem or not (copy := self._usable_copy(problem)):
            return None
        return f"it {problem.text}; the next run replaces it with the published copy ({copy})"

    def _find_damage(self) -> Problem | None:
        damage = find_damage(self.warehouse)
        return Problem(f"is damaged ({damage})", is_damage=True) if damage else None

    def _recover(self, problem: Problem | None) -> str | None:
        """Replaces the warehouse and returns what was done. Returns None if there is nothing to do.

        Raises:
            DestinationError: a person must decide what to do.
        """
        if not problem or not (copy := self._usable_copy(problem)):
            return None
        kept = replace_warehouse(self.warehouse, self.published, "damaged")
        where = f" The old file is kept as {kept}." if kept else ""
        return (
            f"The warehouse {self.warehouse} {problem.text}. It was replaced with the published copy ({copy}), and "
            f"everything since then was read again.{where}"
        )

    def _usable_copy(self, problem: Problem) -> Contents | None:
        """Returns the contents of the published copy, or None if the warehouse never existed.

        Raises:
            DestinationError: a person must decide what to do.
        """
        has_copy = self.published.is_file() and self.published.stat().st_size > 0
        if not problem.is_damage and not self.had_log and not (has_copy and read_format(self.published)):
            return None  # this is a first run; the ownership check reports a published path that is already in use
        if self.warehouse.is_dir():
            raise self._refusal(problem, "a folder can't be a warehouse")
        if self.had_log:
            raise self._refusal(problem, f"{log_of(self.warehouse)} may contain rows that were never published")
        if not has_copy:
            raise self._refusal(problem, f"there is no published copy at {self.published}")
        copy = self._read_copy(problem)
        if not copy.is_ours() or self._is_of_another_warehouse(copy):
            if not problem.is_damage:
                return None  # as above
            raise self._refusal(problem, f"{self.published} is not a copy of it")
        if not copy.accounts & {*self.accounts}:
            others = ", ".join(sorted(copy.accounts)) or "no account"
            raise self._refusal(problem, f"{self.published} contains {others}, but no account that is configured here")
        if newer := self._unpublished():
            raise self._refusal(problem, f"it contains {newer} that the published copy lacks")
        return copy

    def _is_of_another_warehouse(self, copy: Contents) -> bool:
        """Returns whether the marks differ, or the copy was published from another warehouse file that still exists."""
        if copy.mark is None:  # an older version wrote no mark
            return False
        own = salvage_contents(self.warehouse).mark if self.warehouse.is_file() else None
        is_other = own is not None and own.warehouse_id != copy.mark.warehouse_id
        return is_other or is_published_by_original(Files(self.warehouse, self.published), copy.mark)

    def _read_copy(self, problem: Problem) -> Contents:
        try:
            return read_contents(self.published)
        except (DatabaseError, DestinationError, OSError) as error:
            evidence = first_line(error.__cause__ or error)
            raise self._refusal(problem, f"the published copy can't be read either ({evidence})") from None

    def _unpublished(self) -> str:
        """Returns a description of what earlier runs loaded but did not publish, or "" if they published everything.

        This run's own loads don't count, because their pickups are read again.
        """
        own = {"begun_at": self.begun_at.timestamp(), "now": datetime.now(UTC).timestamp(), "own_runs": self.own_runs}
        for what, query in _WORK.items():
            asked = {name: value for name, value in own.items() if f"${name}" in query}
            if missing := len(_keys(self.warehouse, query, asked) - _keys(self.published, query, asked)):
                return f"work ({what}: {missing:,})"
        return ""

    def _refusal(self, problem: Problem, reason: str) -> DestinationError:
        remedy = f"Nothing was changed. {decision_remedy(self.warehouse, self.published)}"
        return DestinationError(str(self.warehouse), f"the warehouse {problem.text}, and {reason}", remedy)


def _find_loss(warehouse: Path, published: Path) -> Problem | None:
    """Returns the problem if the warehouse is missing, or is empty although a published file exists, else None."""
    if not warehouse.exists():
        return Problem("is missing")
    if not warehouse.is_file() or warehouse.stat().st_size > SMALL_BYTES or not published.is_file():
        return None
    with suppress(DatabaseError, DestinationError), open_newest(warehouse) as session:
        if not session.has_table("pickups") and not _is_of_somebody_else(session, warehouse):
            return Problem("contains no pickups")
    return None


def _is_of_somebody_else(session: DuckDBSession, warehouse: Path) -> bool:
    """Returns whether the database contains tables or views, but not our mark.

    The ownership check rejects a database without our mark.
    """
    return bool(session.execute(_HAS_OBJECTS).fetchall()) and read_mark(session, str(warehouse)) is None


def _keys(path: Path, query: str, asked: Mapping[str, object]) -> set[str]:
    """Returns the keys that the query finds, or an empty set if the file can't be read."""
    with suppress(DatabaseError, DestinationError), open_newest(path) as session:
        return {key for (key,) in session.execute(query, asked).fetchall()}
    return set()
