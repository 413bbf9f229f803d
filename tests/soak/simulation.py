"""Simulates shops whose true cancellation rates are known.

A day begins at midnight UTC, and all times are hours since the first midnight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

CARRIERS, COUNTRIES = np.array(["dhl", "gls", "ups", "dpd"]), np.array(["NL", "DE"])
SHARES = (0.4, 0.3, 0.2, 0.1)  # each carrier's share of the pickups
ABROAD, AHEAD, LONG = (0.1, 0.4, 0.6, 0.9), (0.05, 0.3, 0.5, 0.95), (0.2, 0.5, 0.5, 0.8)  # of each carrier, if mixed
DAYS = 123  # from a Monday to a Wednesday
WHOLE_DAYS, REBOOKED, RATE = 0.05, 0.3, 0.12
OF_SHOPS = 15.0  # the sum of the parameters of the beta distribution from which unlike shops draw their rates
BETWEEN_SHOPS = RATE * (1 - RATE) / (OF_SHOPS + 1)  # the variance of that distribution
RATE_OF_SHOPS = (RATE + REBOOKED * (RATE**2 + BETWEEN_SHOPS)) / (1 + REBOOKED * RATE)  # of all their pickups
OF_A_DAY = 31.0  # a whole day's pickups are cancelled at 07:00 on the next day, an hour before the first window opens
Numbers = Any  # an array of numpy
Columns = dict[str, Numbers]


class Kind(NamedTuple):
    """Describes a kind of world.

    Attributes:
        pickups: the mean number of pickups of a shop on a day, by the share of the period that has passed.
        shops: the number of shops. With several, each shop draws its own rate from a beta distribution.
        whole_days: the share of days whose bookings are all cancelled.
        is_mixed: whether countries, lead times and window lengths differ in their rates. Carriers then differ in them,
            and countries move from one carrier to another.
        has_weekends: whether few pickups are booked on Saturdays and Sundays.
        rates: the chance that a pickup is cancelled on its own, for each carrier.
        shares: each carrier's share of the pickups.
        rise: how much the rates rise in the latest four weeks.
        only: the only statement that is measured, if not all are.
    """

    name: str
    pickups: Callable[[Numbers], Numbers]
    shops: int = 1
    whole_days: float = 0
    is_mixed: bool = False
    has_weekends: bool = False
    rates: Sequence[float] = (RATE,) * 4
    shares: Sequence[float] = SHARES
    rise: float = 0
    only: str | None = None


def steadily(a_day: float) -> Callable[[Numbers], Numbers]:
    return lambda when: a_day + 0 * when


KINDS = [
    Kind("independent, 10 a day", steadily(10)),
    Kind("independent, 40 a day", steadily(40)),
    Kind("5 % of the days cancelled, 10 a day", steadily(10), whole_days=WHOLE_DAYS),
    Kind("5 % of the days cancelled, 40 a day", steadily(40), whole_days=WHOLE_DAYS),
    Kind("25 unlike shops, 2 a day each", steadily(2), shops=25),
    Kind("mixed and moving lead times and countries, 20 a day", steadily(20), is_mixed=True),
    Kind("growing from 2 to 40 a day", lambda when: 2 + 38 * when),
    Kind("seasonal, 4 to 36 a day", lambda when: 20 + 16 * np.sin(2 * np.pi * when), has_weekends=True),
]
LARGE = [
    Kind("independent, 400 a day", steadily(400), only="upcoming"),
    Kind("5 % of the days cancelled, 400 a day", steadily(400), whole_days=WHOLE_DAYS, only="upcoming"),
]
POWER = [
    Kind("10 against 13 % of 1,500 each", steadily(2950 / DAYS), rates=(0.10, 0.13), shares=(0.5, 0.5), only="rate"),
    Kind("8 to 14 %, 1,000 in four weeks", steadily(36), rates=(0.08,), shares=(1.0,), rise=0.06, only="change"),
]


def shop(kind: Kind, account: str, random: np.random.Generator) -> Columns:
    """Returns all pickups of a shop, including those that replace cancelled ones.

    `chance` is the chance of a cancellation, as far as the kind, the carrier and the pickup determine it.
    """
    first = _booked(kind, np.repeat(np.arange(DAYS), random.poisson(_pickups_a_day(kind))), random)
    own = random.beta(RATE * OF_SHOPS, (1 - RATE) * OF_SHOPS) if kind.shops > 1 else None
    first["cancelled"] = _cancelled(first, first["chance"] if own is None else own, random)
    is_whole = (random.random(DAYS + 2) < kind.whole_days)[first["day"]]
    whole_day_at = np.where(is_whole, first["day"] * 24 + OF_A_DAY, np.nan)
    first["cancelled"] = np.fmin(first["cancelled"], whole_day_at)
    first["chance"] = kind.whole_days + (1 - kind.whole_days) * first["chance"]
    again = _again(first, is_whole, random)
    again["cancelled"] = _cancelled(again, again["chance"] if own is None else own, random)
    both = {name: np.concatenate([first[name], again[name]]) for name in again}
    if own is not None:  # shops that cancel more also replace more, so that they have more pickups
        both["chance"] = np.full(len(both["day"]), RATE_OF_SHOPS)
    return both | {"account": np.repeat(account, len(both["day"]))}


def _pickups_a_day(kind: Kind) -> Numbers:
    days = np.arange(DAYS)
    of_week = np.where(days % 7 < 5, 1.2, 0.2) if kind.has_weekends else 1
    return kind.pickups(days / DAYS) * of_week


def _booked(kind: Kind, day: Numbers, random: np.random.Generator) -> Columns:
    """Returns bookings from 08:00 to 18:00 on these days, for windows that open on one of the next four days."""
    n = len(day)
    carrier = random.choice(len(kind.shares), n, p=kind.shares)
    if kind.is_mixed:
        moves = np.array(ABROAD[::-1])[carrier] - np.array(ABROAD)[carrier]
        shares = np.array(ABROAD)[carrier] + moves * day / DAYS, np.array(AHEAD)[carrier], np.array(LONG)[carrier]
        abroad, ahead, long = random.random((3, n)) < np.stack(shares)
        chance = 0.03 + 0.07 * abroad + 0.11 * ahead + 0.03 * long
    else:
        abroad, ahead, long = random.random((3, n)) < 0.5
        chance = np.array(kind.rates)[carrier] + 0.0
    created = day * 24 + random.uniform(8.1, 18, n)
    days_ahead, hour = np.where(ahead, random.integers(2, 5, n), 1), np.where(random.random(n) < 0.5 * ahead, 13, 8)
    opens = 24 * (day + days_ahead) + hour
    chance += kind.rise * (opens >= (DAYS - 4 - 28) * 24)
    names = {
        "carrier": CARRIERS[carrier],
        "country": COUNTRIES[abroad.astype(int)],
        "contract": random.integers(1, 6, n),
    }
    times = {"day": day, "created": created, "opens": opens, "hours": np.where(long, 8, 3)}
    return names | times | {"chance": chance}


def _cancelled(pickups: Columns, chance: Numbers, random: np.random.Generator) -> Numbers:
    """Returns when each pickup is cancelled, at any time before its window opens. Most are not (nan)."""
    n = len(pickups["day"])
    at = pickups["created"] + random.random(n) * (pickups["opens"] - pickups["created"])
    return np.where(random.random(n) < chance, at, np.nan)


def _again(first: Columns, is_whole: Numbers, random: np.random.Generator) -> Columns:
    """Returns the bookings that replace cancelled ones within 24 hours. As before, none is made before 08:06.

    If a whole day was cancelled, either all bookings of a carrier, country and contract are replaced or none.
    """
    carrier, is_abroad = (first["carrier"][:, None] == CARRIERS).argmax(axis=1), first["country"] == COUNTRIES[1]
    of_key = random.random((DAYS, 4, 2, 6))[first["day"], carrier, is_abroad.astype(int), first["contract"]]
    gone = ~np.isnan(first["cancelled"]) & (np.where(is_whole, of_key, random.random(len(of_key))) < REBOOKED)
    again = {name: values[gone] for name, values in first.items()}
    created = again["cancelled"] + random.uniform(1, 15, gone.sum())
    day = (created // 24).astype(int)
    again["created"] = np.maximum(created, day * 24 + 8.1)
    again["opens"] = again["opens"] + 24 * (day - again["day"])
    return again | {"day": day}
