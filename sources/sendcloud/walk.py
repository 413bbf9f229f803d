"""One walk over the list, from the newest page towards the past: pages in, one table of rows and a memory out.

A run is the head and, while there is more to read behind it, the history, a package of pages at a time: the first load,
a sweep, or a list that turned out to have no order.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from .client import Client
from .errors import BadReply, ExpiredLink, LoopingLink, Misconfigured
from .frontier import Memory, Order, Rules, first_seen_at, frontier_of, remember, was_read_to_its_end
from .pages import Read, Stop, read_pages
from .reading import Reading
from .rows import as_quarantine


class Span(NamedTuple):
    """The user's own bounds on created_at: `since` <= created_at < `until`; None is unbounded."""

    since: datetime | None = None
    until: datetime | None = None


class Walked(NamedTuple):
    """All that a complete walk brought: rows (ROW_SCHEMA), one an id, refused records, the next run's memory."""

    rows: pa.Table
    quarantine: pa.Table
    memory: Memory
    is_first: bool  # no walk before it: the tables may have to be made, even for no rows

    @property
    def newest_created_at(self) -> datetime | None:
        newest: datetime | None = pc.max(self.rows["created_at"]).as_py()
        return newest


Part = Literal["whole", "head", "history", "sweep"]


def walk(client: Client, part: Part, memory: Memory, rules: Rules, span: Span, reading: Reading) -> Walked | None:
    """One walk over a part of the list; None when there is nothing of that part to read.

    `head`: from the top to the frontier; on the first read, the first package of history. `sweep`: the same, and all
    that lies behind it becomes history once more. `history`: the next package of it, from the stored link. `whole`:
    head and history at once, however much it is. See frontier.py for where a walk may stop.
    With `span.until` set (a window given by a scheduler) the memory stays as it was, as dlt's own incremental does.
    Raises the errors of client.py, BadReply for a page that isn't one, LoopingLink for a link seen before.
    """
    memory = _still_good(memory, client.version.name, span, reading)
    if part == "history":
        return _history(client, memory, rules, span, reading)
    if part != "whole" and memory.get("history_unsorted") and not span.until:
        _tell(reading, memory, part, memory)
        reading.goes_on_unsorted = True
        return None
    return _head(client, part, memory, rules, span, reading)


def _head(client: Client, part: Part, memory: Memory, rules: Rules, span: Span, reading: Reading) -> Walked:
    begins_anew = "newest_listed_at" not in memory or (part == "whole" and "history_next" in memory)
    reading.is_first_read = not memory
    frontier = None if span.until or begins_anew else frontier_of(memory, rules)
    reading.frontier = max(filter(None, [frontier, span.since]), default=None)
    order = Order(memory.get("newest_listed_at"), rules)
    in_packages = part != "whole" and not span.until  # a scheduler's window keeps no link to go on at
    budget = rules.pages_per_package if in_packages else None
    stop = Stop(reading.frontier, budget, only_unsorted=not begins_anew)
    read = read_pages(client, client.first_page(rules.page_size), order, stop, reading)
    if order.broken:
        reading.frontier = span.since  # to the end, whatever had been meant
    behind = None if begins_anew and reading.stopped_because != "chunk" else _behind(part, read, memory, reading)
    after, near = _after(read, behind, part, memory, rules, span, reading)
    return _walked(read, after, near, part, memory, span, reading)


def _behind(part: Part, read: Read, memory: Memory, reading: Reading) -> str | None:
    """The link at which history goes on behind the head: where this one was cut, or where an earlier run stopped."""
    if reading.stopped_because != "frontier":
        return read.next
    return memory.get("history_next") or (read.next if part == "sweep" else None)


def _history(client: Client, memory: Memory, rules: Rules, span: Span, reading: Reading) -> Walked | None:
    """The next package of history. A link that the API no longer knows means: again from the top."""
    link, goes_on = memory.get("history_next"), bool(reading.begun_at)
    if not link:
        _tell(reading, memory, "history", memory)
        return None
    if link in reading.begun_at:
        raise LoopingLink(client.path_of(link), reading.pages)
    reading.begun_at.add(link)
    pages_before, order = reading.pages, Order(None, rules)
    order.broken = memory.get("history_unsorted", False)  # a package may look orderly in a list that is not
    try:
        read = read_pages(client, link, order, Stop(span.since, rules.pages_per_package), reading)
    except (BadReply, Misconfigured) as error:
        is_of_a_moment_ago = goes_on and not isinstance(error, ExpiredLink)
        if reading.pages > pages_before or "top" in reading.begun_at or is_of_a_moment_ago:
            raise  # a stored link may have gone stale in many ways; with a fresh one walking again would not end
        return _again_from_the_top(client, memory, rules, span, reading)
    behind = read.next if reading.stopped_because == "chunk" else None
    starts_again = not behind and reading.goes_on_unsorted
    if starts_again:
        # what lies before the stored link may have changed since, the order too: now all of it in this very run
        reading.goes_on_unsorted = False
        behind = client.first_page(rules.page_size)
    after, near = _after(read, behind, "history", memory, rules, span, reading)
    walked = _walked(read, after, near, "history", memory, span, reading)
    if starts_again:
        reading.begun_at, reading.open_near = reading.begun_at & {"top"}, 0
    return walked


