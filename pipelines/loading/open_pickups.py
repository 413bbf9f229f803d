"""Finds open pickups that the list should contain but doesn't, because a list that was cut short may look complete."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from pipelines.destinations.base import DATASET, Session
from sources.sendcloud import ReadStats
from sources.sendcloud.reading.frontier import ASSUMED_WINDOW, FINAL_STATUSES

# If a few pickups are removed from the list, a single run fails. If more than this share of the open pickups is
# missing, the list itself is considered incomplete.
MAX_REMOVED_SHARE = 0.1
_ALWAYS = datetime(1, 1, 1, tzinfo=UTC)
_FINAL = ", ".join(f"'{status}'" for status in FINAL_STATUSES)
# A walk that stops at the frontier lists every open pickup that was booked after the frontier. A pickup that only API
# v3 lists is not considered missing under v2.
_KNOWN = f"""
    select id, created_at from {DATASET}.pickups as stored
    where account = $account and created_at >= $since
        and lower(pickup_status) not in ({_FINAL})
        and (
            greatest(created_at, pickup_from, pickup_until) > $settled_before
            or (pickup_from is null and pickup_until is null and created_at > $assumed_settled_before)
        )
        and coalesce(api_version, 'v2') in ('v2', $version)
        and not exists (
            select 1 from {DATASET}.pickups_unlisted as gone where gone.account = stored.account and gone.id = stored.id
        )
"""  # noqa: S608  # the inserted names are constants
_NOTE_UNLISTED = f"insert into {DATASET}.pickups_unlisted select $account, unnest($ids), $since"  # as above


@dataclass
class OpenPickups:
    """An account's open pickups, and those that the run has not found in the list yet.

    Attributes:
        stats: the account's read statistics.
        settle: how long after its window a pickup may still change.
        known: the number of open pickups in the table that the list must contain; None until the first rows arrive.
        missing: the booking times of the open pickups that have not been listed yet, by id.
    """

    stats: ReadStats
    settle: timedelta
    known: int | None = None
    missing: dict[int, datetime] = field(default_factory=dict)

    def note_listed(self, connection: Session, rows: pa.Table, *, creates_table: bool) -> None:
        """Marks the rows' pickups as listed.

        The first call reads the open pickups from the table before the table changes.
        """
        if creates_table:
            self.known = 0
        elif self.known is None:
            self.missing = dict(connection.execute(_KNOWN, self._bounds()).fetchall())
            self.known = len(self.missing)
        if self.missing:
            for id_ in rows["id"].to_pylist():
                self.missing.pop(id_, None)

    def note_rejected(self, refused: pa.Table) -> pa.Table:
        """Marks rejected records as listed, and returns the records unchanged. dlt calls this method as a step."""
        for record in refused["record"].to_pylist() if self.missing else []:
            content = json.loads(record)
            id_ = content.get("id") if isinstance(content, dict) else None
            if isinstance(id_, int):
                self.missing.pop(id_, None)
        return refused

    def count_missing(self) -> int | None:
        """Returns the number of missing pickups, or None if the run read only the time window that a scheduler set."""
        return None if self.known is None or self.stats.is_window else len(self.missing)

    def note_removed(self, connection: Session) -> None:
        """Records missing pickups as unlisted, if they are few and the list continued beyond them.

        The next run then does not expect these pickups in the list.
        """
        oldest = self.stats.oldest_read_at
        is_cut = not oldest or min(self.missing.values()) < oldest
        if not is_cut and len(self.missing) <= max(1, MAX_REMOVED_SHARE * (self.known or 0)):
            about = {"account": self.stats.account, "ids": list(self.missing), "since": self.stats.observed_at}
            connection.execute(_NOTE_UNLISTED, about)

    def _bounds(self) -> dict[str, object]:
        settled = self.stats.settled_by or self.stats.observed_at
        assert settled  # noqa: S101  # rows come from a page, and every page has a time
        return {
            "account": self.stats.account,
            "since": self.stats.frontier or _ALWAYS,
            "settled_before": settled - self.settle,
            "assumed_settled_before": settled - self.settle - ASSUMED_WINDOW,
            "version": self.stats.api_version,
        }
