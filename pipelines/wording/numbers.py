"""Formats numbers, times and names. Every reader sees a number in one form only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from pipelines.output import visible
from pipelines.wording.rows import Row

NONE = "–"
MINUS = "\u2212"
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MOST_NAMES = 4  # a sentence lists about this many names, and then how many more there are


def percent(share: float | None) -> str:
    """Returns a share as a percentage with one decimal, such as "8.4%"."""
    return NONE if share is None else f"{share:.1%}"


def interval(low: float | None, high: float | None) -> str:
    """Returns an interval of shares, such as "6.3 to 11.0%"."""
    return NONE if low is None or high is None else f"{low * 100:.1f} to {high:.1%}"


def points(difference: float | None) -> str:
    """Returns a difference of shares in percentage points with its sign, such as "+1.2"."""
    if difference is None:
        return NONE
    text = f"{difference * 100:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", MINUS)


def points_interval(row: Row) -> str:
    """Returns the interval of a row's difference, such as "95% interval +2.2 to +6.0"."""
    return f"95% interval {points(row['difference_low'])} to {points(row['difference_high'])}"


def difference(row: Row) -> str:
    """Returns a row's difference with its interval, such as "+4.1 percentage points (95% interval +2.2 to +6.0)"."""
    return f"{points(row['difference'])} percentage points ({points_interval(row)})"


def count(number: float, what: str, plural: str = "") -> str:
    """Returns a count with its noun or its clause, such as "1 pickup" or "2,000 pickups"."""
    return f"{number:,.0f} {what if number == 1 else plural or f'{what}s'}"


def counts(several: Sequence[tuple[float, str, str]]) -> str:
    """Returns the counts that are not zero, such as "1 is late, 2 are early"."""
    return ", ".join(count(number, one, more) for number, one, more in several if number)


def names(several: Sequence[object], most: int = MOST_NAMES) -> str:
    """Returns names as a phrase, such as "dhl, ups and 3 more". Control characters are visible."""
    shown = [visible(name) for name in several]
    if len(shown) > most + 1:
        shown = [*shown[:most], f"{len(shown) - most:,} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def day(when: date) -> str:
    """Returns a day, such as "Mon 30 Nov 2026"."""
    return f"{when:%a} {when.day} {when:%b %Y}"


def short_day(when: date) -> str:
    """Returns a day without weekday and year, such as "30 Nov"."""
    return f"{when.day} {when:%b}"


def minute(when: datetime | None) -> str:
    """Returns a time, such as "2026-11-30 08:05"."""
    return NONE if when is None else f"{when:%Y-%m-%d %H:%M}"


def hours(value: float | None) -> str:
    """Returns a number of hours, in days from 48 hours on."""
    if value is None:
        return NONE
    return f"{value:,.1f} h" if abs(value) < 48 else f"{value / 24:,.1f} days"


def age(hours_old: float) -> str:
    """Returns an age in words, such as "12 minutes" or "3 days"."""
    minutes = max(0, round(hours_old * 60))
    if minutes < 100:
        return count(minutes, "minute")
    return count(round(hours_old), "hour") if hours_old < 48 else count(round(hours_old / 24), "day")


def hour_of_day(hour: float) -> str:
    """Returns an hour of the day, such as "09:00"."""
    return f"{hour:02.0f}:00"
