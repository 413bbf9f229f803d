"""What was listed, held against the table as it is: only what would change it is merged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import quarantine, sweep
from pipelines.turns import Turn
from pipelines.warehouse import DATASET, has_table, opened
from sources.sendcloud import Reading
from sources.sendcloud.rows import ROW_SCHEMA


@dataclass
class Compared:
    """Compares rows with the table as it is, and lets only those through that would change it.

    A dlt step: `resource.add_map(Compared(path, reading, turn))`. The counts are facts about the table, not about the
    load.
    """

    warehouse: Path
    reading: Reading
    turn: Turn
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    cancelled: int = 0
    outside: datetime | None = None  # rows booked before it, no ordinary run would have read
    _makes_table: bool = False

    def __call__(self, rows: pa.Table) -> pa.Table | None:
        """The rows that are new or differ in any column; None when there are none.

        Into a warehouse without the table everything goes, an empty table too: it makes the columns.
        """
        with self.turn, opened(self.warehouse) as connection:
            connection.register("listed", rows)
            found = self._different(connection, rows)
            connection.register("found", found)
            # facts now, whatever becomes of their load
            sweep.note(connection, self.reading, self.outside)
            assert self.reading.observed_at  # noqa: S101  # rows come of a page
            quarantine.resolve(connection, self.reading.observed_at)
        return found.select(ROW_SCHEMA.names).cast(ROW_SCHEMA) if found.num_rows or self._makes_table else None

    def _different(self, connection: Any, rows: pa.Table) -> pa.Table:
        self._makes_table = not has_table(connection, "pickups")
        if self._makes_table:
            self.new += _keys(rows)
            return rows
        found = connection.sql(_DIFFERENCE).to_arrow_table()
        self.new += _keys(found.filter(found["is_new"]))
        self.changed += found["is_new"].to_pylist().count(False)
        self.unchanged += rows.num_rows - found.num_rows
        self.cancelled += found["newly_cancelled"].to_pylist().count(True)
        return found


def _keys(rows: pa.Table) -> int:
    """How many pickups these are; were one there twice, the check of doubles would see that rows don't add up."""
    return int(pc.count_distinct(rows["id"]).as_py())


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
