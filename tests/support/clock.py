"""Simulates a clock that moves only under a test's control."""

from __future__ import annotations


class Clock:
    """A clock that moves only when code sleeps. It replaces the `time` module in the module under test."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
