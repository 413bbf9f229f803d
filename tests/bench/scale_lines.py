"""Waiting lines and a clock: all that a simulation by discrete events is made of."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count


@dataclass
class Line:
    """So many at once, first come, first served."""

    at_once: int
    busy: float = 0.0
    free_at: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.free_at = [0.0] * self.at_once

    def serve(self, now: float, seconds: float) -> float:
        """When it is done."""
        end = max(now, self.free_at[0]) + seconds
        heapq.heapreplace(self.free_at, end)
        self.busy += seconds
        return end


@dataclass
class Clock:
    """What is to happen, in the order of time."""

    events: list[tuple[float, int, Callable[[float], None]]] = field(default_factory=list)
    numbers: count[int] = field(default_factory=count)

    def at(self, when: float, happens: Callable[[float], None]) -> None:
        heapq.heappush(self.events, (when, next(self.numbers), happens))

    def run(self, until: float) -> None:
        while self.events and self.events[0][0] <= until:
            when, _, happens = heapq.heappop(self.events)
            happens(when)
