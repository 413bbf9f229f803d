"""What a run reads, and when it may stop: pure functions over rows, and the small memory between runs.

The API has no filter, no `updated_at` and no documented order. What makes it safe to stop early all the same:
a pickup can change only while it is open, every open pickup lies after the frontier, and everything after the
frontier is read by every run, as long as the list proves on every run that it goes from new to old.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple, TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from .rows import END_OF_TIME_US, INSTANT

FINAL_STATUSES = ("cancelled", "failed")
NO_WINDOW = timedelta(days=7)  # the longest that a published window lies ahead of its booking
MAX_REMEMBERED = 10_000  # records in quarantine
# six shuffled rows happened to look sorted once in 10,000 runs over random accounts (2026-11); of ten rows that lie
# further apart than the overlap it happens to one shuffle in 3.6 million. Sendcloud's pages are far longer
ROWS_OF_EVIDENCE = 10


class Rules(NamedTuple):
    """How long a change may be late, and how much is read at a time. All from settings of the same names."""

    overlap: timedelta
    settle: timedelta
    max_lookback: timedelta
    page_size: int = 500
    pages_per_package: int = 400


class Memory(TypedDict, total=False):
    """What one account's run leaves to the next, kept in dlt's resource state (instants are UTC).

    Empty before the first complete walk: then everything is read.
    """

    newest_listed_at: datetime  # newest created_at that the list showed; the order check's reference
    oldest_open_at: datetime | None  # oldest created_at among open pickups within max_lookback
    beyond_lookback: dict[str, datetime]  # id -> when it settles: open, but too old to be read by every run
    quarantined: dict[str, datetime]  # record_hash -> first seen, of those that may yet be mended
    read_since: datetime | None  # the incremental's initial_value of the walk
    history_next: str  # the link at which history goes on; absent when the list was read to its end
    history_unsorted: bool  # its last package found no order: new rows come at the end, not at the top
    is_listed_once: bool  # the list was read to its end before: what goes on behind the head is read again
    is_sweep: bool  # it is read again because a sweep was asked for
    sweep_began_at: datetime  # the last sweep, also when it is over
    api_version: str  # which list all of this is about; absent in memories of before there were two: v2
    api_version_before: str  # as long as that list was not read to its end: by which version the table was filled


def frontier_of(memory: Memory, rules: Rules) -> datetime | None:
    """The instant down to which pages must be read; None: read to the end of the list.

    min(newest listed, oldest open) - overlap (design, section 3), but never further back than max_lookback
    before the newest: a window in 2035 must not cost a full read for ten years.
    """
    newest = memory.get("newest_listed_at")
    if newest is None:
        return None
    oldest_open = memory.get("oldest_open_at") or newest
    return max(min(newest, oldest_open), newest - rules.max_lookback) - rules.overlap


def was_read_to_its_end(memory: Memory) -> bool:
    """Whether the list was read to its end once, also by memories from before `is_listed_once` (0.1.0's first)."""
    return memory.get("is_listed_once", "newest_listed_at" in memory and "history_next" not in memory)


def settles_at(rows: pa.Table, settle: timedelta) -> pa.Array:
    """When each row can no longer change, whatever its status says: `settle` after the last of its instants.

    The latest of booking, window start and window end, so that an inverted window or one that lies before the
    booking (both published) keeps a pickup open for longer, never for less. One without a window (v3) is taken to be
    over NO_WINDOW after its booking, as the views take it.
    """
    booked_us = _epoch_us(rows["created_at"])
    window_us = pc.max_element_wise(*(_epoch_us(rows[c]) for c in ("pickup_from", "pickup_until")))
    last_us = pc.max_element_wise(booked_us, pc.coalesce(window_us, pc.add(booked_us, _us(NO_WINDOW))))
    return pc.min_element_wise(pc.add(last_us, _us(settle)), END_OF_TIME_US).cast(INSTANT)


def open_rows(rows: pa.Table, now: datetime, settle: timedelta) -> pa.Table:
    """id, created_at and settles_at of the rows that may still change at `now`.

    Open until settled, unless the status is final. An unknown status, and `Created` with `cancelled_at`, are open.
    """
    settled_at = settles_at(rows, settle)
    final = pc.is_in(pc.utf8_lower(rows["pickup_status"]), pa.array(FINAL_STATUSES))
    may_change = pc.and_(pc.invert(final), pc.greater(settled_at, _instant(now)))
    picked = rows.select(["id", "created_at"]).append_column("settles_at", settled_at)
    return picked.filter(may_change)


class Order:
    """Watches whether the list goes from new to old, page by page. Once it doesn't, it stays `broken`."""

    def __init__(self, reference: datetime | None, rules: Rules) -> None:
        self._reference_us: int | None = None if reference is None else _epoch_us(_instant(reference)).as_py()
        self._overlap_us = _us(rules.overlap)
        self._top_us: int | None = None  # newest of the first page
        self._lowest_us: int | None = None  # of all rows seen so far
        self._rows = 0
        self.broken = False

    @property
    def newest_first(self) -> bool:
        """Whether what was seen proves it; only then may a walk stop early.

        A few rows prove nothing. With a reference, the newest row of the time before, the first page proves it by
        showing that row or a newer one. Without (a first read that a start date bounds) the list must have gone down
        by more than the overlap.
        """
        if self.broken or self._top_us is None or self._lowest_us is None or self._rows < ROWS_OF_EVIDENCE:
            return False
        return self._reference_us is not None or self._top_us - self._lowest_us > self._overlap_us

    def see(self, rows: pa.Table) -> None:
        """Checks one page's rows, in the order they were listed. An empty page says nothing."""
        if rows.num_rows == 0:
            return
        self._rows += rows.num_rows
        created_us = _epoch_us(rows["created_at"]).combine_chunks()
        if self._top_us is None:
            self._top_us = pc.max(created_us).as_py()
            missing = self._reference_us is not None and self._top_us < self._reference_us - self._overlap_us
            self.broken = self.broken or missing
        lowest = pc.cumulative_min(created_us)
        if self._lowest_us is not None:
            lowest = pc.min_element_wise(lowest, self._lowest_us)
        climb_us = pc.max(pc.subtract(created_us, lowest)).as_py()
        self.broken = self.broken or climb_us > self._overlap_us
        self._lowest_us = lowest[-1].as_py()


def lies_before(rows: pa.Table, instant: datetime) -> bool:
    """Whether a page has rows and all of them were booked before `instant`."""
    newest: datetime | None = pc.max(rows["created_at"]).as_py()
    return newest is not None and newest < instant


def remember(
    memory: Memory,
    rows: pa.Table,
    *,
    unread: Sequence[datetime],
    now: datetime,
    rules: Rules,
    read_to_end: bool = False,
    further_back: bool = False,
) -> tuple[Memory, int]:
    """The next run's memory, and how many open pickups within the lookback are among the rows of a complete walk.

    `unread` are the bookings of records in quarantine that may be mended yet: they hold the frontier like open ones.
    After a read to the end the newest row seen becomes the reference, even if it is older than the last one: a newest
    pickup that vanished must not force full reads for ever. A walk `further_back` (the next package of a first load)
    adds to what the memory holds: its rows lie behind those that the memory speaks of.
    """
    newest = _newest_believable(rows, now, rules)
    if not read_to_end:
        newest = max(filter(None, [newest, memory.get("newest_listed_at")]), default=None)
    if newest is None:
        return {"quarantined": memory.get("quarantined", {})}, 0
    still_open = open_rows(rows, now, rules.settle)
    near = pc.greater_equal(still_open["created_at"], _instant(newest - rules.max_lookback))
    beyond = _not_read_again(memory, rows, now) | _settling(still_open.filter(pc.invert(near)))
    oldest_open = [pc.min(still_open.filter(near)["created_at"]).as_py(), *unread]
    if further_back:
        oldest_open.append(memory.get("oldest_open_at"))
    return {
        "newest_listed_at": newest,
        "oldest_open_at": min(filter(None, oldest_open), default=None),
        "beyond_lookback": beyond,
        "quarantined": memory.get("quarantined", {}),
    }, still_open.filter(near).num_rows


def first_seen_at(
    known: dict[str, datetime], met: dict[str, datetime], now: datetime, settle: timedelta
) -> dict[str, datetime]:
    """When records that can't be loaded were first seen: those just met, and others as long as they may be mended.

    At most MAX_REMEMBERED, for they travel in dlt's state with every load; one too many counts as new whenever it is
    met, so the frontier is held for longer, never for less.
    """
    kept = {record_hash: at for record_hash, at in known.items() if now < at + settle}
    return dict(islice((kept | met).items(), MAX_REMEMBERED))


def _newest_believable(rows: pa.Table, now: datetime, rules: Rules) -> datetime | None:
    """The newest booking that is not in the future: one of 2099 would put every real pickup beyond the lookback."""
    believable = pc.less_equal(rows["created_at"], _instant(now + rules.overlap))
    newest: datetime | None = pc.max(rows.filter(believable)["created_at"]).as_py()
    return newest


def _not_read_again(memory: Memory, rows: pa.Table, now: datetime) -> dict[str, datetime]:
    """Pickups beyond the lookback that this walk did not see, less those that have settled meanwhile."""
    beyond = memory.get("beyond_lookback", {})
    if not beyond:
        return {}
    read = set(rows["id"].to_pylist())
    return {id_: at for id_, at in beyond.items() if int(id_) not in read and at > now}


def _settling(rows: pa.Table) -> dict[str, datetime]:
    return dict(zip(map(str, rows["id"].to_pylist()), rows["settles_at"].to_pylist(), strict=True))


def _instant(value: datetime) -> pa.Scalar:
    return pa.scalar(value, INSTANT)


def _epoch_us(instants: Any) -> Any:
    """Arrow compares and sorts instants, but takes no maximum across columns of them: as integers it does."""
    return instants.cast(pa.int64())


def _us(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
