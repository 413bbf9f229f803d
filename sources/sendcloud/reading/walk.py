"""Walks the list from the newest page towards the oldest, and returns one table of rows and the next memory.

A run reads the head of the list first. If rows remain behind the head, the run then reads the history, one package of
pages at a time. History is the remainder of a first load, a sweep or an unsorted list.
"""

from __future__ import annotations

from datetime import UTC, datetime

from ..errors import BadResponse, ExpiredLink, LoopingLink, SettingsError
from ..http.client import Client
from .bookings import judge_by_bookings
from .clocks import is_after
from .frontier import Memory, Rules, compute_frontier
from .memory import after_wrong_clock, without_reference
from .order import OrderCheck
from .outcome import ReadPart, Span, WalkResult, as_of_run, conclude, tell_progress
from .pages import PagesRead, StopRule, read_pages
from .progress import ReadStats

START_OF_TIME = datetime.min.replace(tzinfo=UTC)


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
    if part != "history" and memory:
        stats.new_from = memory.get("newest_listed_at", START_OF_TIME + rules.overlap) - rules.overlap
    memory = _still_good(memory, client.version.name, span, stats)
    if part == "history":
        return _history(client, memory, rules, span, stats)
    if part != "whole" and memory.get("history_unsorted") and not span.until:
        tell_progress(stats, memory, part, memory)
        stats.resumes_unsorted = True
        return None
    return _head(client, part, memory, rules, span, stats)


def _head(client: Client, part: ReadPart, memory: Memory, rules: Rules, span: Span, stats: ReadStats) -> WalkResult:
    if stats.kept_pages:
        stats.kept_pages = []  # this walk starts again
    begins_anew = "newest_listed_at" not in memory or (part == "whole" and "history_next" in memory)
    stats.is_first_read = not memory
    frontier = None if span.until or begins_anew else compute_frontier(memory, rules)
    stats.frontier = max(filter(None, [frontier, span.since]), default=None)
    order = OrderCheck(memory.get("newest_listed_at"), rules)
    in_packages = part != "whole" and not span.until  # a walk for a scheduler's window stores no link to resume from
    budget = rules.pages_per_package if in_packages else None
    stop = StopRule(_stop_before(stats.frontier, rules), budget, only_unsorted=not begins_anew)
    read = read_pages(client, client.first_page(rules.page_size), order, stop, stats)
    _tell_time(read, memory, stats)
    if not span.until and is_after(_changed_at(memory, stats), stats.latest_clock):
        return _head(client, part, after_wrong_clock(memory, as_of_run(stats)), rules, span, stats)
    if order.broken:
        stats.frontier = span.since  # an unsorted list must be read to its end
    behind = None if begins_anew and stats.stopped_because != "chunk" else _behind(part, read, memory, stats)
    return conclude(read, behind, part, memory, rules, span, stats)


def _behind(part: ReadPart, read: PagesRead, memory: Memory, stats: ReadStats) -> str | None:
    """Returns the link at which history resumes after this walk, or None if no history remains."""
    if stats.stopped_because != "frontier":
        return read.next
    return memory.get("history_next") or (read.next if part == "sweep" else None)


def _history(client: Client, memory: Memory, rules: Rules, span: Span, stats: ReadStats) -> WalkResult | None:
    """Reads the next package of history. If the API rejects the stored link, the walk restarts at the top."""
    link, goes_on = memory.get("history_next"), bool(stats.history_links_read)
    if not link:
        tell_progress(stats, memory, "history", memory)
        return None
    if link in stats.history_links_read:
        raise LoopingLink(client.path_of(link), stats.pages)
    stats.history_links_read.add(link)
    pages_before, order = stats.pages, OrderCheck(None, rules)
    order.broken = memory.get("history_unsorted", False)  # a single package of an unsorted list can look sorted
    try:
        stop = StopRule(_stop_before(span.since, rules), rules.pages_per_package)
        read = read_pages(client, link, order, stop, stats)
    except (BadResponse, SettingsError) as error:
        is_of_a_moment_ago = goes_on and not isinstance(error, ExpiredLink)
        if stats.pages > pages_before or "top" in stats.history_links_read or is_of_a_moment_ago:
            # A link from an earlier run can become invalid in many ways, so a failed request restarts the walk.
            # If a failed request for a new link also restarted the walk, the run could restart forever.
            raise
        return _again_from_the_top(client, memory, rules, span, stats)
    _tell_time(read, memory, stats)
    behind = read.next if stats.stopped_because == "chunk" else None
    starts_again = not behind and stats.resumes_unsorted
    if starts_again:
        # The order and the rows before the stored link may have changed, so this run reads the whole list.
        stats.resumes_unsorted = False
        behind = client.first_page(rules.page_size)
    walked = conclude(read, behind, "history", memory, rules, span, stats)
    if starts_again:
        stats.history_links_read, stats.open_within_lookback = stats.history_links_read & {"top"}, 0
    return walked


def _again_from_the_top(client: Client, memory: Memory, rules: Rules, span: Span, stats: ReadStats) -> WalkResult:
    """Restarts the walk at the top, with a memory that has no reference.

    Without a reference, there is no frontier, so the run rereads the whole list, including every open pickup.
    """
    stats.history_links_read, stats.open_within_lookback, stats.resumes_unsorted = {"top"}, 0, False
    frontier = stats.frontier
    walked = _head(client, "head", without_reference(memory), rules, span, stats)
    stats.frontier = frontier  # the restart does not change which part of the list this run must read
    return walked


def _stop_before(bound: datetime | None, rules: Rules) -> datetime | None:
    """Returns the bound minus the overlap. The walk ends at the first page whose rows were all booked before this time.

    The order check allows rows to be out of order by up to the overlap. Rows booked slightly before the bound
    may therefore precede a row booked after it, but rows booked more than the overlap before the bound may not.
    """
    return bound and max(bound, datetime.min.replace(tzinfo=bound.tzinfo) + rules.overlap) - rules.overlap


def _tell_time(read: PagesRead, memory: Memory, stats: ReadStats) -> None:
    """Determines the time of the run once, from the clocks on all pages of the first walk."""
    if stats.settled_by:
        return
    last = max(filter(None, [stats.last_as_of, memory.get("observed_at")]), default=None)
    stats.observed_at, stats.settled_by, stats.latest_clock = judge_by_bookings(
        stats.clocks, read.rows["created_at"], last
    )
    stats.clocks.clear()


def _changed_at(memory: Memory, stats: ReadStats) -> datetime | None:
    """Returns the time of the memory's last change or, if the memory has no time, the latest known time."""
    return memory.get("observed_at") or (stats.highest_as_of if memory else None)


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
