"""Compares the cancellations that `analytics.upcoming_pickups` expects with those that follow, in simulated worlds.

The chance that a pickup is cancelled, and when, is known in each world. A world is cut at `as_of`, and the view
forecasts the rest. z is the actual number minus the expected number, in standard deviations of chance.

Run `make soak` or `python -m tests.soak.upcoming --worlds 200`. The result is a table in Markdown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.analytics.views import SQL, query_of

AS_OF = datetime(2026, 3, 2)  # noqa: DTZ001  # the view's columns have no time zone
FRESH_HOURS, LATE_HOURS = 3.0, 12.0  # mean age of early cancellations, and mean notice of late ones
AFTER_OPENING = 2.0  # cancellations come until two hours after the opening
WORLD = """
    create or replace table analytics.pickups as
    select *, timestamp '2026-03-02' as as_of_utc, window_ends_at_utc < timestamp '2026-03-02' as is_mature,
        false as is_failed, false as is_pending, true as has_local_time, pickup_from_utc as window_opens_local,
        extract(hour from pickup_from_utc) as window_opens_hour_local
    from booked
"""
EXPECTED = """
    select account, sum(expected_cancellations), sum(without_estimate)::bigint
    from analytics.upcoming_pickups group by account
"""
Numbers = NDArray[np.float64]


class Kind(NamedTuple):
    """Describes a kind of world.

    Attributes:
        shares: each carrier's share of the pickups.
        rates: the chance that a pickup is cancelled, for each carrier.
        accounts: what each account's chance is multiplied by.
        fresh: the share of cancellations that come soon after the booking. The others come shortly before the window.
        hour: the hour of the day of `as_of`, or None for a different hour in each world.
        whole_days: the share of days whose windows are all cancelled, a day before.
    """

    name: str
    days: int = 120
    pickups_a_day: float = 30
    shares: Sequence[float] = (0.4, 0.3, 0.2, 0.1)
    rates: Sequence[float] = (0.15, 0.15, 0.15, 0.15)
    accounts: Sequence[float] = (1.0,)
    fresh: float = 0.3
    hour: float | None = None
    days_ahead: Sequence[float] = (0.1, 0.5, 0.2, 0.1, 0.05, 0.05)
    whole_days: float = 0


UNLIKE = {"rates": (0.05, 0.1, 0.2, 0.4), "shares": (0.6, 0.3, 0.08, 0.02)}
KINDS = [
    Kind("four equal carriers"),
    Kind("four equal carriers, always at 08:00", hour=8),
    Kind("unlike carriers, most of them small", **UNLIKE),  # type: ignore[arg-type]
    Kind("unlike carriers, 8 pickups a day, 60 days", days=60, pickups_a_day=8, **UNLIKE),  # type: ignore[arg-type]
    Kind("most are cancelled soon after booking", fresh=0.8, hour=14),
    Kind("most are cancelled late, booked far ahead", fresh=0.1, days_ahead=(0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.5), hour=8),
    Kind("five unlike accounts", accounts=(0.2, 0.5, 1, 1.5, 2.5), pickups_a_day=60),
    Kind("whole days cancelled", whole_days=0.05),
]


class Booked(NamedTuple):
    """Holds one world's pickups. Times are hours since `as_of`."""

    account: NDArray[np.int64]
    carrier: NDArray[np.int64]
    created: Numbers
    opens: Numbers
    cancelled: Numbers  # infinite if the pickup is never cancelled
    later: Numbers  # the chance of a cancellation after as_of, if it was not cancelled before


def not_yet(kind: Kind, lead: Numbers, before: Numbers) -> Numbers:
    """Returns the share of a pickup's cancellations that come when its window opens in `before` hours, or later."""
    age, end = lead - before, lead + AFTER_OPENING
    fresh = (np.exp(-age / FRESH_HOURS) - np.exp(-end / FRESH_HOURS)) / (1 - np.exp(-end / FRESH_HOURS))
    late = (1 - np.exp(-(before + AFTER_OPENING) / LATE_HOURS)) / (1 - np.exp(-end / LATE_HOURS))
    return kind.fresh * fresh + (1 - kind.fresh) * late


def moments(kind: Kind, lead: Numbers, random: np.random.Generator) -> Numbers:
    """Returns how many hours after its booking each pickup is cancelled, if it is."""
    end, u = lead + AFTER_OPENING, random.random(len(lead))
    fresh = -FRESH_HOURS * np.log(1 - u * (1 - np.exp(-end / FRESH_HOURS)))
    late = end + LATE_HOURS * np.log(1 - u * (1 - np.exp(-end / LATE_HOURS)))
    return np.where(random.random(len(lead)) < kind.fresh, fresh, late)


