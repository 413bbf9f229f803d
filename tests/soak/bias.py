"""Measures whether the rates of recent bookings are biased, and how often the 95 % intervals contain the true rate.

The true rates of the many worlds are known.

Run `make soak` or `python -m tests.soak.bias --worlds 200`.
"""

from __future__ import annotations

import argparse
import sys
from datetime import datetime, timedelta
from math import sqrt
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from sources.sendcloud.sandbox import World
from sources.sendcloud.sandbox.carriers import CARRIERS
from tests.support.by_hand import fill, run
from tests.support.worlds import NOW

PICKUPS = 4_000
RECENT = timedelta(days=14)
TRUE_RATES = {carrier.code: carrier.cancelled for carrier in CARRIERS}
FIELDS = ("id", "carrier", "country", "pickup_status", "created_at", "pickup_from", "pickup_until", "cancelled_at")
PICKUPS_BOOKED = """
    insert into sendcloud.pickups by name
    select 'shop' as account, * replace (
        pickup_from::timestamptz as pickup_from, pickup_until::timestamptz as pickup_until,
        created_at::timestamptz as created_at, cancelled_at::timestamptz as cancelled_at
    )
    from records where created_at::timestamptz >= ?
"""
OURS = """
    select carrier, mature_cancelled, rated, cancellation_rate_low, cancellation_rate_high
    from analytics.carrier_cancellations where country = 'all' and is_every_account
"""
# a count that ignores maturity: cancelled pickups count at once, kept pickups only after their windows have ended
NAIVE = """
    select
        carrier,
        count(*) filter (where is_cancelled) as k,
        count(*) filter (where is_cancelled or (is_kept and is_mature)) as n
    from analytics.pickups group by carrier
"""


class Seen(NamedTuple):
    """Describes one carrier in one world: k of n pickups are cancelled, and `rate` of n are expected."""

    k: int
    n: int
    rate: float
    is_covered: bool = True


def views_over(world: World, since: datetime) -> Any:
    """Returns a connection with the views over the pickups booked since that instant."""
    connection = fill(duckdb.connect(), [], [run(observed_at=NOW)])
    records = [{field: record.get(field) for field in FIELDS} for record in world.records()]
    connection.register("records", pa.Table.from_pylist(records))
    connection.execute(PICKUPS_BOOKED, [since])
    return connection


def seen_in(seed: int, since: datetime) -> tuple[list[Seen], list[Seen]]:
    """Returns our count and the naive count for each carrier in the world with that seed."""
    with views_over(World.seeded(PICKUPS, seed=seed, until=NOW), since) as connection:
        ours = [
            Seen(k, n, TRUE_RATES[carrier], low <= TRUE_RATES[carrier] <= high)
            for carrier, k, n, low, high in connection.execute(OURS).fetchall()
            if n
        ]
        naive = [Seen(k, n, TRUE_RATES[carrier]) for carrier, k, n in connection.execute(NAIVE).fetchall() if n]
    return ours, naive


def bias(seen: list[Seen]) -> tuple[float, float]:
    """Returns the excess of cancelled pickups, as a share of all rated pickups and in standard deviations of chance."""
    too_many = sum(one.k - one.n * one.rate for one in seen)
    chance = sqrt(sum(one.n * one.rate * (1 - one.rate) for one in seen))
    return too_many / sum(one.n for one in seen), too_many / chance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    whole, ours, naive = [], list[Seen](), list[Seen]()
    for seed in range(options.seed, options.seed + options.worlds):
        whole += seen_in(seed, NOW - timedelta(days=4_000))[0]
        recent = seen_in(seed, NOW - RECENT)
        ours, naive = ours + recent[0], naive + recent[1]
        if seed % 20 == 0:
            print(f"  {seed - options.seed + 1} of {options.worlds} worlds", file=sys.stderr, flush=True)
    covered = sum(one.is_covered for one in whole) / len(whole)
    (by, deviations), (naive_by, naive_deviations) = bias(ours), bias(naive)
    print(
        f"{len(whole)} intervals in {options.worlds} worlds: {covered:.1%} contain the true rate.",
        f"For bookings of the last {RECENT.days} days, our rate is off by {by:+.2%} ({deviations:+.1f} standard "
        f"deviations), and the naive rate is off by {naive_by:+.2%} ({naive_deviations:+.1f}).",
        sep="\n",
    )
    sys.exit(not (0.94 <= covered <= 0.965 and abs(deviations) < 3 and naive_deviations > 5))


if __name__ == "__main__":
    main()
