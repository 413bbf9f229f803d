"""Reads consecutive pages: follows the next links, decodes the pages and counts the rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import BadResponse, LoopingLink, Unavailable
from ..http.client import Client, PageResponse
from ..http.origins import resolve_link
from ..records.decode import Page, decode_page
from ..records.envelope import digest_page
from ..records.tables import RejectedRecord, keep_latest
from .bookings import judge_by_bookings
from .clocks import ClockReading, largest_difference, machine_time
from .order import OrderCheck, is_before
from .prefetch import Prefetcher
from .progress import ReadStats

MAX_PREFETCHED_PAGES = 200  # About 100,000 pickups are prefetched while another 100,000 are being loaded.
MAX_KEPT_PAGES = 50  # 25,000 rows, which take up about 5 MB.
MAX_EMPTY_PAGES = 100  # A filter may leave pages empty, but an endless series of them must not block other runs.


class PagesRead(NamedTuple):
    """The content of consecutive pages. `next` is the link after the last page, or None at the end of the list."""

    rows: pa.Table
    rejected: dict[str, RejectedRecord]
    order: OrderCheck
    next: str | None


class ListedPage(NamedTuple):
    """One decoded page, the absolute address of the next page, and the time at which the API served the page.

    `digest` is the digest of the page's records, or an empty string if the run does not keep its pages.
    """

    page: Page
    next: str | None
    clocks: ClockReading
    digest: str = ""


class StopRule(NamedTuple):
    """The conditions under which reading may stop before the end of the list.

    If the list is sorted, reading stops at the first page whose rows were all booked before `before`. Reading also
    stops after `after_pages` pages. With `only_unsorted`, the page limit applies only if the list is unsorted, because
    such a list must be read to its end.
    """

    before: datetime | None = None
    after_pages: int | None = None
    only_unsorted: bool = False

    def may_stop_early(self, order: OrderCheck) -> bool:
        """Returns whether a package may be shorter than planned. The next run then resumes at the next link."""
        return bool(self.after_pages) and (order.broken or not self.only_unsorted)

    def reason_to_stop(self, pages: int, rows: pa.Table, order: OrderCheck) -> str | None:
        """Returns `frontier` or `chunk` if reading stops after `rows`, else None. `pages` counts from 1."""
        if order.newest_first and self.before and is_before(rows, self.before):
            return "frontier"
        if self.after_pages and pages >= self.after_pages and self.may_stop_early(order):
            return "chunk"
        return None


def read_pages(client: Client, link: str, order: OrderCheck, stop: StopRule, stats: ReadStats) -> PagesRead:
    """Returns the pages from `link` to the point where `stop` applies or the list ends.

    Updates the counts in `stats`, and sets `stats.stopped_because` to the reason for stopping.

    Raises:
        SendcloudError: a request failed. The possible errors are listed in `Client.get`.
        BadResponse: a response is not a page of pickups, or too many consecutive pages are empty.
        LoopingLink: a next link leads back to a page that this walk has already read.
    """
    tables, rejected, following = [], dict[str, RejectedRecord](), None
    stats.stopped_because = "end"
    pages = _until_unavailable(_page_source(link, client, stop, stats), order, stop, stats)
    for number, listed in enumerate(pages, start=1):
        page, following, clocks, _ = listed
        _keep(listed, stats)
        if not stats.settled_by:
            _note_clocks(clocks, page.rows, stats)
        _update_stats(page, stats)
        order.add_page(page.rows)
        if stats.order != "unsorted":
            stats.order = "unsorted" if order.broken else "newest_first"
        tables.append(page.rows)
        rejected |= {r.record_hash: _with_booking(r, page.rows, stats) for r in page.rejected}
        because = stop.reason_to_stop(number, page.rows, order)
        if because == "frontier" or (because and following):
            stats.stopped_because = because
            break
    return PagesRead(keep_latest(tables), rejected, order, following)


def _until_unavailable(
    pages: Iterator[ListedPage], order: OrderCheck, stop: StopRule, stats: ReadStats
) -> Iterator[ListedPage]:
    """Yields pages until the API is unavailable or the account's time is used up.

    If a shorter package is allowed, the pages that have been read are still loaded. The error is raised when the next
    package is requested (`stats.cut_short_by`).
    """
    is_begun = False
    try:
        for page in pages:
            yield page
            is_begun = True
    except Unavailable as error:
        if not (is_begun and stop.may_stop_early(order)):
            raise
        stats.stopped_because, stats.cut_short_by = "chunk", error


def _keep(listed: ListedPage, stats: ReadStats) -> None:
    """Keeps the page for `predict_repeat`. A walk with more pages than MAX_KEPT_PAGES keeps none."""
    if stats.kept_pages is None:
        return
    stats.kept_pages.append(listed)
    if not listed.digest or len(stats.kept_pages) > MAX_KEPT_PAGES:
        stats.kept_pages = None


def _note_clocks(clocks: ClockReading, rows: pa.Table, stats: ReadStats) -> None:
    """Adds the page's clock readings to those of the walk.

    If the walk fails, the clock readings of the first page determine the time of the run.
    """
    stats.clocks.append(clocks)
    stats.clock_difference_seconds = max(stats.clock_difference_seconds or 0.0, largest_difference([clocks]), key=abs)
    if stats.observed_at is None:
        stats.observed_at = judge_by_bookings(stats.clocks, rows["created_at"], stats.last_as_of).as_of


def _with_booking(rejected: RejectedRecord, neighbours: pa.Table, stats: ReadStats) -> RejectedRecord:
    """Returns the rejected record with a booking time.

    A record without a booking time gets the oldest booking time on its page. If the page has no rows, the record gets
    the oldest booking time on all earlier pages.
    """
    if rejected.created_at:
        return rejected
    return rejected._replace(created_at=pc.min(neighbours["created_at"]).as_py() or stats.oldest_read_at)


def _page_source(link: str, client: Client, stop: StopRule, stats: ReadStats) -> Iterator[ListedPage]:
    """Returns the pages from `link` onwards. If the walk needs all pages, they are prefetched.

    A walk that may stop at a certain booking time does not prefetch, because the next pages may not be needed.
    """
    if stats.replayed_pages is not None:
        return stats.replayed_pages
    if stop.before:
        return _follow_links(client, link, stats)
    if not stats.prefetcher or not stats.prefetcher.last or stats.prefetcher.last.next != link:
        stats.stop_prefetch()
        stats.prefetcher = Prefetcher(_follow_links(client, link, stats), MAX_PREFETCHED_PAGES)
    return stats.prefetcher


def _follow_links(client: Client, url: str, stats: ReadStats) -> Iterator[ListedPage]:
    """Yields every page in the API's order, including empty pages."""
    followed: set[str] = set()
    pages_before, link = stats.pages, url
    while link:
        if link in followed:
            raise LoopingLink(client.path_of(link), pages_before + len(followed))
        followed.add(link)
        reply, machine_at = _request_page(client, link, stats), machine_time()
        page = _decode_page(reply, client, client.path_of(link), stats)
        link = resolve_link(link, page.next) if page.next else ""
        yield ListedPage(page, link or None, ClockReading(reply.served_at, machine_at), _digest(reply, client, stats))