def _again_from_the_top(client: Client, memory: Memory, rules: Rules, span: Span, reading: Reading) -> Walked:
    """Without a reference there is no frontier: all is read, and what the memory said of open pickups is seen again."""
    reading.begun_at, reading.open_near, reading.goes_on_unsorted = {"top"}, 0, False
    frontier = reading.frontier
    kept: Memory = {"quarantined": memory.get("quarantined", {}), "is_listed_once": was_read_to_its_end(memory)}
    if "api_version_before" in memory:
        kept["api_version_before"] = memory["api_version_before"]
    if "sweep_began_at" in memory:
        kept |= {"sweep_began_at": memory["sweep_began_at"], "is_sweep": memory.get("is_sweep", False)}
    walked = _head(client, "head", kept, rules, span, reading)
    reading.frontier = frontier  # what the run had to read at least is still that
    return walked


def _after(
    read: Read, behind: str | None, part: Part, memory: Memory, rules: Rules, span: Span, reading: Reading
) -> tuple[Memory, int]:
    """The next memory, with the link `behind` at which history goes on; and how many open pickups near were read."""
    now, further_back = _now(reading), part == "history"
    met = _first_seen(read, memory, now)
    if further_back and memory.get("is_sweep") and was_read_to_its_end(memory) and reading.frontier:
        # what a sweep finds behind the frontier doesn't hold it: the next sweep sees whether it was mended
        met = {h: at for h, at in met.items() if (read.rejected[h].created_at or now) >= reading.frontier}
    unread = [
        r.created_at for h, r in read.rejected.items() if h in met and r.created_at and now < met[h] + rules.settle
    ]
    starts_over = not further_back and reading.stopped_because != "frontier"
    after, near = remember(
        memory, read.rows, unread=unread, now=now, rules=rules, read_to_end=starts_over, further_back=further_back
    )
    after["quarantined"] = first_seen_at(memory.get("quarantined", {}), met, now, rules.settle)
    after["read_since"], after["api_version"] = span.since, reading.api_version
    after["is_listed_once"] = was_read_to_its_end(memory) or not behind
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


def _walked(read: Read, after: Memory, near: int, part: Part, memory: Memory, span: Span, reading: Reading) -> Walked:
    now = _now(reading)
    quarantine = as_quarantine(read.rejected, reading.account, _first_seen(read, memory, now), now)
    rows = _within(span, read.rows)
    if span.until:
        return Walked(rows, quarantine, memory, not memory)
    reading.open_near += near
    reading.open_beyond_lookback = len(after.get("beyond_lookback", {}))
    reading.open_pickups = reading.open_near + reading.open_beyond_lookback
    _tell(reading, after, part, memory)
    return Walked(rows, quarantine, after, not memory)


def _tell(reading: Reading, after: Memory, part: Part, memory: Memory) -> None:
    """How far the walk has come with what lies behind the head."""
    reading.has_more = "history_next" in after
    reading.history_complete = after.get("is_listed_once", False) or not reading.has_more
    reading.since, reading.sweep_began_at = after.get("read_since"), after.get("sweep_began_at")
    if memory.get("is_sweep") or (part == "sweep" and "history_next" not in memory):
        reading.sweep = "incomplete" if reading.has_more else "complete"
    elif part == "sweep":
        reading.sweep = "not_begun"


def _first_seen(read: Read, memory: Memory, now: datetime) -> dict[str, datetime]:
    return {hash_: memory.get("quarantined", {}).get(hash_, now) for hash_ in read.rejected}


def _now(reading: Reading) -> datetime:
    assert reading.observed_at is not None  # noqa: S101  # a walk has read a page, or raised
    return reading.observed_at


def _within(span: Span, rows: pa.Table) -> pa.Table:
    """The rows inside the user's bounds: dlt's incremental would drop the others later, uncounted."""
    for bound, inside in ((span.since, pc.greater_equal), (span.until, pc.less)):
        if bound is not None:
            rows = rows.filter(inside(rows["created_at"], pa.scalar(bound, rows["created_at"].type)))
    return rows


def _still_good(memory: Memory, api_version: str, span: Span, reading: Reading) -> Memory:
    """The memory, all but empty where it speaks of another list than the one to be read: then all is read again.

    Another version of the API has other links, and may have another order; an earlier start than was read asks for
    what has never been seen. A change-over is under way until the list was read to its end: a run that goes on with
    one, or turns back, must know of it.
    """
    read_by, since = memory.get("api_version", "v2" if memory else api_version), memory.get("read_since")
    before = memory.get("api_version_before") if read_by == api_version else read_by
    reading.api_version_before = before or reading.api_version_before
    reaches_further_back = since is not None and (span.since is None or span.since < since)
    if span.until or (read_by == api_version and not reaches_further_back):
        return memory
    return {"api_version_before": before} if before else {}
