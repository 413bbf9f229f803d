"""Collects statistics about the walks of a run. Receipts and progress displays show these statistics."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..errors import OutOfTime
from ..http.oauth import Tokens
from ..http.rate_limit import TimeBudget
from .prefetch import Prefetcher


@dataclass
class ReadFacts:
    """Facts about reading one account. All times are in UTC and come from the API's clock."""

    account: str = ""
    api_version: str = "v2"
    api_version_before: str | None = None  # the API version that filled the table, set only during a version change
    observed_at: datetime | None = None  # time at which the first page was served; every row was read then or later
    pages: int = 0
    requests: int = 0
    retries: int = 0
    waited_seconds: float = 0.0
    rows_read: int = 0
    quarantined: int = 0
    first_rejection: str | None = None
    is_first_read: bool = False  # this is the account's first read, so there are no earlier rows to compare with
    unknown_fields: dict[str, int] = field(default_factory=dict)
    order: str | None = None  # newest_first | unsorted
    stopped_because: str | None = None  # frontier | end | chunk
    watermark: datetime | None = None  # newest created_at ever loaded
    frontier: datetime | None = None  # the walk had to read back to this time, or the whole list if None
    open_pickups: int | None = None
    open_beyond_lookback: int | None = None
    oldest_read_at: datetime | None = None  # oldest created_at read so far


@dataclass
class ReadStats(ReadFacts):
    """The facts that walks record while reading, and the state that all walks of a run share.

    The caller can use the facts to show progress. The facts remain available even if a walk fails.
    """

    run_id: str = ""  # the caller's name for the run, for progress displays
    history_complete: bool | None = None  # whether the list has been read to its end at least once
    has_more: bool = False  # whether rows remain to be read: history, a sweep, or an unsorted list
    sweep: str | None = None  # complete | incomplete | not_begun; None without a sweep
    open_within_lookback: int = 0  # open pickups within the lookback that have been read so far
    since: datetime | None = None  # the start date that the user set
    sweep_began_at: datetime | None = None  # start time of the last sweep, even if that sweep is complete
    consecutive_empty_pages: int = 0
    resumes_unsorted: bool = False  # an earlier run stopped in the middle of an unsorted list
    on_page: Callable[[ReadStats], None] | None = None
    sent_at: deque[float] = field(default_factory=deque, repr=False)  # request times, for the rate limit of the run
    tokens: Tokens = field(default_factory=dict, repr=False)  # shared by all packages of the run
    history_links_read: set[str] = field(default_factory=set, repr=False)  # links where history packages started
    budget: TimeBudget | None = field(default=None, repr=False)  # shared by all packages of the run
    cut_short_by: OutOfTime | None = field(default=None, repr=False)  # ended a package whose pages are still loaded
    prefetcher: Prefetcher[Any] | None = field(default=None, repr=False)  # reads the next package during loading

    def stop_prefetch(self) -> None:
        """Stops the prefetcher if one is running."""
        if self.prefetcher:
            self.prefetcher.close()
        self.prefetcher = None
