"""Measures how often `analytics.cancellation_changes` is right in simulated worlds whose true rates are known.

Every world is looked at on five Mondays in a row, which is the most that 30 days can contain.

Run `python -m tests.soak.changes --worlds 1000`. The result is a table in Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from pipelines.analytics.views import SQL, query_of

CARRIERS, COUNTRIES = np.array(["dhl", "gls", "ups", "dpd"]), np.array(["NL", "DE"])
LOOKS, WEEKS = 5, 13  # the first look covers weeks 1 to 8, so bookings for week 1 may be made in week 0
ACCOUNTS_AT_ONCE = 1000
PICKUPS = """
    create schema analytics;
    create table analytics.pickups (
        account text, carrier text, country text, lead_time_hours double, is_window_before_booking boolean,
        booked_day_local date, window_ends_at_utc timestamp, as_of_utc timestamp, is_mature boolean,
        is_cancelled boolean, is_kept boolean
    )
"""
FILL = """
    insert into analytics.pickups
    select
        account, carrier, country, lead_time_hours, false, date '2026-01-05' + cast(day as int),
        timestamp '2026-01-05' + to_seconds(cast(day * 86400 + 50400 + lead_time_hours * 3600 as bigint)) as ends,
        timestamp '2026-01-05 06:00' + to_days(cast(look * 7 + 63 as int)) as as_of,
        ends < as_of, is_cancelled, not is_cancelled
    from booked
"""
CHANGES = """
    select account, carrier, difference_low, difference_high, is_more_than_chance, is_alarm
    from analytics.cancellation_changes where is_every_account = {} and difference is not null order by all
