"""Walks the list from the newest page towards the oldest, and returns one table of rows and the next memory.

A run reads the head of the list first. If rows remain behind the head, the run then reads the history, one package of
pages at a time. History is the remainder of a first load, a sweep or an unsorted list.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import BadResponse, ExpiredLink, LoopingLink, SettingsError
from ..http.client import Client
from ..records.tables import to_quarantine_table
from .frontier import Memory, OrderCheck, Rules, compute_frontier, first_seen_at, has_reached_end, next_memory
from .pages import PagesRead, StopRule, read_pages
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


def walk(
    client: Client, part: ReadPart, memory: Memory, rules: Rules, span: Span, stats: ReadStats
) -> WalkResult | None:
    """Returns the result of one walk over `part` of the list, or None if there is nothing to read in that part.

    If `span.until` is set (a scheduler's window), the memory does not change. dlt's incremental behaves the same way.
    The module `frontier.py` decides where a walk may stop.

    Args:
        client: requests the pages.
        part: `head` reads from the top to the frontier. On the first read, `head` reads the first package of history.
            `sweep` works like `head`, but also marks everything behind the head as history to read again.
            `history` reads the next package of history, from the stored link.
            `whole` reads the head and the history in one walk, regardless of their length.
        memory: the account's memory from the previous walk.
        rules: the source's settings.
        span: the user's bounds on created_at.
        stats: receives the facts about the walk.

    Raises:
        SendcloudError: reading a page failed. The possible errors are listed in `read_pages`.
    """
    if stats.cut_short_by:
        raise stats.cut_short_by
    memory = _still_good(memory, client.version.name, span, stats)
    if part == "history":
        return _history(client, memory, rules, span, stats)
    if part != "whole" and memory.get("history_unsorted") and not span.until:
        _tell(stats, memory, part, memory)
        stats.resumes_unsorted = True
        return None
    return _head(client, part, memory, rules, span, stats)


def _head(client: Client, part: ReadPart, memory: Memory, rules: Rules, span: Span, stats: ReadStats) -> WalkResult:
    begins_anew = "newest_listed_at" not in memory or (part == "whole" and "history_next" in memory)
    stats.is_first_read = not memory
    frontier = None if span.until or begins_anew else compute_frontier(memory, rules)
    stats.frontier = max(filter(None, [frontier, span.since]), default=None)
    order = OrderCheck(memory.get("newest_listed_at"), rules)
    in_packages = part != "whole" and not span.until  # a walk for a scheduler's window stores no link to resume from
    budget = rules.pages_per_package if in_packages else None
    stop = StopRule(stats.frontier, budget, only_unsorted=not begins_anew)
    read = read_pages(client, client.first_page(rules.page_size), order, stop, stats)
    if order.broken:
        stats.frontier = span.since  # an unsorted list must be read to its end
    behind = None if begins_anew and stats.stopped_because != "chunk" else _behind(part, read, memory, stats)
    after, near = _after(read, behind, part, memory, rules, span, stats)
    return _walked(read, after, near, part, memory, span, stats)


def _behind(part: ReadPart, read: PagesRead, memory: Memory, stats: ReadStats) -> str | None:
    """Returns the link where this walk or an earlier run stopped and history resumes, or None at the end."""
    if stats.stopped_because != "frontier":
        return read.next
    return memory.get("history_next") or (read.next if part == "sweep" else None)


def _history(client: Client, memory: Memory, rules: Rules, span: Span, stats: ReadStats) -> WalkResult | None:
    """Reads the next package of history. If the API rejects the stored link, the walk restarts at the top."""
    link, goes_on = memory.get("history_next"), bool(stats.history_links_read)
    if not link:
        _tell(stats, memory, "history", memory)
        return None
    if link in stats.history_links_read:
        raise LoopingLink(client.path_of(link), stats.pages)
    stats.history_links_read.add(link)
    pages_before, order = stats.pages, OrderCheck(None, rules)
    order.broken = memory.get("history_unsorted", False)  # a single package of an unsorted list can look sorted
    try:
        read = read_pages(client, link, order, StopRule(span.since, rules.pages_per_package), stats)
    except (BadResponse, SettingsError) as error:
        is_of_a_moment_ago = goes_on and not isinstance(error, ExpiredLink)
        if stats.pages > pages_before or "top" in stats.history_links_read or is_of_a_moment_ago:
            # A link from an earlier run can become invalid in many ways, so a failed request restarts the walk.
            # If a failed request for a new link also restarted the walk, the run could restart forever.
            raise
        return _again_from_the_top(client, memory, rules, span, stats)
    behind = read.next if stats.stopped_because == "chunk" else None
    starts_again = not behind and stats.resumes_unsorted
    if starts_again:
        # The order and the rows before the stored link may have changed. Therefore, this run reads the whole list.
        stats.resumes_unsorted = False
        behind = client.first_page(rules.page_size)
    after, near = _after(read, behind, "history", memory, rules, span, stats)
    walked = _walked(read, after, near, "history", memory, span, stats)
    if starts_again:
        stats.history_links_read, stats.open_within_lookback = stats.history_links_read & {"top"}, 0
    return walked


def _again_from_the_top(client: Client, memory: Memory, rules: Rules, span: Span, stats: ReadStats) -> WalkResult:
    """Restarts the walk at the top, with a memory that has no reference.

    Without a reference, there is no frontier, so the run rereads the whole list, including every open pickup.
    """
    stats.history_links_read, stats.open_within_lookback, stats.resumes_unsorted = {"top"}, 0, False
    frontier = stats.frontier
    kept: Memory = {"quarantined": memory.get("quarantined", {}), "is_listed_once": has_reached_end(memory)}
    if "api_version_before" in memory:
        kept["api_version_before"] = memory["api_version_before"]
    if "sweep_began_at" in memory:
        kept |= {"sweep_began_at": memory["sweep_began_at"], "is_sweep": memory.get("is_sweep", False)}
    walked = _head(client, "head", kept, rules, span, stats)
    stats.frontier = frontier  # the restart does not change which part of the list this run must read
    return walked


def _after(
    read: PagesRead, behind: str | None, part: ReadPart, memory: Memory, rules: Rules, span: Span, stats: ReadStats
) -> tuple[Memory, int]:
    """Returns the next memory and the number of open pickups within the lookback that the walk read.

    The next memory stores `behind`, the link at which history resumes.
    """
    now, further_back = _now(stats), part == "history"
    met = _first_seen(read, memory, now)
    if further_back and memory.get("is_sweep") and has_reached_end(memory) and stats.frontier:
        # In a sweep, rejected records behind the frontier don't hold back the frontier. The next sweep finds any
        # corrections.
        met = {h: at for h, at in met.items() if (read.rejected[h].created_at or now) >= stats.frontier}
    unread = [
        r.created_at for h, r in read.rejected.items() if h in met and r.created_at and now < met[h] + rules.settle
    ]
    starts_over = not further_back and stats.stopped_because != "frontier"
    after, near = next_memory(
        memory, read.rows, unread=unread, now=now, rules=rules, read_to_end=starts_over, further_back=further_back
    )
    after["quarantined"] = first_seen_at(memory.get("quarantined", {}), met, now, rules.settle)
    after["read_since"], after["api_version"] = span.since, stats.api_version
    after["is_listed_once"] = has_reached_end(memory) or not behind
    if "api_version_before" in memory and not after["is_listed_once"]:
        after["api_version_before"] = memory["api_version_before"]
    begins_sweep = part == "sweep" and "history_next" not in memory
    if began_at := now if begins_sweep else memory.get("sweep_began_at"):
        after["sweep_began_at"] = began_at
    if behind:
        after["history_next"] = behind
        after["history_unsorted"] = read.order.broken
        after["is_sweep"] = begins_sweep or memory.get("is_sweep", False)
    return after, near


def _walked(
    read: PagesRead, after: Memory, near: int, part: ReadPart, memory: Memory, span: Span, stats: ReadStats
) -> WalkResult:
    now = _now(stats)
    quarantine = to_quarantine_table(read.rejected, stats.account, _first_seen(read, memory, now), now)
    rows = _within(span, read.rows)
    if span.until:
        return WalkResult(rows, quarantine, memory, not memory)
    stats.open_within_lookback += near
    stats.open_beyond_lookback = len(after.get("beyond_lookback", {}))
    stats.open_pickups = stats.open_within_lookback + stats.open_beyond_lookback
    _tell(stats, after, part, memory)
    return WalkResult(rows, quarantine, after, not memory)


def _tell(stats: ReadStats, after: Memory, part: ReadPart, memory: Memory) -> None:
    """Records in `stats` how far the walks have read behind the head."""
    stats.has_more = "history_next" in after
    stats.history_complete = after.get("is_listed_once", False) or not stats.has_more
    stats.since, stats.sweep_began_at = after.get("read_since"), after.get("sweep_began_at")
    if memory.get("is_sweep") or (part == "sweep" and "history_next" not in memory):
        stats.sweep = "incomplete" if stats.has_more else "complete"
    elif part == "sweep":
        stats.sweep = "not_begun"


def _first_seen(read: PagesRead, memory: Memory, now: datetime) -> dict[str, datetime]:
    return {hash_: memory.get("quarantined", {}).get(hash_, now) for hash_ in read.rejected}


def _now(stats: ReadStats) -> datetime:
    assert stats.observed_at is not None  # noqa: S101  # by now, every walk has read a page or raised an error
    return stats.observed_at


def _within(span: Span, rows: pa.Table) -> pa.Table:
    """Returns the rows within the user's bounds. dlt's incremental would drop the others without counting them."""
    for bound, inside in ((span.since, pc.greater_equal), (span.until, pc.less)):
        if bound is not None:
            rows = rows.filter(inside(rows["created_at"], pa.scalar(bound, rows["created_at"].type)))
    return rows


def _still_good(memory: Memory, api_version: str, span: Span, stats: ReadStats) -> Memory:
    """Returns the memory, or a nearly empty memory if the walk must reread the whole list.

    If the API version differs, the walk starts over, because a different version has different links and may have a
    different order. If the start date is earlier than before, the walk also starts over, because the rows in between
    were never read. A version change is complete only when the new list has been read to its end. Until then, the
    memory stores the previous version, because a run that resumes or reverts the change needs it.
    """
    read_by, since = memory.get("api_version", "v2" if memory else api_version), memory.get("read_since")
    before = memory.get("api_version_before") if read_by == api_version else read_by
    stats.api_version_before = before or stats.api_version_before
    reaches_further_back = since is not None and (span.since is None or span.since < since)
    if span.until or (read_by == api_version and not reaches_further_back):
        return memory
    return {"api_version_before": before} if before else {}
