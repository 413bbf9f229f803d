"""Pages in a row, from a link on: followed, taken apart, counted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from .ahead import Ahead
from .client import Client, Reply
from .errors import BadReply, LoopingLink
from .frontier import Order, lies_before
from .origin import absolute
from .reading import Reading
from .records import Page, read_page
from .rows import Rejected, latest_sightings

PAGES_AHEAD = 200  # while 100,000 pickups are loaded, about as many are read
EMPTY_IN_A_ROW = 100  # a filter of the API's may leave some pages empty; links without end must not hold the lock


class Read(NamedTuple):
    """What some pages in a row brought, and the link behind the last of them; None at the end of the list."""

    rows: pa.Table
    rejected: dict[str, Rejected]
    order: Order
    next: str | None


class Listed(NamedTuple):
    """One page as it came: what is in it, the link to the next as an absolute address, the API's clock."""

    page: Page
    next: str | None
    served_at: datetime


class Stop(NamedTuple):
    """Where reading may stop short of the end of the list.

    At the first page that lies wholly before an instant, if the list is in order; and after so many pages: any list,
    or only one without order, which has to be read to its end, however long it is.
    """

    before: datetime | None = None
    after_pages: int | None = None
    only_unsorted: bool = False

    def is_here(self, pages: int, rows: pa.Table, order: Order) -> str | None:
        """Why to stop behind these rows, the so-manieth page: `frontier`, `chunk`, or None to read on."""
        if order.newest_first and self.before and lies_before(rows, self.before):
            return "frontier"
        if self.after_pages and pages >= self.after_pages and (order.broken or not self.only_unsorted):
            return "chunk"
        return None


def read_pages(client: Client, link: str, order: Order, stop: Stop, reading: Reading) -> Read:
    """Pages from `link` on until `stop` says so, or the list ends; `reading.stopped_because` tells which.

    Raises the errors of client.py, BadReply for a page that isn't one, LoopingLink for a link followed before.
    """
    tables, rejected, following = [], dict[str, Rejected](), None
    reading.stopped_because = "end"
    for number, (page, following, served_at) in enumerate(_from(link, client, stop, reading), start=1):
        reading.observed_at = reading.observed_at or served_at
        _count(page, reading)
        order.see(page.rows)
        if reading.order != "unsorted":
            reading.order = "unsorted" if order.broken else "newest_first"
        tables.append(page.rows)
        rejected |= {r.record_hash: _placed(r, page.rows, reading) for r in page.rejected}
        because = stop.is_here(number, page.rows, order)
        if because == "frontier" or (because and following):
            reading.stopped_because = because
            break
    return Read(latest_sightings(tables), rejected, order, following)


def _placed(rejected: Rejected, neighbours: pa.Table, reading: Reading) -> Rejected:
    """The refused record with a booking time: its own, else the oldest of its page, else of all pages before."""
    if rejected.created_at:
        return rejected
    return rejected._replace(created_at=pc.min(neighbours["created_at"]).as_py() or reading.reached)


def _from(link: str, client: Client, stop: Stop, reading: Reading) -> Iterator[Listed]:
    """The pages from `link` on, read ahead where all of them will be wanted: down to an instant they may not be."""
    if stop.before:
        return _pages(client, link, reading)
    if not reading.ahead or not reading.ahead.last or reading.ahead.last.next != link:
        reading.let_go()
        reading.ahead = Ahead(_pages(client, link, reading), PAGES_AHEAD)
    return reading.ahead


def _pages(client: Client, url: str, reading: Reading) -> Iterator[Listed]:
    """Every page in the order the API hands them out, empty ones included."""
    followed: set[str] = set()
    pages_before, link = reading.pages, url
    while link:
        if link in followed:
            raise LoopingLink(client.path_of(link), pages_before + len(followed))
        followed.add(link)
        reply = _reply(client, link, reading)
        page = _page(reply, client, client.path_of(link), reading)
        link = absolute(link, page.next) if page.next else ""
        yield Listed(page, link or None, reply.served_at)


def _reply(client: Client, link: str, reading: Reading) -> Reply:
    wire = client.wire
    sent, retries, waited_seconds = wire.sent, wire.retries, wire.waited_seconds
    try:
        return client.get(link)
    finally:
        reading.requests += wire.sent - sent
        reading.retries += wire.retries - retries
        reading.waited_seconds += wire.waited_seconds - waited_seconds


def _page(reply: Reply, client: Client, path: str, reading: Reading) -> Page:
    try:
        page = read_page(reply.body, reading.account, client.version, reply.link)
    except msgspec.DecodeError as error:
        raise BadReply(path, f"200, but not a page of pickups: {error}") from None
    reading.empty_in_a_row = 0 if page.rows.num_rows or page.rejected else reading.empty_in_a_row + 1
    if reading.empty_in_a_row >= EMPTY_IN_A_ROW and page.next:
        raise BadReply(path, f"{EMPTY_IN_A_ROW} empty pages in a row, and a link to yet another")
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
