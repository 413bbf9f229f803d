"""A simulation of runs by discrete events: accounts, processes, a server, and how old the data are meanwhile.

A process has a core of its own. Every quarter of an hour it starts, unless it still runs; takes its accounts, four at
once, whose requests go at the pace of each; all its work is done one behind the other (Python, and the turn to write);
then it checks and publishes the rows of its accounts. On a server, the parts of all processes share the server's cores.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from scale_accounts import Account, Kind, Terms, Visit, visit
from scale_lines import Clock, Line
from scale_model import Model

EVERY_SECONDS = 900.0
AT_ONCE = 4  # pipelines/turns.py
DELAY_SECONDS = 30.0  # RandomizedDelaySec of the timer
LOOKS = 23


class Seen(NamedTuple):
    """What came of it."""

    ages: list[float]  # seconds, of accounts at instants that lie evenly
    busy_share: float  # of the processes' time
    server_cores: float
    requests_a_minute: float


@dataclass
class Process:
    """`pickups run` over its accounts, again and again."""

    accounts: Sequence[Account]
    model: Model
    terms: Terms
    server: Line
    clock: Clock
    random: Random
    rows: float  # that its checks look at
    kind: Kind = "usual"
    core: Line = field(default_factory=lambda: Line(1))
    left: deque[int] = field(default_factory=deque)
    under_way: int = 0
    asked_at: dict[int, float] = field(default_factory=dict)
    published: list[tuple[float, dict[int, float]]] = field(default_factory=list)
    requests: int = 0
    visits: list[Visit] = field(init=False)

    def __post_init__(self) -> None:
        self.visits = [visit(account, self.kind, self.model, self.terms) for account in self.accounts]

    def start(self, now: float) -> None:
        if self.kind == "usual":
            self.clock.at(now + EVERY_SECONDS, self.start)
        if self.under_way or self.left:  # it still runs: the timer's next is dropped
            return
        self.left, self.asked_at = deque(range(len(self.accounts))), {}
        lanes = min(AT_ONCE, len(self.accounts))
        self.under_way = lanes
        self.clock.at(self.core.serve(now, self.model.process.start), lambda then: self._begin(then, lanes))

    def _begin(self, now: float, lanes: int) -> None:
        begun = self.server.serve(now, self.model.server.start)
        for _ in range(lanes):
            self.clock.at(begun, self._take)

    def _take(self, now: float) -> None:
        if not self.left:
            self.under_way -= 1
            if not self.under_way:
                self._publish(now)
            return
        number = self.left.popleft()
        visit = self.visits[number]
        has_news = visit.chance_of_news and self.random.random() < visit.chance_of_news
        cpu_s, server_s = visit.with_news if has_news else visit.without
        self.requests += visit.requests
        self.asked_at[number] = now
        done = max(now + visit.asking_s, self.core.serve(now, cpu_s))
        self.clock.at(done, lambda then: self.clock.at(self.server.serve(then, server_s), self._take))

    def _publish(self, now: float) -> None:
        asked, served = dict(self.asked_at), self.model.server.table_row * self.rows
        done = self.core.serve(now, self.model.process.table_row * self.rows)
        self.clock.at(done, lambda then: self.published.append((self.server.serve(then, served), asked)))


def simulate(
    groups: Sequence[Sequence[Account]], model: Model, terms: Terms, *, hours: float, server_cores: int
) -> Seen:
    """Busy hours of that many processes, each with its accounts; the first hour is not looked at."""
    clock, server, random = Clock(), Line(server_cores), Random(7)
    rows = [sum(account.listed for account in group) for group in groups]
    processes = [
        Process(group, model, terms, server, clock, random, own) for group, own in zip(groups, rows, strict=True)
    ]
    for process in processes:
        clock.at(random.random() * DELAY_SECONDS, process.start)
    seconds = hours * 3600
    clock.run(seconds)
    ages = [age for process in processes for age in _ages(process, 3600.0, seconds)]
    return Seen(
        sorted(ages),
        sum(process.core.busy for process in processes) / len(processes) / seconds,
        server.busy / seconds,
        sum(process.requests for process in processes) / (seconds / 60),
    )


def _ages(process: Process, since: float, until: float) -> Iterator[float]:
    """How old each account's data are for a reader who looks now and then: at instants of no quarter's rhythm."""
    for look in range(LOOKS):
        now = since + (until - since) * look / LOOKS
        seen = [asked for done, asked in process.published if done <= now]
        yield from (now - seen[-1][number] if seen else now for number in range(len(process.accounts)))


class Once(NamedTuple):
    """One run from nothing under way: seconds of the clock, CPU seconds of the process and of the server."""

    seconds: float
    cpu_s: float
    server_cpu_s: float
    requests: int


def run_once(accounts: Sequence[Account], kind: Kind, model: Model, terms: Terms, server_cores: int = 2) -> Once:
    """One process, all of these accounts, once."""
    clock, server = Clock(), Line(server_cores)
    rows = sum(account.listed for account in accounts)
    process = Process(accounts, model, terms, server, clock, Random(7), rows, kind)
    process.start(0.0)
    clock.run(math.inf)
    return Once(process.published[0][0], process.core.busy, server.busy, process.requests)
