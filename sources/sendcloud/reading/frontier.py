"""Decides which pages a run reads and when to stop, based on the rows read so far and the memory of earlier runs.

The API has no filter, no `updated_at` and no documented order. Stopping before the end of the list is still safe. A
pickup can change only while it is open. Every run reads all pickups booked after the frontier, including every open
pickup within the lookback. A run may stop early only after proving that the list is sorted from newest to oldest.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple, TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from ..records.tables import END_OF_TIME_US, INSTANT
from .instants import epoch_us, instant, microseconds

FINAL_STATUSES = ("cancelled", "failed")
ASSUMED_WINDOW = timedelta(days=7)  # No published example has a window more than 7 days after its booking.
MAX_REMEMBERED = 10_000  # The maximum number of quarantined records in the memory.


class Rules(NamedTuple):
    """The limits on how late a change may arrive and on how much a run reads at a time.

    Each field corresponds to the setting of the same name. Settings in hours or days are converted to time spans.
    """

    overlap: timedelta
    settle: timedelta
    max_lookback: timedelta
    page_size: int = 500
    pages_per_package: int = 400
    read_back_to: datetime | None = None  # an argument of the source, and not a setting


class Memory(TypedDict, total=False):
    """The state that a run stores for the account's next run, in dlt's resource state. All times are in UTC.

    Before the first complete walk, the memory is empty. With an empty memory, a run reads the whole list.
    """

    newest_listed_at: datetime  # The newest booking time in the list, which the order check uses as its reference.
    oldest_open_at: datetime | None  # The oldest booking time of the open pickups within the lookback.
    oldest_open_id: int | None  # The oldest open pickup's id, or None if a quarantined record is older.
    missing_since: datetime  # The time since which the oldest open pickup has been missing from the list.
    observed_at: datetime  # The `as_of` of the run that last changed this memory.
    beyond_lookback: dict[str, datetime]  # The times at which open pickups beyond the lookback settle, by id.
    quarantined: dict[str, datetime]  # When each record that may still be corrected was first seen, by hash.
    read_since: datetime | None  # The initial_value of dlt's incremental during the walk.
    history_next: str  # The link at which history resumes; absent if the list has been read to its end.
    history_unsorted: bool  # True if the last package was unsorted, so new rows may come at the end.
    is_listed_once: bool  # True if the list has been read to its end, so history contains known rows.
    is_sweep: bool  # True if history is read again because of a sweep.
    sweep_began_at: datetime  # The start time of the last sweep, even if that sweep is complete.
    api_version: str  # The API version that this memory describes; v2 if this field is missing.
    api_version_before: str  # The API version that filled the table, until the new list has been read to its end.


def compute_frontier(memory: Memory, rules: Rules) -> datetime | None:
    """Returns the earliest booking time that a run must read, or None if the run must read the whole list.

    The frontier is min(newest listed, oldest open) - overlap, or `read_back_to` if that is earlier. An open pickup
    counts only if it was booked at most max_lookback before the newest pickup. Otherwise, a pickup with a window in
    2035 would force full reads for ten years.
    """
    newest = memory.get("newest_listed_at")
    if newest is None:
        return None
    oldest_open = memory.get("oldest_open_at") or newest
    frontier = max(min(newest, oldest_open), newest - rules.max_lookback) - rules.overlap
    return min(frontier, rules.read_back_to or frontier)


def has_reached_end(memory: Memory) -> bool:
    """Returns whether the list was read to its end at least once.

    Early builds of 0.1.0 did not store `is_listed_once`. If `is_listed_once` is missing, the result is derived from
    the other fields.
    """
    return memory.get("is_listed_once", "newest_listed_at" in memory and "history_next" not in memory)


def settles_at(rows: pa.Table, settle: timedelta) -> pa.Array:
    """Returns the UTC time at which each row settles. A settled row can't change, regardless of its status.

    A row settles when `settle` has passed since the latest of its booking, window start and window end. The published
    examples contain inverted windows and windows before the booking. In those cases, using the latest time may keep a
    pickup open too long, but never settles a pickup too early. If a row has no window (v3), its window is assumed to
    end ASSUMED_WINDOW after the booking, as in the analytics views.
    """
    booked_us = epoch_us(rows["created_at"])
    window_us = pc.max_element_wise(*(epoch_us(rows[c]) for c in ("pickup_from", "pickup_until")))
    last_us = pc.max_element_wise(booked_us, pc.coalesce(window_us, pc.add(booked_us, microseconds(ASSUMED_WINDOW))))
    return pc.min_element_wise(pc.add(last_us, microseconds(settle)), END_OF_TIME_US).cast(INSTANT)


def open_rows(rows: pa.Table, now: datetime, settle: timedelta) -> pa.Table:
    """Returns id, created_at and settles_at of the rows that may still change after `now`.

    A row is open until it settles, unless its status is final. An unknown status does not count as final. A `Created`
    row is open even if the row has a `cancelled_at`.
    """
    settled_at = settles_at(rows, settle)
    final = pc.is_in(pc.utf8_lower(rows["pickup_status"]), pa.array(FINAL_STATUSES))
    may_change = pc.and_(pc.invert(final), pc.greater(settled_at, instant(now)))
    picked = rows.select(["id", "created_at"]).append_column("settles_at", settled_at)
    return picked.filter(may_change)


def next_memory(
    memory: Memory,
    rows: pa.Table,
    *,
    unread: Sequence[datetime],
    now: datetime,
    rules: Rules,
    read_to_end: bool = False,
    further_back: bool = False,
) -> tuple[Memory, int]:
    """Returns the next run's memory, and the number of open pickups in `rows` that are within the lookback.

    Args:
        memory: the memory that the walk started with.
        rows: all rows of a complete walk.
        unread: booking times of quarantined records that may still be corrected. Like open pickups, these
            records hold the frontier back.
        now: the time of the run, by the earlier plausible clock.
        rules: the source's settings.
        read_to_end: whether the newest row of this walk becomes the reference, even if the previous reference is newer.
            Otherwise, if the newest pickup vanished from the list, every later run would read the whole list.
        further_back: whether the walk read a package of history. That package lies further back than the rows that the
            memory describes, so the result combines the memory and the new rows.
    """
    newest = _newest_plausible(rows, now, rules)
    if not read_to_end:
        newest = max(filter(None, [newest, memory.get("newest_listed_at")]), default=None)
    if newest is None:
        return {"quarantined": memory.get("quarantined", {})}, 0
    still_open = open_rows(rows, now, rules.settle)
    near = pc.greater_equal(still_open["created_at"], instant(newest - rules.max_lookback))
    beyond = _beyond_lookback(memory, rows, now) | _settling(still_open.filter(pc.invert(near)))
    oldest_open = [*_oldest(still_open.filter(near)), *((booked, None) for booked in unread)]
    if further_back and (known := memory.get("oldest_open_at")):
        oldest_open.append((known, memory.get("oldest_open_id")))
    oldest_at, oldest_id = min(oldest_open, key=lambda one: one[0], default=(None, None))
    return {
        "newest_listed_at": newest,
        "oldest_open_at": oldest_at,
        "oldest_open_id": oldest_id,
        "beyond_lookback": beyond,
        "quarantined": memory.get("quarantined", {}),
    }, still_open.filter(near).num_rows


def first_seen_at(
    known: dict[str, datetime], met: dict[str, datetime], now: datetime, settle: timedelta
) -> dict[str, datetime]:
    """Returns the time at which each quarantined record was first seen, keyed by record hash.

    The result contains the records in `met`, and the records in `known` that may still be corrected. At most
    MAX_REMEMBERED records are kept, because every load stores these records in dlt's state. A record beyond this limit
    counts as new in every walk, so the record may hold the frontier back too long, but never too briefly.
    """
    kept = {record_hash: at for record_hash, at in known.items() if now < at + settle}
    return dict(islice((kept | met).items(), MAX_REMEMBERED))


def _oldest(rows: pa.Table) -> list[tuple[datetime, int | None]]:
    """Returns a list with the booking time and id of the oldest row, or an empty list if there are no rows."""
    if not rows.num_rows:
        return []
    place = pc.index(rows["created_at"], pc.min(rows["created_at"])).as_py()
    return [(rows["created_at"][place].as_py(), rows["id"][place].as_py())]


def _newest_plausible(rows: pa.Table, now: datetime, rules: Rules) -> datetime | None:
    """Returns the newest booking time that is not in the future.

    Otherwise, a single booking dated 2099 would place every real pickup beyond the lookback.
    """
    believable = pc.less_equal(rows["created_at"], instant(now + rules.overlap))
    newest: datetime | None = pc.max(rows["created_at"].filter(believable)).as_py()
    return newest


def _beyond_lookback(memory: Memory, rows: pa.Table, now: datetime) -> dict[str, datetime]:
    """Returns the unsettled pickups beyond the lookback that this walk did not read."""
    beyond = memory.get("beyond_lookback", {})
    if not beyond:
        return {}
    read = set(rows["id"].to_pylist())
    return {id_: at for id_, at in beyond.items() if int(id_) not in read and at > now}


def _settling(rows: pa.Table) -> dict[str, datetime]:
    return dict(zip(map(str, rows["id"].to_pylist()), rows["settles_at"].to_pylist(), strict=True))
