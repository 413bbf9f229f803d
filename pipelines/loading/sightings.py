"""Records which pickups were listed, for sweeps and the quarantine, before the rows are loaded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from pipelines.bookkeeping import quarantine, sweep
from pipelines.destinations.base import OpenSession
from pipelines.loading.change_detection import ListedRows
from pipelines.loading.open_pickups import OpenPickups
from sources.sendcloud import ReadStats
from sources.sendcloud.records.tables import QUARANTINE_SCHEMA


@dataclass
class SightingRecorder:
    """A dlt step that records which pickups were listed and passes on the rows to load.

    The step follows the ChangeDetector. A sighting remains valid even if the load fails, and recording a sighting twice
    is harmless.

    Attributes:
        open_session: opens a session over the account's tables while no other account writes.
        stats: the account's read statistics.
        unread_before: the booking time (UTC) before which no ordinary run would have read a row. If None, no row counts
            as missed.
    """

    open_session: OpenSession
    stats: ReadStats
    open_pickups: OpenPickups
    unread_before: datetime | None = None

    def __call__(self, listed: ListedRows) -> pa.Table | None:
        """Records the rows as listed. Returns the rows to load, or None if there are none."""
        with self.open_session() as own:
            own.register("listed", listed.rows)
            own.register("found", listed.changed_ids)
            sweep.note_listed_rows(own, self.stats, self.unread_before)
            self.open_pickups.note_listed(own, listed.rows, creates_table=listed.creates_table)
            assert self.stats.observed_at  # noqa: S101  # rows come from a page, and every page has a time
            quarantine.mark_resolved(own, self.stats.observed_at)
        return listed.to_load()


def keep_first_seen(open_session: OpenSession, refused: pa.Table) -> pa.Table:
    """Returns the rejected records, with the stored `first_seen_at` for records already in the table.

    A dlt step for the quarantine that preserves a record's first-seen time when the record is rejected again.
    """
    if not refused.num_rows:
        return refused
    with open_session() as own:
        if not own.has_table("pickups_quarantine"):
            return refused
        own.register("refused", refused)
        return own.sql(_FIRST_SEEN).to_arrow_table().cast(QUARANTINE_SCHEMA)


_FIRST = "refused.first_seen_at"
_LATEST = ", ".join(f"refused.{name}" for name in QUARANTINE_SCHEMA.names)
_FIRST_SEEN = f"""
    select {_LATEST.replace(_FIRST, f"least(stored.first_seen_at, {_FIRST}) as first_seen_at")}
    from refused
    left join sendcloud.pickups_quarantine as stored
        on stored.account = refused.account and stored.record_hash = refused.record_hash
"""  # noqa: S608  # the column names are those of QUARANTINE_SCHEMA
