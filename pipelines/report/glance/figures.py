"""Words the figures at the top of the page: the rate, its change, what is to come, and what is stuck."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from pipelines.report.store import Row
from pipelines.wording.comparisons import change_words
from pipelines.wording.coverage import known_so_far
from pipelines.wording.current import expected_cancellations, next_day, stuck_words
from pipelines.wording.numbers import NONE, count, day, interval, percent, points, points_interval, short_day
from pipelines.wording.rates import k_of_n
from pipelines.wording.rows import sums

Figure = tuple[str, str]  # the figure itself, and the words below it


def rate_figure(carriers: list[Row], total: Row | None) -> Figure:
    """Returns the cancellation rate with its interval, or what is known before any pickup is mature.

    Args:
        carriers: rows of `carrier_cancellations` for the chosen carriers.
        total: k, n and the rate over these carriers with its interval. None if nothing is rated.
    """
    if not sums(carriers, "pickups")[0]:
        return NONE, "No pickups in this selection."
    if total is None:
        return "Not known yet", f"{known_so_far(carriers)}. The rate follows when windows have ended."
    sure = f"95% interval {interval(total['low'], total['high'])}."
    return percent(total["rate"]), f"{k_of_n(total['k'], total['n'])}. {sure}"


def total_of(row: Row | None) -> Row | None:
    """Returns the values that `rate_figure` needs, from a row of `rates`."""
    if row is None or not row["n"]:
        return None
    return {"k": row["k"], "n": row["n"], "rate": row["rate"], "low": row["rate_low"], "high": row["rate_high"]}


def total_of_carrier(row: Row) -> Row | None:
    """Returns the values that `rate_figure` needs, from a row of `carrier_cancellations`."""
    if not row["rated"]:
        return None
    rate = {name: row[f"cancellation_rate_{name}"] for name in ("low", "high")}
    return {"k": row["mature_cancelled"], "n": row["rated"], "rate": row["cancellation_rate"], **rate}


def change_figure(change: Row | None) -> Figure:
    """Returns whether the rate rises or falls, with the difference."""
    if change is None or change["difference"] is None or change["difference_low"] is None:
        return "Not known yet", change_words(None) + "."
    verdict = "No clear change"
    if change["is_more_than_chance"]:
        verdict = "Rising" if change["difference"] > 0 else "Falling"
    weeks = f"{short_day(change['now_starts_utc'])} to {short_day(change['now_ends_utc'] - timedelta(days=1))}"
    return verdict, (
        f"{points(change['difference'])} points, {weeks} against the four weeks before. {points_interval(change)}."
    )


def next_figure(upcoming: Iterable[Row], as_of: datetime | None) -> Figure:
    """Returns the pickups of the day after the data, and of the seven days after it.

    Args:
        upcoming: rows of `upcoming_pickups` for the chosen account and carriers.
        as_of: the time of the data.
    """
    if as_of is None:
        return NONE, "No run has succeeded yet."
    rows, tomorrow = list(upcoming), as_of.date() + timedelta(days=1)
    of_day = [row for row in rows if row["window_opens_day_local"] == tomorrow]
    of_week = [row for row in rows if row["window_opens_day_local"] <= as_of.date() + timedelta(days=7)]
    later = [row for row in rows if row["window_opens_day_local"] >= tomorrow]
    (week,) = sums(of_week, "pickups")
    more = f" {count(week, 'pickup')} up to {day(tomorrow + timedelta(days=6))}." if later and week else ""
    words = expected_cancellations(of_day) if of_day else next_day(later)
    return count(sums(of_day, "pickups")[0], "pickup"), words + more


def stuck_figure(stuck: Iterable[Row]) -> Figure:
    """Returns the number of stuck pickups, and the carriers that have most of them.

    Args:
        stuck: counts of stuck pickups by account and carrier.
    """
    by_carrier: dict[str, int] = {}
    for row in stuck:
        by_carrier[row["carrier"]] = by_carrier.get(row["carrier"], 0) + row["stuck"]
    return f"{sum(by_carrier.values()):,} stuck", stuck_words(by_carrier)
