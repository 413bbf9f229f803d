"""Detects changes by comparing listed rows with the table before the rows are loaded. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.destinations.base import DATASET, OpenSession, Session
from pipelines.errors import IdMismatch
from sources.sendcloud import ReadStats
from sources.sendcloud.records.tables import INSTANT, ROW_SCHEMA, are_descending

MIN_ROWS_TO_LOOK_UP = 10_000


class ListedRows(NamedTuple):
    """Rows that the API listed, with the ids of those that would change the table.

    Attributes:
        rows: the rows, in the order in which the API listed them.
        changed_ids: a table whose `id` column contains the ids of new and changed rows.
        creates_table: whether the table does not exist yet. Without a table, even an empty set of rows must be loaded,
            because the load creates the columns.
    """

    rows: pa.Table
    changed_ids: pa.Table
    creates_table: bool

    def to_load(self) -> pa.Table | None:
        """Returns the rows that are new or differ in any column, in their original order.

        Returns None if no row is new or different, unless the table must be created.
        """
        if self.changed_ids.num_rows == self.rows.num_rows:
            return self.rows if self.rows.num_rows or self.creates_table else None
        if not self.changed_ids.num_rows:
            return None
        return self.rows.filter(pc.is_in(self.rows["id"], self.changed_ids["id"]))


@dataclass
class ChangeDetector:
    """A dlt step that finds new and changed rows, added with `resource.add_map(detector)`.

    The counts are based on the table as it was before the load, so they remain valid even if the load fails.

    Attributes:
        open_session: opens a session over the account's tables while no other account writes.
        stats: the account's read statistics.
        new: the number of pickups that are not in the table.
        changed: the number of pickups that differ from their row in the table.
        unchanged: the number of pickups that are identical to their row in the table.
        cancelled: the number of pickups cancelled since the last run: those that are not cancelled in the table, and
            those that were booked since then. In a first load, older pickups don't count.
    """

    open_session: OpenSession
    stats: ReadStats
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    cancelled: int = 0

    def __call__(self, rows: pa.Table) -> ListedRows:
        """Returns the rows with the ids of new and changed rows, and updates the counts.

        Raises:
            IdMismatch: the API version has changed, and the new version gives a pickup a different id.
        """
        with self.open_session() as own:
            if not own.has_table("pickups"):
                self.new += _count_ids(rows)
                return ListedRows(rows, rows.select(["id"]), creates_table=True)
            own.register("listed", rows)
            if self.stats.api_version_before:
                _check_ids(own, self.stats)
            found = own.sql(_CHANGED_ROWS if _may_be_stored(own, rows) else _NEW_ROWS).to_arrow_table()
        self.new += _count_ids(found.filter(found["is_new"]))
        self.changed += found["is_new"].to_pylist().count(False)
        self.unchanged += rows.num_rows - found.num_rows
        self.cancelled += _count_cancelled(found, self.stats.new_from)
        return ListedRows(rows, found.select(["id"]), creates_table=False)


def _may_be_stored(connection: Session, rows: pa.Table) -> bool:
    """Returns False if none of the listed pickups are in the table, which is normal during a first load.

    Comparing 200,000 new rows takes 60 ms, and this query 10 ms (2026-11-30). An ordinary run lists fewer rows, and
    most of them are in the table, so its rows are always compared.
    """
    if rows.num_rows < MIN_ROWS_TO_LOOK_UP:
        return True
    ((is_stored,),) = connection.execute(_IS_ANY_STORED).fetchall()
    return bool(is_stored)


def _check_ids(connection: Session, stats: ReadStats) -> None:
    """Raises IdMismatch if the listed rows and the table give a pickup different ids under two versions of the API.

    After a merge, the table would contain that pickup twice. The ids differ if a stored id
    now belongs to a pickup with a different booking time. They also differ if the table has a pickup with the same
    carrier, booking time and window under an id that is not listed.
    """
    found = connection.execute(_ID_MISMATCHES).fetchall()
    if found:
        version_before, id_before, id_, carrier, created_at = found[0]
        raise IdMismatch(stats.account, version_before, stats.api_version, id_before, id_, carrier, created_at)


def _count_cancelled(found: pa.Table, new_from: datetime | None) -> int:
    """Returns the number of newly cancelled pickups. A new pickup counts only if it was booked after the last run."""
    counts = pc.invert(found["is_new"])
    if new_from:
        counts = pc.or_(counts, pc.greater_equal(found["created_at"], pa.scalar(new_from, INSTANT)))
    return int(pc.sum(pc.and_(found["newly_cancelled"], counts)).as_py() or 0)


def _count_ids(rows: pa.Table) -> int:
    """Returns the number of distinct ids.

    If an id occurs twice, the table gains more rows than this count. The `unique_key` check detects the difference.
    Counting 100,000 distinct ids takes 19 ms, and finding out that they are in order 0.4 ms (2026-11-30).
    """
    if are_descending(rows["id"]):
        return int(rows.num_rows)
    return int(pc.count_distinct(rows["id"]).as_py())


# This rule determines which pickups the receipt counts as cancelled. The file analytics/sql/views/pickups.sql applies
# the same rule to the views.
_IS_CANCELLED = (
    "(lower({0}.pickup_status) = 'cancelled' "
    "or ({0}.cancelled_at is not null and lower({0}.pickup_status) not like 'cancellation%'))"
)
_STORED_EXPRESSIONS = {
    "api_version": "coalesce(stored.api_version, 'v2')",  # Older rows have no version, because they came from v2.
    **{name: f"stored.{name}::text" for name in ("extra", "time_slots")},  # These JSON columns keep the original text.
}
_IS_DIFFERENT = " or ".join(
    f"listed.{c} is distinct from {_STORED_EXPRESSIONS.get(c, f'stored.{c}')}" for c in ROW_SCHEMA.names
)
_ID_MISMATCHES = f"""
    select {_STORED_EXPRESSIONS["api_version"]}, stored.id, listed.id, listed.carrier, listed.created_at
    from listed
    join {DATASET}.pickups as stored on stored.account = listed.account and stored.id = listed.id
    where {_STORED_EXPRESSIONS["api_version"]} <> listed.api_version and stored.created_at <> listed.created_at
    union all
    select {_STORED_EXPRESSIONS["api_version"]}, stored.id, listed.id, listed.carrier, listed.created_at
    from listed
    join {DATASET}.pickups as stored
        on stored.account = listed.account and stored.carrier = listed.carrier
        and stored.created_at = listed.created_at
        and stored.pickup_from is not distinct from listed.pickup_from
        and stored.pickup_until is not distinct from listed.pickup_until
    where {_STORED_EXPRESSIONS["api_version"]} <> listed.api_version and stored.id <> listed.id
        and stored.id not in (select id from listed)
        and not exists (
            select 1 from {DATASET}.pickups as known where known.account = listed.account and known.id = listed.id
        )
    limit 1
"""  # noqa: S608  # the inserted names are constants
_IS_ANY_STORED = f"""
    select exists (
        select 1 from listed join {DATASET}.pickups as stored
            on stored.account = listed.account and stored.id = listed.id
    )
"""  # noqa: S608  # the inserted name is a constant
_NEW_ROWS = f"""
    select id, created_at, true as is_new, {_IS_CANCELLED.format("listed")} as newly_cancelled
    from listed
"""  # noqa: S608  # as above
_CHANGED_ROWS = f"""
    select listed.id,
           listed.created_at,
           stored.id is null as is_new,
           {_IS_CANCELLED.format("listed")}
               and (stored.id is null or not {_IS_CANCELLED.format("stored")}) as newly_cancelled
    from listed
    left join {DATASET}.pickups as stored on stored.account = listed.account and stored.id = listed.id
    where stored.id is null or {_IS_DIFFERENT}
"""  # noqa: S608  # the column names are those of ROW_SCHEMA
