"""One walk over the list, from the newest page towards the past: pages in, one table of rows and a memory out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from .client import Client, absolute
from .errors import BadReply, LoopingLink
from .frontier import Memory, Order, Rules, frontier_of, lies_before, remember
from .records import Page, Rejected, as_quarantine, latest_sightings, read_page


@dataclass
class Reading:
    """What a walk did, in numbers: the source's part of the receipt. Filled while it goes on, so that whoever
    handed it in can show progress and still has it when the walk fails. Instants are UTC, by the API's clock.
    """

    account: str = ""
    observed_at: datetime | None = None  # when the first page was served: every row was seen then or later
    pages: int = 0
    requests: int = 0
    retries: int = 0
    waited_seconds: float = 0.0
    rows_read: int = 0
    quarantined: int = 0
    first_rejection: str | None = None
    is_first_read: bool = False  # of the account: there is nothing to compare with
    unknown_fields: dict[str, int] = field(default_factory=dict)
    order: str | None = None  # newest_first | unsorted
    stopped_because: str | None = None  # frontier | end
    frontier: datetime | None = None  # down to which this walk had to read; None: to the end
    watermark: datetime | None = None  # newest created_at ever loaded
    reached: datetime | None = None  # oldest created_at read so far
    open_pickups: int | None = None
    open_beyond_lookback: int | None = None
    history_complete: bool | None = None
    on_page: Callable[[Reading], None] | None = None


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


def walk(client: Client, page_size: int, memory: Memory, rules: Rules, span: Span, reading: Reading) -> Walked:
    """Reads until the frontier or the end of the list, see frontier.py for which.

    With `span.until` set (a window given by a scheduler) the memory stays as it was, as dlt's own incremental does.
    Raises the errors of client.py, BadReply for a page that isn't one, LoopingLink for a link seen before.
    """
    if _reaches_further_back(span, memory):
        memory = {}
    reading.is_first_read = not memory
    frontier = None if span.until else frontier_of(memory, rules)
    reading.frontier = max(filter(None, [frontier, span.since]), default=None)
    order = Order(memory.get("newest_listed_at"), rules)
    tables, rejected = [], dict[str, Rejected]()
    reading.stopped_because = "end"
    for page in _pages(client, f"{client.base_url}/pickups?limit={page_size}", reading):
        order.see(page.rows)
        reading.order = "newest_first" if order.newest_first else "unsorted"
        tables.append(page.rows)
        rejected |= {r.record_hash: _placed(r, page.rows, reading) for r in page.rejected}
        if order.newest_first and reading.frontier and lies_before(page.rows, reading.frontier):
            reading.stopped_because = "frontier"
            break
    return _finish(_within(span, latest_sightings(tables)), rejected, memory, rules, span, reading)


def _finish(
    rows: pa.Table, rejected: dict[str, Rejected], memory: Memory, rules: Rules, span: Span, reading: Reading
) -> Walked:
    now = reading.observed_at
    assert now is not None  # noqa: S101  # a walk has read a page, or raised
    first_seen = {hash_: memory.get("quarantined", {}).get(hash_, now) for hash_ in rejected}
    quarantine = as_quarantine(rejected, reading.account, first_seen, now)
    reading.quarantined = len(rejected)
    if span.until:
        return Walked(rows, quarantine, memory, not memory)
    to_end = reading.stopped_because == "end"
    unread = [r.created_at for hash_, r in rejected.items() if r.created_at and now < first_seen[hash_] + rules.settle]
    memory_after, reading.open_pickups = remember(memory, rows, unread=unread, read_to_end=to_end, now=now, rules=rules)
    memory_after["quarantined"] = memory.get("quarantined", {}) | first_seen
    memory_after["read_since"] = span.since
    reading.open_beyond_lookback = len(memory_after.get("beyond_lookback", {}))
    reading.history_complete = True
    return Walked(rows, quarantine, memory_after, not memory)


def _placed(rejected: Rejected, neighbours: pa.Table, reading: Reading) -> Rejected:
    """The refused record with a booking time: its own, else the oldest of its page, else of all pages before."""
    if rejected.created_at:
        return rejected
    return rejected._replace(created_at=pc.min(neighbours["created_at"]).as_py() or reading.reached)


def _pages(client: Client, url: str, reading: Reading) -> Iterator[Page]:
    """Every page of the list in the order the API hands them out, empty ones included."""
    followed: set[str] = set()
    link: str | None = url
    while link:
        followed.add(link)
        page = _page(client, link, reading)
        yield page
        link = absolute(link, page.next) if page.next else None
        if link in followed:
            raise LoopingLink(client.path_of(link), reading.pages)


def _page(client: Client, link: str, reading: Reading) -> Page:
    try:
        reply = client.get(link)
    finally:
        reading.requests, reading.retries = client.wire.sent, client.wire.retries
        reading.waited_seconds = client.wire.waited_seconds
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
