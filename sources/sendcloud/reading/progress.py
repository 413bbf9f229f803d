"""Collects statistics about the walks of a run. Receipts and progress displays show these statistics."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from .clocks import ClockReading, is_after

if TYPE_CHECKING:
    from ..errors import Unavailable
    from ..http.oauth import Tokens
    from ..http.rate_limit import TimeBudget
    from .pages import ListedPage
    from .prefetch import Prefetcher
    from .repeat import Repeat


class ReadFacts(Struct):
    """Facts about how one account was read. All times are in UTC and come from the API's clock."""

    account: str = ""
    api_version: str = "v2"
    api_version_before: str | None = None  # The API version that filled the table, set only during a version change.
    clock_difference_seconds: float | None = None  # How far this machine's clock was ahead of the API's clock.
    observed_at: datetime | None = None  # The time at which the first page was served; no row was read earlier.
    pages: int = 0
    requests: int = 0
    retries: int = 0
    waited_seconds: float = 0.0
    links_by_https: int = 0  # The number of next links that began with http but were requested over https.
    rows_read: int = 0
    quarantined: int = 0
    first_rejection: str | None = None
    is_first_read: bool = False  # Whether this is the account's first read, without earlier rows to compare with.
    unknown_fields: Counter[str] = field(default_factory=Counter)
    unreadable_fields: Counter[str] = field(
        default_factory=Counter
    )  # The unreadable optional fields of loaded pickups.
    order: str | None = None  # `newest_first` or `unsorted`.
    stopped_because: str | None = None  # `frontier`, `end` or `chunk`.
    watermark: datetime | None = None  # The newest booking time ever loaded.
    frontier: datetime | None = None  # The walk had to read back to this time; None means the whole list.
    open_pickups: int | None = None
    open_beyond_lookback: int | None = None
    frontier_pickup_id: int | None = None  # The pickup that holds back the frontier by more than a month.
    oldest_read_at: datetime | None = None  # The oldest booking time read so far.


class ReadStats(ReadFacts):
    """The facts that walks record while reading, and the state that all walks of a run share.

    The caller can use the facts to show progress. The facts remain available even if a walk fails.
    """

    run_id: str = ""  # The caller's name for the run, for progress displays.
    last_as_of: datetime | None = None  # From the caller: the time at which the last good run observed the list.
    highest_as_of: datetime | None = None  # From the caller: the latest time that any run recorded.
    # The clock readings for each page of the first walk.
    clocks: list[ClockReading] = field(default_factory=list)
    is_window: bool = False  # Whether only a scheduler's time window is read.
    settled_by: datetime | None = None  # The earlier plausible clock, or None until the first walk is complete.
    latest_clock: datetime | None = None  # The later plausible clock, or None if no clock is plausible.
    history_complete: bool | None = None  # Whether the list has been read to its end at least once.
    has_more: bool = False  # Whether rows remain to be read: history, a sweep, or an unsorted list.
    sweep: str | None = None  # `complete`, `incomplete` or `not_begun`, or None if there is no sweep.
    open_within_lookback: int = 0  # The number of open pickups within the lookback read so far.
    since: datetime | None = None  # The start date that the user set.
    # A pickup that is missing from the table is new to the API only if it was booked at or after `new_from`.
    # On a first read, `new_from` is None.
    new_from: datetime | None = None
    sweep_began_at: datetime | None = None  # The start time of the last sweep, even if that sweep is complete.
    consecutive_empty_pages: int = 0
    resumes_unsorted: bool = False  # Whether an earlier run stopped in the middle of an unsorted list.
    on_page: Callable[[ReadStats], None] | None = None
    sent_at: deque[float] = field(default_factory=deque)  # Request times, for the rate limit of the run.
    tokens: Tokens = field(default_factory=dict)  # Shared by all packages of the run.
    history_links_read: set[str] = field(default_factory=set)  # Links at which history packages started.
    budget: TimeBudget | None = None  # Shared by all packages of the run.
    cut_short_by: Unavailable | None = None  # The error that ended a package early.
    prefetcher: Prefetcher[Any] | None = None  # Reads the next package during loading.
    # The pages of the walk if the caller wants a prediction of the next walk, else None (repeat.py).
    kept_pages: list[ListedPage] | None = None
    replayed_pages: Iterator[ListedPage] | None = None  # Read in place of the API's pages.
    repeat: Repeat | None = None  # The next walk if the list stays the same, if predictable.

    def __repr__(self) -> str:
        """Returns only the account, because `tokens` contains secrets."""
        return f"{type(self).__name__}(account={self.account!r})"

    @property
    def has_future_times(self) -> bool:
        """Whether an earlier run recorded times that are well after every plausible clock."""
        return is_after(self.last_as_of, self.latest_clock) or is_after(self.highest_as_of, self.latest_clock)

    def stop_prefetch(self) -> None:
        """Stops the prefetcher if one is running."""
        if self.prefetcher:
            self.prefetcher.close()
        self.prefetcher = None
