"""Measures how often the statements about rates hold in simulated worlds whose true rates are known.

Each world consists of daily counts, as in `analytics.booking_days`, so that thousands of worlds take minutes.
bias.py measures the counts themselves, from pickups.

Run `make soak` or `python -m tests.soak.intervals --worlds 1000`. The result is a table in Markdown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from pipelines.analytics.views import SQL, query_of

CARRIERS, SHARES = ("dhl", "gls", "ups", "dpd"), (0.4, 0.3, 0.2, 0.1)
WHOLE_DAYS = 0.05  # the share of days on which a shop cancels everything
DAYS_TABLE = """
    create schema analytics;
    create table analytics.booking_days (
        account text, carrier text, country text, booked_day_local date, mature_cancelled bigint, rated bigint,
        mature_failed bigint, failure_n bigint, cancelled_within_48_hours bigint, watched_48_hours bigint
    );
    create table analytics.booking_bands (
        account text, booked_day_local date, carrier text, is_every_carrier boolean, measure text, band bigint,
        rated bigint, mature_cancelled bigint, day_rated bigint, day_cancelled bigint
    );
"""
BOOKED = """
    insert into analytics.booking_days
    select account, carrier, 'NL', date '2026-01-01' + cast(day as int), k, n, 0, n, 0, 0 from booked
"""
RATES = """
    select carrier, n, rate_low, rate_high, difference_low, difference_high, stands_out
    from analytics.rates
    where breakdown = 'carrier' and outcome = 'cancelled' and is_every_account order by carrier
"""
Booked = dict[str, list[str] | list[int]]


class Kind(NamedTuple):
    """Describes a kind of world: how many accounts book on how many days, and how their pickups are cancelled.

    Attributes:
        rates: the chance that a pickup is cancelled on its own, for each carrier.
        whole_days: the share of days on which an account cancels all its pickups.
        spread: the concentration of the beta distribution from which each account draws its rate, or None.
        pickups: the mean number of pickups of an account on a day, as a function of the day's share of the period.
    """

    name: str
    days: int
    accounts: int = 1
    rates: Sequence[float] = (0.12, 0.12, 0.12, 0.12)
    whole_days: float = 0
    spread: float | None = None
    pickups: Callable[[float], float] = lambda _: 10
    shares: Sequence[float] = SHARES

    def truth(self) -> list[float]:
        return [self.whole_days + (1 - self.whole_days) * rate for rate in self.rates]


KINDS = [
    Kind("independent, 3 a day, 60 days", 60, pickups=lambda _: 3),
    Kind("independent, 10 a day, 40 days", 40),
    Kind("independent, 30 a day, 120 days", 120, pickups=lambda _: 30),
    Kind("growing from 2 to 30 a day, 120 days", 120, pickups=lambda when: 2 + 28 * when),
    Kind("seasonal, 120 days", 120, pickups=lambda when: 12 + 10 * np.sin(2 * np.pi * when)),
    Kind("whole days cancelled, 3 a day, 120 days", 120, whole_days=WHOLE_DAYS, pickups=lambda _: 3),
    Kind("whole days cancelled, 10 a day, 120 days", 120, whole_days=WHOLE_DAYS),
    Kind("whole days cancelled, 30 a day, 120 days", 120, whole_days=WHOLE_DAYS, pickups=lambda _: 30),
    Kind("whole days cancelled, 10 a day, 20 days", 20, whole_days=WHOLE_DAYS),
    Kind("twenty unlike shops, 30 days", 30, accounts=20, spread=15),
    Kind("10 % against 13 % of 1,500 each", 100, rates=(0.13, 0.10), shares=(0.5, 0.5), pickups=lambda _: 30),
]


class Seen(NamedTuple):
    """Counts, over the worlds of a kind, how many statements held."""

    rate_covered: float
    difference_covered: float
    claimed: float


def booked(kind: Kind, random: np.random.Generator) -> Booked:
    """Returns the counts of one world: for each account, carrier and day, n pickups of which k are cancelled."""
    found: dict[str, list] = {"account": [], "carrier": [], "day": [], "n": [], "k": []}  # type: ignore[type-arg]
    for account in range(kind.accounts):
        own = random.beta(0.15 * kind.spread, 0.85 * kind.spread) if kind.spread else None
        for day in range(kind.days):
            is_whole = random.random() < kind.whole_days
            for carrier, rate, share in zip(CARRIERS, kind.rates, kind.shares, strict=False):
                if n := int(random.poisson(kind.pickups(day / kind.days) * share)):
                    k = n if is_whole else int(random.binomial(n, rate if own is None else own))
                    for name, value in zip(found, (f"shop {account}", carrier, day, n, k), strict=True):
                        found[name].append(value)
    return found


def seen_in(kind: Kind, worlds: int, seed: int) -> Seen:
    """Returns how often the statements held in that many worlds of a kind."""
    random = np.random.default_rng(seed)
    rates, differences, claims = list[bool](), list[bool](), 0
    truth = dict(zip(CARRIERS, [0.15] * 4 if kind.spread else kind.truth(), strict=False))
    with duckdb.connect() as connection:
        connection.execute(DAYS_TABLE)
        for view in ("rate_moments", "rate_intervals", "rates"):
            connection.execute(f"create view analytics.{view} as {query_of(SQL / 'views' / f'{view}.sql')}")
        for _ in range(worlds):
            connection.register("booked", pa.table(booked(kind, random)))
            connection.execute("delete from analytics.booking_days")
            connection.execute(BOOKED)
            rows = connection.execute(RATES).fetchall()
            for carrier, n, low, high, difference_low, difference_high, _ in rows:
                rates.append(low <= truth[carrier] <= high)
                others = [(truth[other], m) for other, m, *_ in rows if other != carrier]
                apart = truth[carrier] - sum(rate * m for rate, m in others) / sum(m for _, m in others)
                differences.append(difference_low <= apart <= difference_high)
                del n
            claims += any(row[-1] != "no" for row in rows)
    return Seen(sum(rates) / len(rates), sum(differences) / len(differences), claims / worlds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(
        "| world | rate in its interval | difference in its interval | a carrier stands out |",
        "|---|---|---|---|",
        sep="\n",
    )
    for number, kind in enumerate(KINDS):
        seen = seen_in(kind, options.worlds, options.seed + number)
        print(f"| {kind.name} |", " | ".join(f"{share:.1%}" for share in seen), "|", flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
