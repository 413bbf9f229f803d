"""Words the figures at the top of the page: the rate, its change, what is to come, and what is stuck."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from pipelines.output import visible
from pipelines.report.glance.carriers import change_words
from pipelines.report.store import Row
from pipelines.report.words import NONE, count, day, percent, points, short_day, span

Figure = tuple[str, str]  # the figure itself, and the words below it


def rate_figure(carriers: list[Row], total: Row | None) -> Figure:
    """Returns the cancellation rate with its interval, or what is known before any pickup is mature.

    Args:
        carriers: rows of `carrier_cancellations` for the chosen carriers.
        total: k, n and the rate over these carriers with its interval. None if nothing is rated.
    """
    pickups, cancelled = (sum(row[name] for row in carriers) for name in ("pickups", "immature_cancelled"))
    if not pickups:
        return NONE, "No pickups in this selection."
    if total is None:
        known = f"{count(pickups, 'pickup')} booked, {cancelled:,} cancelled already."
        return "Not known yet", f"{known} The rate follows when windows have ended."
    sure = f"95% interval {span(total['low'], total['high'])}."
    return percent(total["rate"]), f"{total['k']:,} of {count(total['n'], 'finished pickup')}. {sure}"


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
        f"{points(change['difference'])} points, {weeks} against the four weeks before. "
        f"95% interval {points(change['difference_low'])} to {points(change['difference_high'])}."
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
    first = min(
        (row["window_opens_day_local"] for row in rows if row["window_opens_day_local"] >= tomorrow), default=None
    )
    words = _expected(of_day)
    if not of_day:
        words = f"The next open on {day(first)}." if first else "No later pickup is booked."
    week = sum(row["pickups"] for row in of_week)
    more = f" Up to {day(tomorrow + timedelta(days=6))}: {week:,}." if first and week else ""
    return count(sum(row["pickups"] for row in of_day), "pickup"), words + more


def _expected(rows: list[Row]) -> str:
    known = [row for row in rows if row["expected_cancellations"] is not None]
    if not known:
        return "Too few past pickups to say how many will be cancelled." if rows else ""
    expected, left_out = (
        sum(row["expected_cancellations"] for row in known),
        sum(row["without_estimate"] for row in rows),
    )
    words = f"About {expected:.0f}" if expected >= 0.95 else "Fewer than one"
    return f"{words} will probably still be cancelled{f' ({left_out:,} without an estimate)' if left_out else ''}."


def stuck_figure(stuck: Iterable[Row]) -> Figure:
    """Returns the number of stuck pickups, and the carriers that have most of them.

    Args:
        stuck: counts of stuck pickups by account and carrier.
    """
    by_carrier: dict[str, int] = {}
    for row in stuck:
        by_carrier[row["carrier"]] = by_carrier.get(row["carrier"], 0) + row["stuck"]
    total = sum(by_carrier.values())
    if not total:
        return "0 stuck", "No pickup waits too long for its carrier."
    largest = sorted(by_carrier.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{visible(carrier)} {number:,}" for carrier, number in largest[:3])
    return (
        f"{total:,} stuck",
        f"Not accepted by the carrier in time: {shown}{' and others' if len(largest) > 3 else ''}.",
    )
