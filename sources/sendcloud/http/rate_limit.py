"""Limits the request rate.

Sendcloud's limit on requests per minute applies to the whole account (documentation as of 2026-11).
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from math import inf

WINDOW_SECONDS = 60.0


@dataclass
class RateLimiter:
    """Allows at most `per_minute` requests in any 60 seconds, so an account with only a few pages never waits."""

    per_minute: int
    sent_at: deque[float] = field(default_factory=deque)

    def wait(self) -> float:
        """Sleeps until another request may be sent, and counts that request. Returns the wait in seconds."""
        now = time.monotonic()
        while self.sent_at and self.sent_at[0] <= now - WINDOW_SECONDS:
            self.sent_at.popleft()
        seconds = 0.0
        if len(self.sent_at) >= self.per_minute:
            seconds = self.sent_at[0] + WINDOW_SECONDS - now
            time.sleep(seconds)
        self.sent_at.append(now + seconds)
        return seconds


@dataclass
class TimeBudget:
    """Limits the time for reading an account. The time is measured from the account's first request."""

    seconds: float
    _ends_at: float | None = None

    def remaining_seconds(self) -> float:
        """Returns the remaining time in seconds, or infinity if the budget is 0."""
        if not self.seconds:
            return inf
        if self._ends_at is None:
            self._ends_at = time.monotonic() + self.seconds
        return self._ends_at - time.monotonic()
