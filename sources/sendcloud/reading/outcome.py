"""Builds the result of a walk: the rows, the rejected records, and the memory for the next run."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ..records.tables import to_quarantine_table
from .frontier import Memory, Rules, first_seen_at, has_reached_end, next_memory
from .memory import date_memory, hold_frontier, pickup_that_holds_frontier
from .pages import PagesRead
from .progress import ReadStats


class Span(NamedTuple):
    """The user's bounds on created_at: `since` <= created_at < `until`. None means unbounded."""

    since: datetime | None = None
    until: datetime | None = None


class WalkResult(NamedTuple):
    """The result of a complete walk: rows (ROW_SCHEMA, one per id), rejected records, and the next run's memory."""

    rows: pa.Table
    quarantine: pa.Table
    memory: Memory
    is_first: bool  # there was no earlier walk, so the tables may not exist and must be created even without rows

    @property
    def newest_created_at(self) -> datetime | None:
        newest: datetime | None = pc.max(self.rows["created_at"]).as_py()
        return newest


ReadPart = Literal["whole", "head", "history", "sweep"]


def _remember(
    read: PagesRead, behind: str | None, part: ReadPart, memory: Memory, rules: Rules, span: Span, stats: ReadStats
) -> tuple[Memory, int]:
    """Returns the next memory and the number of open pickups within the lookback that the walk read.

    The next memory stores `behind`, the link at which history resumes.
    """
    now, as_of, further_back = stats.settled_by, as_of_run(stats), part == "history"
    assert now is not None  # noqa: S101  # by now, every walk has read a page or raised an error
    met = _first_seen(read, memory, as_of)
    if further_back and memory.get("is_sweep") and has_reached_end(memory) and stats.frontier:
        # In a sweep, rejected records behind the frontier don't hold it back. The next sweep finds any
        # corrections to these records.
        met = {h: at for h, at in met.items() if (read.rejected[h].created_at or now) >= stats.frontier}
    correctable = (r for h, r in read.rejected.items() if h in met and now < met[h] + rules.settle)
    unread = [r.created_at for r in correctable if r.created_at]
    starts_over = not further_back and stats.stopped_because != "frontier"
    after, near = next_memory(
        memory, read.rows, unread=unread, now=now, rules=rules, read_to_end=starts_over, further_back=further_back
    )
    known = {record_hash: min(at, as_of) for record_hash, at in memory.get("quarantined", {}).items()}
    after["quarantined"] = first_seen_at(known, met, now, rules.settle)
    after["read_since"], after["api_version"] = span.since, stats.api_version
    after["is_listed_once"] = has_reached_end(memory) or not behind
    if "api_version_before" in memory and not after["is_listed_once"]:
        after["api_version_before"] = memory["api_version_before"]
    begins_sweep = part == "sweep" and "history_next" not in memory
    if began_at := as_of if begins_sweep else memory.get("sweep_began_at"):
        after["sweep_began_at"] = began_at
    if behind:
        after["history_next"] = behind
        after["history_unsorted"] = read.order.broken
        after["is_sweep"] = begins_sweep or memory.get("is_sweep", False)
    if stats.stopped_because != "chunk" and not further_back:
        rejected = [record.created_at for record in read.rejected.values()]
        hold_frontier(memory, after, read.rows["created_at"], rejected, stats, rules)
    elif "missing_since" in memory and further_back:
        after["missing_since"] = memory["missing_since"]
    date_memory(memory, after, as_of)
    return after, near


def conclude(
    read: PagesRead, behind: str | None, part: ReadPart, memory: Memory, rules: Rules, span: Span, stats: ReadStats
) -> WalkResult:
    """Returns the result of a walk and records it in `stats`. `behind` is the link at which history resumes."""
    after, near = _remember(read, behind, part, memory, rules, span, stats)
    as_of = as_of_run(stats)
    quarantine = to_quarantine_table(read.rejected, stats.account, _first_seen(read, memory, as_of), as_of)
    rows = _within(span, read.rows)
    stats.is_window = span.until is not None
    if span.until:
        return WalkResult(rows, quarantine, memory, not memory)
    stats.open_within_lookback += near
    stats.frontier_pickup_id = pickup_that_holds_frontier(after)
    stats.open_beyond_lookback = len(after.get("beyond_lookback", {}))
    stats.open_pickups = stats.open_within_lookback + stats.open_beyond_lookback
    tell_progress(stats, after, part, memory)
    return WalkResult(rows, quarantine, after, not memory)


def tell_progress(stats: ReadStats, after: Memory, part: ReadPart, memory: Memory) -> None:
    """Records in `stats` how much of the history has been read."""
    stats.has_more = "history_next" in after
    stats.history_complete = after.get("is_listed_once", False) or not stats.has_more
    stats.since, stats.sweep_began_at = after.get("read_since"), after.get("sweep_began_at")
    if memory.get("is_sweep") or (part == "sweep" and "history_next" not in memory):
        stats.sweep = "incomplete" if stats.has_more else "complete"
    elif part == "sweep":
        stats.sweep = "not_begun"


def _first_seen(read: PagesRead, memory: Memory, as_of: datetime) -> dict[str, datetime]:
    known = memory.get("quarantined", {})
    return {hash_: min(known.get(hash_, as_of), as_of) for hash_ in read.rejected}


def as_of_run(stats: ReadStats) -> datetime:
    assert stats.observed_at is not None  # noqa: S101  # the walk has read a page
    return stats.observed_at


def _within(span: Span, rows: pa.Table) -> pa.Table:
    """Returns the rows within the user's bounds. dlt's incremental would drop the others without counting them."""
    for bound, inside in ((span.since, pc.greater_equal), (span.until, pc.less)):
        if bound is not None:
            rows = rows.filter(inside(rows["created_at"], pa.scalar(bound, rows["created_at"].type)))
    return rows
