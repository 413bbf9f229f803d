"""One walk over the list, from the newest page towards the past: pages in, one table of rows and a memory out.

A run is the head and, while the first load is under way, the history behind it, a package of pages at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from .client import Client
from .errors import BadReply, ExpiredLink, LoopingLink
from .frontier import Memory, Order, Rules, frontier_of, lies_before, remember
from .origin import absolute
from .reading import Reading
from .records import Page, Rejected, as_quarantine, latest_sightings, read_page


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


class Read(NamedTuple):
    """What some pages in a row brought, and the link at which they stopped short of the end, if they did."""

    rows: pa.Table
    rejected: dict[str, Rejected]
    order: Order
    next: str | None


Part = Literal["whole", "head", "history"]


def walk(client: Client, part: Part, memory: Memory, rules: Rules, span: Span, reading: Reading) -> Walked | None:
    """One walk over a part of the list; None when there is nothing of that part to read.

    `head`: from the top to the frontier; on the first read, the first package of history. `history`: the next package
    of it, from the stored link. `whole`: both at once, however much it is. See frontier.py for where a walk may stop.
    With `span.until` set (a window given by a scheduler) the memory stays as it was, as dlt's own incremental does.
    Raises the errors of client.py, BadReply for a page that isn't one, LoopingLink for a link seen before.
    """
    if not span.until and _reaches_further_back(span, memory):
        memory = {}
    if part == "history":
        return _history(client, memory, rules, span, reading)
    if part == "head" and memory.get("history_unsorted") and not span.until:
        reading.history_complete = False
        return None
    return _head(client, part, memory, rules, span, reading)


def _head(client: Client, part: Part, memory: Memory, rules: Rules, span: Span, reading: Reading) -> Walked:
    begins_anew = "newest_listed_at" not in memory or (part == "whole" and "history_next" in memory)
    reading.is_first_read = not memory
    frontier = None if span.until or begins_anew else frontier_of(memory, rules)
    reading.frontier = max(filter(None, [frontier, span.since]), default=None)
    order = Order(memory.get("newest_listed_at"), rules)
    in_packages = begins_anew and part == "head" and not span.until  # a scheduler's window keeps no link to go on at
    budget = rules.pages_per_package if in_packages else None
    top = f"{client.base_url}/pickups?limit={rules.page_size}"
    read = _read(client, top, order, reading.frontier, budget, reading)
    after, near = _after(read, memory, rules, span, reading)
    if "history_next" in memory and not begins_anew and reading.stopped_because == "frontier":
        after["history_next"] = memory["history_next"]
    return _walked(read, after, near, memory, span, reading)


def _history(client: Client, memory: Memory, rules: Rules, span: Span, reading: Reading) -> Walked | None:
    """The next package of the first load. A link that the API no longer knows means: again from the top."""
    link = memory.get("history_next")
    if not link:
        reading.history_complete = True
        return None
    if link in reading.begun_at:
        raise LoopingLink(client.path_of(link), reading.pages)
    reading.begun_at.add(link)
    pages_before = reading.pages
    try:
        read = _read(client, link, Order(None, rules), span.since, rules.pages_per_package, reading)
    except ExpiredLink:
        if reading.pages > pages_before or "top" in reading.begun_at:
            raise  # not a stored link, but one of a moment ago: walking again would not end
        reading.begun_at, reading.open_near = {"top"}, 0
        return _head(client, "head", {"quarantined": memory.get("quarantined", {})}, rules, span, reading)
    after, near = _after(read, memory, rules, span, reading, further_back=True)
    return _walked(read, after, near, memory, span, reading)


def _read(
    client: Client, link: str, order: Order, stop_before: datetime | None, budget: int | None, reading: Reading
) -> Read:
    """Pages from `link` on until one lies wholly before `stop_before`, the budget is used up, or the list ends."""
    tables, rejected, following = [], dict[str, Rejected](), None
    reading.stopped_because = "end"
    for number, (page, following) in enumerate(_pages(client, link, reading), start=1):
        order.see(page.rows)
        if reading.order != "unsorted":
            reading.order = "unsorted" if order.broken else "newest_first"
        tables.append(page.rows)
        rejected |= {r.record_hash: _placed(r, page.rows, reading) for r in page.rejected}
        if order.newest_first and stop_before and lies_before(page.rows, stop_before):
            reading.stopped_because = "frontier"
            break
        if number == budget and following:
            reading.stopped_because = "chunk"
            break
    return Read(latest_sightings(tables), rejected, order, following if reading.stopped_because == "chunk" else None)


def _after(
    read: Read, memory: Memory, rules: Rules, span: Span, reading: Reading, *, further_back: bool = False
) -> tuple[Memory, int]:
    """The next memory, and how many open pickups within the lookback this walk read."""
    now = _now(reading)
    first_seen = _first_seen(read, memory, now)
    unread = [
        r.created_at for hash_, r in read.rejected.items() if r.created_at and now < first_seen[hash_] + rules.settle
    ]
    to_end = reading.stopped_because == "end" and not further_back
    after, near = remember(
        memory, read.rows, unread=unread, now=now, rules=rules, read_to_end=to_end, further_back=further_back
    )
    after["quarantined"] = memory.get("quarantined", {}) | first_seen
    after["read_since"] = span.since
    if read.next:
        after["history_next"] = read.next
        after["history_unsorted"] = read.order.broken
    return after, near


def _walked(read: Read, after: Memory, near: int, memory: Memory, span: Span, reading: Reading) -> Walked:
    now = _now(reading)
    quarantine = as_quarantine(read.rejected, reading.account, _first_seen(read, memory, now), now)
    rows = _within(span, read.rows)
    if span.until:
        return Walked(rows, quarantine, memory, not memory)
    reading.open_near += near
    reading.open_beyond_lookback = len(after.get("beyond_lookback", {}))
    reading.open_pickups = reading.open_near + reading.open_beyond_lookback
    reading.history_complete = "history_next" not in after
    return Walked(rows, quarantine, after, not memory)


def _first_seen(read: Read, memory: Memory, now: datetime) -> dict[str, datetime]:
    return {hash_: memory.get("quarantined", {}).get(hash_, now) for hash_ in read.rejected}


def _now(reading: Reading) -> datetime:
    assert reading.observed_at is not None  # noqa: S101  # a walk has read a page, or raised
    return reading.observed_at


def _placed(rejected: Rejected, neighbours: pa.Table, reading: Reading) -> Rejected:
    """The refused record with a booking time: its own, else the oldest of its page, else of all pages before."""
    if rejected.created_at:
        return rejected
    return rejected._replace(created_at=pc.min(neighbours["created_at"]).as_py() or reading.reached)


def _pages(client: Client, url: str, reading: Reading) -> Iterator[tuple[Page, str | None]]:
    """Every page in the order the API hands them out, empty ones included, each with the link to the next."""
    followed: set[str] = set()
    link: str | None = url
    while link:
        if link in followed:
            raise LoopingLink(client.path_of(link), reading.pages)
        followed.add(link)
        page = _page(client, link, reading)
        following = absolute(link, page.next) if page.next else None
        yield page, following
        link = following


def _page(client: Client, link: str, reading: Reading) -> Page:
    wire = client.wire
    sent, retries, waited_seconds = wire.sent, wire.retries, wire.waited_seconds
    try:
        reply = client.get(link)
    finally:
        reading.requests += wire.sent - sent
        reading.retries += wire.retries - retries
        reading.waited_seconds += wire.waited_seconds - waited_seconds
    try:
        page = read_page(reply.body, reading.account)
    except msgspec.DecodeError as error:
        raise BadReply(client.path_of(link), f"200, but not a page of pickups: {error}") from None
    reading.observed_at = reading.observed_at or reply.served_at
    _count(page, reading)
    return page


def _count(page: Page, reading: Reading) -> None:
    reading.pages += 1
    reading.rows_read += page.rows.num_rows + len(page.rejected)
    reading.quarantined += len(page.rejected)
    if page.rejected and not reading.first_rejection:
        reading.first_rejection = page.rejected[0].reason
    for name, count in page.unknown_fields.items():
        reading.unknown_fields[name] = reading.unknown_fields.get(name, 0) + count
    oldest = pc.min(page.rows["created_at"]).as_py()
    reading.reached = min(filter(None, [reading.reached, oldest]), default=None)
    if reading.on_page:
        reading.on_page(reading)


def _within(span: Span, rows: pa.Table) -> pa.Table:
    """The rows inside the user's bounds: dlt's incremental would drop the others later, uncounted."""
    for bound, inside in ((span.since, pc.greater_equal), (span.until, pc.less)):
        if bound is not None:
            rows = rows.filter(inside(rows["created_at"], pa.scalar(bound, rows["created_at"].type)))
    return rows


def _reaches_further_back(span: Span, memory: Memory) -> bool:
    """Whether an earlier start is asked for than was read: what lies between has never been seen."""
    read_since: Any = memory.get("read_since")
    return read_since is not None and (span.since is None or span.since < read_since)
