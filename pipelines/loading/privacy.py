"""Masks forgotten pickups and drops expired ones before their rows are compared, and deletes expired rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config.settings import get_setting
from pipelines.destinations.base import Backend, OpenSession
from pipelines.destinations.forgotten import MASK, delete_expired_pickups, forgotten_ids, has_expired_pickups
from pipelines.receipt import Receipt
from sources.sendcloud import ReadStats


def retention_starts_at(observed_at: datetime | None) -> datetime | None:
    """Returns the start of the UTC day before which pickups are deleted, or None if all are kept.

    The day depends on the API's clock or this machine's clock, whichever shows the earlier time. Otherwise, a clock
    that is ahead would cause pickups to be deleted too early.
    """
    months: int = get_setting("retention.pickups_months")
    if not months or not observed_at:
        return None
    now = min(observed_at, datetime.now(UTC)).astimezone(UTC)
    year, month = divmod(now.year * 12 + now.month - 1 - months, 12)
    return datetime(year, month + 1, min(now.day, 28), tzinfo=UTC)


@dataclass
class PrivacyFilter:
    """The first dlt step: masks forgotten pickups, and drops pickups that are older than `[retention]` allows.

    The tables contain no expired pickups and only masked versions of forgotten ones, so neither kind counts as new or
    changed.
    """

    open_session: OpenSession  # opens a session over the account's tables while no other account writes
    stats: ReadStats
    expired_rows: int = 0  # listed pickups and rejected records that were not loaded, because they are too old
    _forgotten: pa.Array | None = None

    @property
    def starts_at(self) -> datetime | None:
        """The time before which pickups are dropped, or None."""
        return retention_starts_at(self.stats.observed_at)

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Returns the rows to compare and load."""
        return self._masked(self._kept(rows))

    def records(self, refused: pa.Table) -> pa.Table:
        """Returns the rejected records, except forgotten and expired ones, which the API still lists."""
        forgotten = set(map(str, self._ids().to_pylist()))
        if not refused.num_rows or not (forgotten or self.starts_at):
            return refused
        return refused.filter(pa.array([self._may_keep(text, forgotten) for text in refused["record"].to_pylist()]))

    def _may_keep(self, text: str, forgotten: set[str]) -> bool:
        with suppress(ValueError, TypeError, AttributeError):
            record, starts_at = json.loads(text), self.starts_at
            if str(record.get("id")) in forgotten:
                return False
            booked = record.get("created_at")
            is_expired = bool(starts_at and booked and datetime.fromisoformat(booked) < starts_at)
            self.expired_rows += is_expired
            return not is_expired
        return True

    def _kept(self, rows: pa.Table) -> pa.Table:
        starts_at = self.starts_at
        if not starts_at:
            return rows
        window = pc.coalesce(rows["pickup_until"], rows["pickup_from"], rows["created_at"]).cast(pa.int64())
        latest = pc.max_element_wise(rows["created_at"].cast(pa.int64()), window)
        first_us = pa.scalar(starts_at, rows["created_at"].type).cast(pa.int64())
        kept = rows.filter(pc.greater_equal(latest, first_us))
        self.expired_rows += rows.num_rows - kept.num_rows
        return kept

    def _masked(self, rows: pa.Table) -> pa.Table:
        ids = self._ids()
        if not len(ids):
            return rows
        is_forgotten = pc.is_in(rows["id"], ids)
        for name, mask in {"tracking_number": MASK, "extra": None}.items():
            place, kind = rows.schema.get_field_index(name), rows.schema.field(name)
            rows = rows.set_column(place, kind, pc.if_else(is_forgotten, pa.scalar(mask, kind.type), rows[name]))
        return rows

    def _ids(self) -> pa.Array:
        if self._forgotten is None:
            with self.open_session() as own:
                self._forgotten = pa.array(forgotten_ids(own, self.stats.account), pa.int64())
        return self._forgotten


def delete_expired(backend: Backend, receipts: Sequence[Receipt]) -> None:
    """Deletes pickups that are older than `[retention] pickups_months` allows, with their states.

    The caller must hold the lock and publish the result. Does nothing by default.
    """
    starts_at = {one.account: at for one in receipts if (at := retention_starts_at(one.observed_at))}
    if not starts_at:
        return
    with backend.session() as session:
        expired = {
            account: at
            for account, at in starts_at.items()
            if has_expired_pickups(session.for_account(account), account, at)
        }
    for account, at in expired.items():
        backend.account_editor().edit(account, partial(delete_expired_pickups, account=account, before=at))
