"""A clock that the test moves."""

from __future__ import annotations


class Clock:
    """Stands still until somebody sleeps. Takes the place of the `time` module where somebody does."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