def _request_page(client: Client, link: str, stats: ReadStats) -> PageResponse:
    wire = client.wire
    sent, retries, waited_seconds = wire.sent, wire.retries, wire.waited_seconds
    by_https = client.links_by_https
    try:
        return client.get(link)
    finally:
        stats.requests += wire.sent - sent
        stats.retries += wire.retries - retries
        stats.waited_seconds += wire.waited_seconds - waited_seconds
        stats.links_by_https += client.links_by_https - by_https


def _decode_page(reply: PageResponse, client: Client, path: str, stats: ReadStats) -> Page:
    try:
        page = decode_page(reply.body, stats.account, client.version, reply.link)
    except msgspec.DecodeError as error:
        raise BadResponse(path, f"200, but not a page of pickups: {error}") from None
    stats.consecutive_empty_pages = 0 if page.rows.num_rows or page.rejected else stats.consecutive_empty_pages + 1
    if stats.consecutive_empty_pages >= MAX_EMPTY_PAGES and page.next:
        raise BadResponse(path, f"{MAX_EMPTY_PAGES} empty pages in a row, and the last one links to another page")
    return page


def _digest(reply: PageResponse, client: Client, stats: ReadStats) -> str:
    if stats.kept_pages is None:
        return ""
    with suppress(msgspec.DecodeError, RecursionError):
        return digest_page(reply.body, client.version, reply.link)[0]
    return ""


def _update_stats(page: Page, stats: ReadStats) -> None:
    stats.pages += 1
    stats.rows_read += page.rows.num_rows + len(page.rejected)
    stats.quarantined += len(page.rejected)
    if page.rejected and not stats.first_rejection:
        stats.first_rejection = page.rejected[0].reason
    stats.unknown_fields.update(page.unknown_fields)
    stats.unreadable_fields.update(page.unreadable_fields)
    oldest = pc.min(page.rows["created_at"]).as_py()
    stats.oldest_read_at = min(filter(None, [stats.oldest_read_at, oldest]), default=None)
    if stats.on_page:
        stats.on_page(stats)
