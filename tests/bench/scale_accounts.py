"""An account of the simulation, and what it takes in one run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

from scale_model import Model, Work, requests_of, seconds_at_pace

# the sandbox's habits (bookings.py): weekends 8 % of a working day, 95 % of a day's bookings within ten hours
BUSY_SHARE = 7 / (5 + 2 * 0.08) * 0.95 / 40  # of a day's bookings, in a busy quarter of an hour
YEARS_LISTED = 3
PERCENT_LATER = 0.019  # listing.py: 1 % new, and the newest 1 % cancelled, of which a tenth was before
LOADED_A_BOOKING = 1.15  # a booking, and later the cancellation of one in seven

Kind = Literal["usual", "first", "nothing", "later"]  # usual: as bookings come; the others once, as they are measured


class Account(NamedTuple):
    """One account: what it lists, what is booked a day, how many days of that a run reads again."""

    listed: float
    bookings_a_day: float
    days_again: float

    def requests(self, rows_a_page: int) -> int:
        return requests_of(self.bookings_a_day * self.days_again, self.listed, rows_a_page)

    def rows_again(self, rows_a_page: int) -> float:
        return min(self.listed, self.requests(rows_a_page) * rows_a_page)

    def news(self, kind: Kind) -> float:
        """Rows that are new or changed; usual: in a busy quarter of an hour, on average."""
        a_quarter = self.bookings_a_day * BUSY_SHARE * LOADED_A_BOOKING
        later = PERCENT_LATER * self.bookings_a_day * 365 * YEARS_LISTED
        return {"usual": a_quarter, "first": self.listed, "later": later, "nothing": 0.0}[kind]


class Terms(NamedTuple):
    """How the API is asked."""

    rows_a_page: int = 500
    per_minute: int = 400
    delay_seconds: float = 0.1  # an assumption: no answer of Sendcloud's was timed


class Visit(NamedTuple):
    """One account in one run: CPU seconds of the process and of the server, with news and without."""

    requests: int
    asking_s: float
    chance_of_news: float
    with_news: tuple[float, float]
    without: tuple[float, float]


def visit(account: Account, kind: Kind, model: Model, terms: Terms) -> Visit:
    """What it takes; usual: in a busy quarter of an hour."""
    page, news = terms.rows_a_page, account.news(kind)
    requests, rows = account.requests(page), account.rows_again(page)
    if kind == "first":
        requests, rows = math.ceil(account.listed / page), account.listed
    chance = 1 - math.exp(-news) if kind == "usual" else float(news > 0)
    both = [Work(1, is_there, kind == "first", requests, rows, news * is_there, 0) for is_there in (1, 0)]
    of = [(model.process.of(work) - model.process.start, model.server.of(work) - model.server.start) for work in both]
    asking = seconds_at_pace(requests, terms.per_minute, terms.delay_seconds)
    return Visit(requests, asking, chance, of[0], of[1])


def spread(accounts: int, pickups: int, days: Callable[[float], float]) -> list[Account]:
    """The k-th largest account has 1/k of the largest's pickups, booked evenly over three years."""
    harmonic = sum(1 / rank for rank in range(1, accounts + 1))
    sizes = [pickups / harmonic / rank for rank in range(1, accounts + 1)]
    rates = [size / (365 * YEARS_LISTED) for size in sizes]
    return [Account(size, rate, days(rate)) for size, rate in zip(sizes, rates, strict=True)]
