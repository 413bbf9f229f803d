"""What a run's walks did, in numbers: what a receipt and a progress display are made of."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .ahead import Ahead
from .oauth import Tokens


@dataclass
class Reading:
    """What a run's walks did, in numbers: the source's part of the receipt. Filled while they go on, so that whoever
    handed it in can show progress and still has it when a walk fails. Instants are UTC, by the API's clock.
    """

    account: str = ""
    api_version: str = "v2"
    api_version_before: str | None = None  # of before a change-over, until all was read again by this one
    run_id: str = ""  # what the caller calls the run, for progress
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
    stopped_because: str | None = None  # frontier | end | chunk
    frontier: datetime | None = None  # down to which this walk had to read; None: to the end
    watermark: datetime | None = None  # newest created_at ever loaded
    reached: datetime | None = None  # oldest created_at read so far
    open_near: int = 0  # open pickups within the lookback that were read so far
    open_pickups: int | None = None
    open_beyond_lookback: int | None = None
    history_complete: bool | None = None  # the list has been read to its end once
    has_more: bool = False  # behind what was read: history, a sweep, a list without order
    sweep: str | None = None  # complete | incomplete | not_begun, where one was asked for or is under way
    since: datetime | None = None  # the user's start date
    sweep_began_at: datetime | None = None  # the last sweep, also when it is over
    empty_in_a_row: int = 0
    goes_on_unsorted: bool = False  # from where an earlier run left a list without order
    on_page: Callable[[Reading], None] | None = None
    sent_at: deque[float] = field(default_factory=deque, repr=False)  # for the pace of the run
    tokens: Tokens = field(default_factory=dict, repr=False)  # one for all packages of the run
    begun_at: set[str] = field(default_factory=set, repr=False)  # links at which this run's packages of history began
    ahead: Ahead[Any] | None = field(default=None, repr=False)  # the pages of the next package, while one is loaded

    def let_go(self) -> None:
        """Ends reading ahead, if any is under way."""
        if self.ahead:
            self.ahead.close()
        self.ahead = None