"""
Numbers = Any  # an array of numpy


class Kind(NamedTuple):
    """Describes a kind of world: how many accounts book how much, and how their pickups are cancelled.

    Attributes:
        pickups: the mean number of pickups of an account on a day, as a function of the day's share of the period.
        rates: the chance that a pickup is cancelled on its own, for each carrier.
        shares: the carriers' shares of the pickups, at the beginning and at the end of the period.
        abroad: the share of the pickups in the second country, at the beginning and at the end. There, pickups are
            cancelled `abroad_more` more often.
        whole_days: the share of days on which an account cancels all its pickups.
        spread: the concentration of the beta distribution from which each account draws its rate, or None.
        is_weekly: whether the accounts draw a new rate every week.
        rise: how much the rates rise after week 9, which is when the earlier period of the last look ends.
    """

    name: str
    pickups: Callable[[Numbers], Numbers] = lambda when: 10 + 0 * when
    accounts: int = 1
    rates: Sequence[float] = (0.12, 0.12, 0.12, 0.12)
    shares: Sequence[Sequence[float]] = ((0.4, 0.3, 0.2, 0.1), (0.4, 0.3, 0.2, 0.1))
    abroad: Sequence[float] = (0.3, 0.3)
    abroad_more: float = 0
    whole_days: float = 0
    spread: float | None = None
    is_weekly: bool = False
    rise: float = 0


MOVING = Kind(
    "carriers and countries move, 20 a day",
    lambda when: 20 + 0 * when,
    rates=(0.05, 0.10, 0.20, 0.30),
    shares=((0.7, 0.1, 0.1, 0.1), (0.1, 0.2, 0.3, 0.4)),
    abroad=(0.1, 0.9),
    abroad_more=0.1,
)
RISING = Kind(
    "8 to 14 %, 1,000 a period", lambda when: 36 + 0 * when, rates=(0.08,), shares=((1.0,), (1.0,)), rise=0.06
)
KINDS = [
    Kind("independent, 3 a day", lambda when: 3 + 0 * when),
    Kind("independent, 10 a day"),
    Kind("independent, 40 a day", lambda when: 40 + 0 * when),
    Kind("growing from 2 to 40 a day", lambda when: 2 + 38 * when),
    Kind("shrinking from 40 to 2 a day", lambda when: 40 - 38 * when),
    MOVING,
    Kind("whole days cancelled, 3 a day", lambda when: 3 + 0 * when, whole_days=0.05),
    Kind("whole days cancelled, 10 a day", whole_days=0.05),
    Kind("whole days cancelled, 40 a day", lambda when: 40 + 0 * when, whole_days=0.05),
    Kind("a fifth of the days cancelled, 10 a day", whole_days=0.2),
    MOVING._replace(name="whole days cancelled, carriers and countries move", whole_days=0.05),
    Kind("five shops, whole days cancelled", accounts=5, whole_days=0.05, spread=15),
    Kind("twenty unlike shops", accounts=20, spread=15),
    Kind("twenty shops, a new rate every week", accounts=20, spread=15, is_weekly=True),
    RISING,
    RISING._replace(name="8 to 14 %, 1,000 a period, whole days cancelled", whole_days=0.05),
    Kind("all carriers rise by 6 points, 40 a day", lambda when: 40 + 0 * when, rise=0.06),
]


class Seen(NamedTuple):
    """Shares of the intervals that covered the truth, of the looks with a change, and of the worlds with an alarm."""

    covered: float
    changes: float
    alarms: float
    alarms_at_once: float


def booked(kind: Kind, account: str, random: np.random.Generator) -> dict[str, Numbers]:
    """Returns the pickups of an account in all weeks."""
    days = np.arange(WEEKS * 7 + 7)
    when = np.minimum(days / (WEEKS * 7), 1)
    day = np.repeat(days, random.poisson(kind.pickups(when)))
    begin, end = (np.cumsum(shares) for shares in kind.shares)
    edges = begin + (end - begin) * when[day][:, None]
    carrier = np.minimum((random.random(len(day))[:, None] > edges).sum(axis=1), len(kind.rates) - 1)
    abroad = random.random(len(day)) < kind.abroad[0] + (kind.abroad[1] - kind.abroad[0]) * when[day]
    lead = random.choice([4.0, 20.0, 44.0, 68.0, 116.0], len(day), p=[0.2, 0.2, 0.3, 0.2, 0.1])
    rate = np.array(kind.rates)[carrier] + kind.abroad_more * abroad + kind.rise * (day + lead / 24 + 14 / 24 >= 63)
    if kind.spread:
        own = random.beta(0.15 * kind.spread, 0.85 * kind.spread, len(days) // 7)
        rate = own[(day + (lead + 14) / 24).astype(int) // 7 % len(own)] if kind.is_weekly else own[0] + 0 * rate
    whole = (random.random(len(days)) < kind.whole_days)[day]
    return {
        "account": np.repeat(account, len(day)),
        "carrier": CARRIERS[carrier],
        "country": COUNTRIES[abroad.astype(int)],
        "lead_time_hours": lead,
        "day": day,
        "is_cancelled": whole | (random.random(len(day)) < rate),
    }


def looks(connection: duckdb.DuckDBPyConnection, kind: Kind, random: np.random.Generator, first: int) -> Numbers:
    """Returns, for some worlds and each look, the rows of the view: world, look and the selected columns."""
    if kind.accounts > 1:
        rows = []
        shops = [booked(kind, f"shop {number}", random) for number in range(kind.accounts)]
        for look in range(LOOKS):
            found = changes_in(connection, shops, "account", f"{look}", is_every_account=True)
            rows += [(first, look, *row[1:]) for row in found]
        return rows
    worlds = [booked(kind, f"{first + number}", random) for number in range(ACCOUNTS_AT_ONCE // LOOKS)]
    found = changes_in(connection, worlds, "account || ' ' || look", f"unnest(range({LOOKS}))", is_every_account=False)
    return [(*map(int, row[0].split()), *row[1:]) for row in found]


def changes_in(
    connection: duckdb.DuckDBPyConnection, pickups: Numbers, account: str, look: str, *, is_every_account: bool
) -> Numbers:
    columns = {name: np.concatenate([one[name] for one in pickups]) for name in pickups[0]}
    connection.register("pickups_of_worlds", pa.table(columns))
    connection.execute("delete from analytics.pickups")
    seen = f"select *, {look} as look from pickups_of_worlds"
    connection.execute(f"create or replace temp view booked as select * replace ({account} as account) from ({seen})")
    connection.execute(FILL)
    return connection.execute(CHANGES.format(is_every_account)).fetchall()


def seen_in(kind: Kind, worlds: int, seed: int) -> Seen:
    """Returns how often the statements held in about that many worlds of a kind."""
    random = np.random.default_rng(seed)
    rows: list[Numbers] = []
    with duckdb.connect() as connection:
        connection.execute("set threads = 1")
        connection.execute(PICKUPS)
        query = query_of(SQL / "views" / "cancellation_changes.sql")
        connection.execute(f"create view analytics.cancellation_changes as {query}")
        at_once = ACCOUNTS_AT_ONCE // LOOKS if kind.accounts == 1 else 1
        for first in range(0, worlds, at_once):
            rows += looks(connection, kind, random, first)
    last = LOOKS - 1
    rise = kind.rise * (1 - kind.whole_days)  # the other looks see a part of the rise
    judged = [low <= rise <= high for _, look, _, low, high, *_ in rows if look == last or not kind.rise]
    changes = {(world, look) for world, look, *_, is_change, _ in rows if is_change}
    alarms = {(world, look) for world, look, *_, is_alarm in rows if is_alarm}
    worlds = len({world for world, *_ in rows})
    if kind.rise:
        changes = {(world, look) for world, look in changes if look == last}
    return Seen(
        sum(judged) / len(judged),
        len(changes) / worlds / (1 if kind.rise else LOOKS),
        len({world for world, _ in alarms}) / worlds,
        len([look for _, look in alarms if look == last]) / worlds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="a part of the world's name")
    options = parser.parse_args()
    print(
        "| world | difference in its interval | more than chance | alarm within five looks | alarm at the last look |"
    )
    print("|---|---|---|---|---|")
    for number, kind in enumerate(KINDS):
        if options.only and options.only not in kind.name:
            continue
        worlds = options.worlds if kind.accounts == 1 else options.worlds // 4
        seen = seen_in(kind, worlds, options.seed + number)
        print(f"| {kind.name} |", " | ".join(f"{share:.1%}" for share in seen), "|", flush=True)


if __name__ == "__main__":
    main()