def booked(kind: Kind, random: np.random.Generator) -> Booked:
    """Returns the pickups of one world, of which those booked before `as_of` are known."""
    midnight = -(random.random() * 24 if kind.hour is None else kind.hour)
    n = random.poisson(kind.pickups_a_day * kind.days)
    day = random.integers(-kind.days, 1, n)
    created = midnight + 24 * day + random.uniform(8, 18, n)
    ahead = random.choice(len(kind.days_ahead), n, p=np.divide(kind.days_ahead, sum(kind.days_ahead)))
    opens = midnight + 24 * (day + ahead) + random.integers(9, 18, n)
    usable = (created < 0) & (opens > created)
    created, opens = created[usable], opens[usable]
    account, carrier = (
        random.choice(len(shares), len(created), p=shares)
        for shares in (np.full(len(kind.accounts), 1 / len(kind.accounts)), kind.shares)
    )
    rate = np.take(kind.rates, carrier) * np.take(kind.accounts, account)
    own = created + moments(kind, opens - created, random)
    cancelled = np.where(random.random(len(created)) < rate, own, np.inf)
    waiting = not_yet(kind, opens - created, np.maximum(opens, -AFTER_OPENING))
    later = rate * waiting / (1 - rate + rate * waiting)
    opening_day = np.floor((opens - midnight) / 24).astype(int)
    all_gone = random.random(opening_day.max() - opening_day.min() + 1) < kind.whole_days
    gone = all_gone[opening_day - opening_day.min()]
    whole = np.maximum(opens - 24, created)
    cancelled = np.where(gone, np.minimum(cancelled, whole), cancelled)
    later = np.where(whole > 0, 1 - (1 - later) * (1 - kind.whole_days), later)
    return Booked(account, carrier, created, opens, cancelled, later)


def table_of(world: Booked) -> pa.Table:
    """Returns the columns of `analytics.pickups` that a run at `as_of` would have found."""
    is_cancelled = world.cancelled <= 0
    cancelled = np.where(is_cancelled, world.cancelled, np.nan)

    def instants(hours: Numbers) -> list[datetime]:
        return [AS_OF + timedelta(hours=float(one)) for one in hours]

    return pa.table(
        {
            "account": [f"shop {one}" for one in world.account],
            "carrier": [f"carrier {one}" for one in world.carrier],
            "pickup_from_utc": pa.array(instants(world.opens), pa.timestamp("us")),
            "window_ends_at_utc": pa.array(instants(world.opens + 3), pa.timestamp("us")),
            "is_cancelled": is_cancelled,
            "lead_time_hours": world.opens - world.created,
            "cancellation_notice_hours": pa.array(world.opens - cancelled, from_pandas=True),
        }
    )


def z_scores(kind: Kind, world: Booked, connection: duckdb.DuckDBPyConnection) -> list[float] | None:
    """Returns z for all accounts, then for each account. Returns None if a pickup has no estimate."""
    connection.register("booked", table_of(world))
    connection.execute(WORLD)
    forecast = {
        account: expected for account, expected, left_out in connection.execute(EXPECTED).fetchall() if not left_out
    }
    upcoming = (world.opens > 0) & (world.cancelled > 0)
    found = []
    for account in ("all", *(f"shop {number}" for number in range(len(kind.accounts)))):
        if account not in forecast:
            return None
        own = upcoming if account == "all" else upcoming & (world.account == int(account.split()[1]))
        spread = np.sqrt(np.sum(world.later[own] * (1 - world.later[own])))
        found.append(float((np.sum(np.isfinite(world.cancelled[own])) - forecast[account]) / spread))
    return found


def scores_of(kind: Kind, worlds: int, seed: int) -> NDArray[np.float64]:
    """Returns a row of z scores for each world of a kind."""
    random = np.random.default_rng(seed)
    with duckdb.connect() as connection:
        connection.execute("create schema analytics")
        connection.register("booked", table_of(booked(kind, random)))
        connection.execute(WORLD)
        view = query_of(SQL / "views" / "upcoming_pickups.sql")
        connection.execute(f"create view analytics.upcoming_pickups as {view}")
        scores = (z_scores(kind, booked(kind, random), connection) for _ in range(worlds))
        return np.array([found for found in scores if found])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(
        "| world | worlds | z: mean | z: standard deviation | z by account: mean (standard deviation) |",
        "|---|---|---|---|---|",
        sep="\n",
    )
    is_calibrated = True
    for kind in KINDS:
        total, *accounts = scores_of(kind, options.worlds, options.seed).T
        by_account = ", ".join(f"{z.mean():+.2f} ({z.std():.2f})" for z in accounts) if len(accounts) > 1 else ""
        print(f"| {kind.name} | {len(total)} | {total.mean():+.2f} | {total.std():.2f} | {by_account} |", flush=True)
        is_calibrated &= abs(total.mean()) < 0.4
    sys.exit(not is_calibrated)


if __name__ == "__main__":
    main()
