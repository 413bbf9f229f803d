"""Predicts the next walk, in case the API lists the same pages again.

If the next run gets these pages again, it need not decode them, because it knows what they contain. `walk` itself makes
the prediction: it reads the kept pages with the new memory, as if the API had listed them a second time. The rules for
what to read and when to stop therefore exist only once.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ..http.client import Client
from ..records.tables import keep_latest
from .frontier import Memory, Rules, open_rows
from .instants import instant
from .outcome import Span
from .progress import ReadFacts, ReadStats
from .walk import walk


class Repeat(NamedTuple):
    """What the next walk does if the API lists the same pages. It then finds no changes and leaves the memory as it is.

    Attributes:
        first_page: the address of the first page.
        digests: the digest of each page's records, in order.
        is_whole_list: whether the walk ends because the last page has no next link.
        rows: the number of rows in these pages, with one row per id.
        booked: the newest booking, or None if there are no rows.
        unchanged_until: the time at which the memory changes although the pages stay the same, or None.
        settles_at: when each open pickup settles, in ascending order.
        facts: the facts about this walk.
        history_complete: whether the list has been read to its end at least once.
    """

    first_page: str
    digests: list[str]
    is_whole_list: bool
    rows: int
    booked: datetime | None
    unchanged_until: datetime | None
    settles_at: list[datetime]
    facts: ReadFacts
    history_complete: bool


def predict_repeat(client: Client, memory: Memory, rules: Rules, span: Span, stats: ReadStats) -> Repeat | None:
    """Returns the next walk over the kept pages, or None if the run keeps no pages or the next walk isn't certain.

    The next walk isn't certain if it reads further than this one did, if it changes the memory, or if it depends on
    anything but the pages and the time, such as an unsorted list or a record that may still be corrected.

    Args:
        client: the client of this walk. It sends no request.
        memory: the memory that this walk leaves.
        rules: the source's settings.
        span: the user's bounds on created_at.
        stats: the facts about this walk, and its pages.
    """
    kept, now = stats.kept_pages, stats.settled_by
    if not kept or not now or span.until or _is_unusual(stats):
        return None
    again = ReadStats(account=stats.account, api_version=stats.api_version, last_as_of=stats.observed_at)
    again.replayed_pages = iter(kept)
    walked = walk(client, "head", memory, rules, span, again)
    read = kept[: again.pages]
    rows = keep_latest([listed.page.rows for listed in read])
    is_whole_list = again.stopped_because == "end" and read[-1].next is None
    is_proven = is_whole_list or (again.stopped_because == "frontier" and again.order == "newest_first")
    if not walked or walked.memory != memory or not is_proven or not _reads_as_far(stats, again):
        return None
    booked: datetime | None = pc.max(rows["created_at"]).as_py()
    open_now = open_rows(rows, now, rules.settle)
    settles_at = _settle_times(memory, open_now, rules)
    if "missing_since" in memory or (booked and booked > now) or len(settles_at) != again.open_pickups:
        return None
    again.watermark = stats.watermark
    return Repeat(
        client.first_page(rules.page_size),
        [listed.digest for listed in read],
        is_whole_list,
        walked.rows.num_rows,
        booked,
        _first_change(memory, open_now),
        settles_at,
        ReadFacts(**{name: getattr(again, name) for name in ReadFacts.__struct_fields__}),
        bool(again.history_complete),
    )


def _is_unusual(stats: ReadStats) -> bool:
    """Returns whether the next run has more to do than to read the same pages, or has to correct this run's times."""
    has_later_time = bool(stats.highest_as_of and stats.observed_at and stats.highest_as_of > stats.observed_at)
    return (
        bool(stats.quarantined or stats.has_more or stats.links_by_https or stats.api_version_before) or has_later_time
    )


def _reads_as_far(stats: ReadStats, again: ReadStats) -> bool:
    """Returns whether this walk covered everything that the next one must cover.

    Otherwise, the next run could expect an open pickup in the list that this run did not look for.
    """
    return stats.frontier is None or (again.frontier is not None and again.frontier >= stats.frontier)


def _settle_times(memory: Memory, open_now: pa.Table, rules: Rules) -> list[datetime]:
    newest, beyond = memory.get("newest_listed_at"), memory.get("beyond_lookback", {})
    near = open_now
    if newest:
        near = open_now.filter(pc.greater_equal(open_now["created_at"], instant(newest - rules.max_lookback)))
    return sorted([*near["settles_at"].to_pylist(), *beyond.values()])


def _first_change(memory: Memory, open_now: pa.Table) -> datetime | None:
    """Returns the time at which the oldest open pickup or one beyond the lookback settles, or None if there is none."""
    oldest = memory.get("oldest_open_at")
    settling = list(memory.get("beyond_lookback", {}).values())
    if oldest:
        settling += open_now.filter(pc.equal(open_now["created_at"], instant(oldest)))["settles_at"].to_pylist()
    return min(settling, default=None)
