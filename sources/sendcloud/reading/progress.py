"""Collects statistics about the walks of a run. Receipts and progress displays show these statistics."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..errors import Unavailable
from ..http.oauth import Tokens
from ..http.rate_limit import TimeBudget
from .clocks import ClockReading, is_after
from .prefetch import Prefetcher


@dataclass
class ReadFacts:
    """Facts about reading one account. All times are in UTC and come from the API's clock."""

    account: str = ""
    api_version: str = "v2"
    api_version_before: str | None = None  # the API version that filled the table, set only during a version change
    clock_difference_seconds: float | None = None  # the most by which this machine's clock was ahead of the API's
    observed_at: datetime | None = None  # time at which the first page was served; every row was read then or later
    pages: int = 0
    requests: int = 0
    retries: int = 0
    waited_seconds: float = 0.0
    links_by_https: int = 0  # next links to our own origin that began with http and were requested by https
    rows_read: int = 0
    quarantined: int = 0
    first_rejection: str | None = None
    is_first_read: bool = False  # this is the account's first read, so there are no earlier rows to compare with
    unknown_fields: dict[str, int] = field(default_factory=dict)
    unreadable_fields: dict[str, int] = field(default_factory=dict)  # optional fields of pickups that were loaded
    order: str | None = None  # newest_first | unsorted
    stopped_because: str | None = None  # frontier | end | chunk
    watermark: datetime | None = None  # newest created_at ever loaded
    frontier: datetime | None = None  # the walk had to read back to this time, or the whole list if None
    open_pickups: int | None = None
    open_beyond_lookback: int | None = None
    frontier_pickup_id: int | None = None  # the pickup that holds back the frontier by more than a month
    oldest_read_at: datetime | None = None  # oldest created_at read so far


@dataclass
class ReadStats(ReadFacts):
    """The facts that walks record while reading, and the state that all walks of a run share.

    The caller can use the facts to show progress. The facts remain available even if a walk fails.
    """

    run_id: str = ""  # the caller's name for the run, for progress displays
    last_as_of: datetime | None = None  # what the caller knows: when the last good run observed the list,
    highest_as_of: datetime | None = None  # and the latest time that any run recorded
    clocks: list[ClockReading] = field(default_factory=list, repr=False)  # of each page of the run's first walk
    is_window: bool = False  # only a scheduler's time window is read
    settled_by: datetime | None = None  # the earlier plausible clock; None until the first walk is complete
    latest_clock: datetime | None = None  # the later plausible clock; None if there is none
    history_complete: bool | None = None  # whether the list has been read to its end at least once
    has_more: bool = False  # whether rows remain to be read: history, a sweep, or an unsorted list
    sweep: str | None = None  # complete | incomplete | not_begun; None without a sweep
    open_within_lookback: int = 0  # open pickups within the lookback that have been read so far
    since: datetime | None = None  # the start date that the user set
    # a pickup that is not in the table is new to the API only if it was booked from here on; None on a first read
    new_from: datetime | None = None
    sweep_began_at: datetime | None = None  # start time of the last sweep, even if that sweep is complete
    consecutive_empty_pages: int = 0
    resumes_unsorted: bool = False  # an earlier run stopped in the middle of an unsorted list
    on_page: Callable[[ReadStats], None] | None = None
    sent_at: deque[float] = field(default_factory=deque, repr=False)  # request times, for the rate limit of the run
    tokens: Tokens = field(default_factory=dict, repr=False)  # shared by all packages of the run
    history_links_read: set[str] = field(default_factory=set, repr=False)  # links where history packages started
    budget: TimeBudget | None = field(default=None, repr=False)  # shared by all packages of the run
    cut_short_by: Unavailable | None = field(default=None, repr=False)  # ended a package whose pages are still loaded
    prefetcher: Prefetcher[Any] | None = field(default=None, repr=False)  # reads the next package during loading

    @property
    def has_future_times(self) -> bool:
        """Whether an earlier run recorded times that are well after every plausible clock."""
        return is_after(self.last_as_of, self.latest_clock) or is_after(self.highest_as_of, self.latest_clock)

    def stop_prefetch(self) -> None:
        """Stops the prefetcher if one is running."""
        if self.prefetcher:
            self.prefetcher.close()
        self.prefetcher = None
