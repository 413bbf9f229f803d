"""What was listed, held against the table as it is: only what would change it is merged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import quarantine, sweep
from pipelines.errors import IdsDiffer
from pipelines.store import DATASET, Connection, Store
from pipelines.turns import Turn
from sources.sendcloud import Reading
from sources.sendcloud.rows import ROW_SCHEMA


@dataclass
class Compared:
    """Compares rows with the table as it is, and lets only those through that would change it.

    A dlt step: `resource.add_map(Compared(store, reading, turn))`. The counts are facts about the table, not about the
    load.
    """

    store: Store
    reading: Reading
    turn: Turn
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    cancelled: int = 0
    outside: datetime | None = None  # rows booked before it, no ordinary run would have read
    _makes_table: bool = False

    def __call__(self, rows: pa.Table) -> pa.Table | None:
        """The rows that are new or differ in any column, in their order; None when there are none.

        Into a warehouse without the table everything goes, an empty table too: it makes the columns.
        """
        with self.turn, self.store.opened() as session:
            connection = session.of(self.reading.account)
            connection.register("listed", rows)
            found = self._different(connection, rows)
            connection.register("found", found)
            # facts now, whatever becomes of their load
            sweep.note(connection, self.reading, self.outside)
            assert self.reading.observed_at  # noqa: S101  # rows come of a page
            quarantine.resolve(connection, self.reading.observed_at)
        if found.num_rows or self._makes_table:
            return rows if found.num_rows == rows.num_rows else rows.filter(pc.is_in(rows["id"], found["id"]))
        return None

    def _different(self, connection: Connection, rows: pa.Table) -> pa.Table:
        self._makes_table = not connection.has_table("pickups")
        if self._makes_table:
            self.new += _keys(rows)
            return rows.select(["id"])
        if self.reading.api_version_before:
            _check_ids(connection, self.reading)
        found = connection.sql(_DIFFERENCE).to_arrow_table()
        self.new += _keys(found.filter(found["is_new"]))
        self.changed += found["is_new"].to_pylist().count(False)
        self.unchanged += rows.num_rows - found.num_rows
        self.cancelled += found["newly_cancelled"].to_pylist().count(True)
        return found


def _check_ids(connection: Connection, reading: Reading) -> None:
    """Raises IdsDiffer where another version of the API calls a pickup by another id: merged, it would be there twice.

    Either the id is now that of a pickup booked at another time, or a pickup of the same carrier, booking and window
    is there under an id that is not listed.
    """
    found = connection.execute(_OTHER_IDS).fetchall()
    if found:
        version_before, id_before, id_, carrier, created_at = found[0]
        raise IdsDiffer(reading.account, version_before, reading.api_version, id_before, id_, carrier, created_at)


def _keys(rows: pa.Table) -> int:
    """How many pickups these are; were one there twice, the check of doubles would see that rows don't add up."""
    return int(pc.count_distinct(rows["id"]).as_py())


# for the receipt's count only; what the analytics call cancelled is decided in models/analytics/pickups.sql, alike
_IS_CANCELLED = (
    "(lower({0}.pickup_status) = 'cancelled' "
    "or ({0}.cancelled_at is not null and lower({0}.pickup_status) not like 'cancellation%'))"
)
_STORED = {
    "api_version": "coalesce(stored.api_version, 'v2')",  # of before there were two
    **{name: f"stored.{name}::text" for name in ("extra", "time_slots")},  # JSON there, and kept as it was sent
}
_DIFFERS = " or ".join(f"listed.{c} is distinct from {_STORED.get(c, f'stored.{c}')}" for c in ROW_SCHEMA.names)
_OTHER_IDS = f"""
    select {_STORED["api_version"]}, stored.id, listed.id, listed.carrier, listed.created_at
    from listed
    join {DATASET}.pickups as stored on stored.account = listed.account and stored.id = listed.id
    where {_STORED["api_version"]} <> listed.api_version and stored.created_at <> listed.created_at
    union all
    select {_STORED["api_version"]}, stored.id, listed.id, listed.carrier, listed.created_at
    from listed
    join {DATASET}.pickups as stored
        on stored.account = listed.account and stored.carrier = listed.carrier
        and stored.created_at = listed.created_at
        and stored.pickup_from is not distinct from listed.pickup_from
        and stored.pickup_until is not distinct from listed.pickup_until
    where {_STORED["api_version"]} <> listed.api_version and stored.id <> listed.id
        and stored.id not in (select id from listed)
        and not exists (
            select 1 from {DATASET}.pickups as known where known.account = listed.account and known.id = listed.id
        )
    limit 1
"""  # noqa: S608  # a name of our own
_DIFFERENCE = f"""
    select listed.id,
           stored.id is null as is_new,
           {_IS_CANCELLED.format("listed")}
               and (stored.id is null or not {_IS_CANCELLED.format("stored")}) as newly_cancelled
    from listed
    left join {DATASET}.pickups as stored on stored.account = listed.account and stored.id = listed.id
    where stored.id is null or {_DIFFERS}
"""  # noqa: S608  # column names of our own schema
