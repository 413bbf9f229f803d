"""Measures how often `analytics.carrier_expected` names a carrier in worlds where carriers treat like pickups alike.

The carriers have different mixes of countries, lead times and window lengths, so that their plain rates are 6 to 22 %.

Run `python -m tests.soak.expected --worlds 500`. The result is a table in Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from pipelines.analytics.views import SQL, query_of
from tests.soak.changes import CARRIERS, COUNTRIES

TABLE = """
    create schema sendcloud;
    create schema analytics;
    create table analytics.pickups (
        account text, carrier text, country text, lead_time_hours double, window_hours double,
        is_window_before_booking boolean, booked_day_local date, is_mature boolean, is_cancelled boolean,
        is_kept boolean, is_failed boolean, is_pending boolean, created_at_utc timestamp, as_of_utc timestamp,
        hours_to_cancel double
    );
    create table analytics.booking_bands (
        account text, booked_day_local date, carrier text, is_every_carrier boolean, measure text, band bigint,
        rated bigint, mature_cancelled bigint, day_rated bigint, day_cancelled bigint
    )
"""
FILL = """
    insert into analytics.pickups
    select
        account, carrier, country, lead_time_hours, window_hours, false, date '2026-01-05' + cast(day as int),
        true, is_cancelled, not is_cancelled, false, false, timestamp '2026-01-05', timestamp '2027-01-05', null
    from booked
"""
FOUND = """
    select carrier, stands_out, ratio_low, ratio_high, observed, n
    from analytics.carrier_expected where is_every_account = {} and score is not null order by account
"""
ABROAD, AHEAD, LONG = (0.1, 0.4, 0.6, 0.9), (0.05, 0.3, 0.5, 0.95), (0.2, 0.5, 0.5, 0.8)  # shares of each carrier
Numbers = Any  # an array of numpy


class Kind(NamedTuple):
    """Describes a kind of world.

    Attributes:
        pickups: the mean number of pickups of an account on a day.
        whole_days: the share of days on which an account cancels all its pickups.
        spread: the concentration of the beta distribution from which each account draws a factor of its rates, or
            None.
        more: how many times as often the first carrier's pickups are cancelled as like pickups.
    """

    name: str
    days: int = 60
    pickups: float = 20
    accounts: int = 1
    whole_days: float = 0
    spread: float | None = None
    more: float = 1
    shares: Sequence[float] = (0.4, 0.3, 0.2, 0.1)


KINDS = [
    Kind("independent, 3 a day, 60 days", pickups=3),
    Kind("independent, 20 a day, 60 days"),
    Kind("independent, 60 a day, 120 days", 120, 60),
    Kind("whole days cancelled, 20 a day, 60 days", whole_days=0.05),
    Kind("whole days cancelled, 60 a day, 120 days", 120, 60, whole_days=0.05),
    Kind("twenty unlike shops, 5 a day, 30 days", 30, 5, accounts=20, spread=15),
    Kind("one of the carriers 1.5 times, 60 a day, 60 days", 60, 60, more=1.5),
]


def booked(kind: Kind, account: str, random: np.random.Generator) -> dict[str, Numbers]:
    day = np.repeat(np.arange(kind.days), random.poisson(kind.pickups, kind.days))
    size = len(day)
    carrier = random.choice(4, size, p=kind.shares)
    abroad, ahead, long = (random.random(size) < np.array(one)[carrier] for one in (ABROAD, AHEAD, LONG))
    factor = random.beta(0.5 * kind.spread, 0.5 * kind.spread) * 2 if kind.spread else 1
    rate = factor * (0.03 + 0.07 * abroad + 0.11 * ahead + 0.03 * long) * np.where(carrier == 0, kind.more, 1)
    whole = (random.random(kind.days) < kind.whole_days)[day]
    return {
        "account": np.repeat(account, size),
        "carrier": CARRIERS[carrier],
        "country": COUNTRIES[abroad.astype(int)],
        "lead_time_hours": np.where(ahead, 48.0, 12.0),
        "window_hours": np.where(long, 8.0, 3.0),
        "day": day,
        "is_cancelled": whole | (random.random(size) < rate),
    }


def seen_in(kind: Kind, worlds: int, seed: int) -> tuple[float, float, float, float]:
    """Returns how often a carrier stood out, how often 1 was covered, and the lowest and the highest plain rate."""
    random = np.random.default_rng(seed)
    rows: list[Numbers] = []
    named = 0
    with duckdb.connect() as connection:
        connection.execute("set threads = 1")
        connection.execute(TABLE)
        for view in ("booking_days", "rate_moments", "rate_intervals", "carrier_expected"):
            connection.execute(f"create view analytics.{view} as {query_of(SQL / 'views' / f'{view}.sql')}")
        for _ in range(worlds):
            shops = [booked(kind, f"shop {number}", random) for number in range(kind.accounts)]
            columns = {name: np.concatenate([one[name] for one in shops]) for name in shops[0]}
            connection.register("booked", pa.table(columns))
            connection.execute("delete from analytics.pickups")
            connection.execute(FILL)
            found = connection.execute(FOUND.format(True)).fetchall()
            rows += found
            named += any(row[1] != "no" and (kind.more == 1 or row[0] == CARRIERS[0]) for row in found)
    rates = [sum(r[4] for r in rows if r[0] == c) / sum(r[5] for r in rows if r[0] == c) for c in CARRIERS]
    covered = sum(low <= 1 <= high for _, _, low, high, *_ in rows) / len(rows)
    return named / worlds, covered, min(rates), max(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print("| world | a carrier stands out | 1 in the interval of the ratio | plain rates |")
    print("|---|---|---|---|")
    for number, kind in enumerate(KINDS):
        named, covered, low, high = seen_in(kind, options.worlds, options.seed + number)
        print(f"| {kind.name} | {named:.1%} | {covered:.1%} | {low:.1%} to {high:.1%} |", flush=True)


if __name__ == "__main__":
    main()
