"""Says when windows open, how long they are, how far ahead they are booked, and how that relates to cancellations."""

from __future__ import annotations

import pandas as pd

from pipelines.charts.rows import ENOUGH_TO_COMPARE, each, over_accounts, standing, total
from pipelines.charts.rows import bands as bands_of
from pipelines.charts.sentences.rates import differences
from pipelines.charts.words import Sentence, count_words, hours, joined, listed, percent, plain, some

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DAY, HOUR = "window_opens_isodow_local", "window_opens_hour_local"


def windows(windows: pd.DataFrame) -> Sentence:
    """Returns how many windows there are, and how many of them an evaluation leaves out.

    Args:
        windows: the rows of `carrier_windows`.
    """
    rows = over_accounts(windows)
    counts = total(rows)
    if not len(rows) or not counts.with_window:
        return Sentence("There is nothing to show yet: no pickup has a window.")
    share = percent(counts.open_ended / counts.with_window)
    unusual = count_words(
        [
            (counts.open_ended, f"is open-ended ({share})", f"are open-ended ({share})"),
            (counts.invalid, "ends before it begins", "end before they begin"),
            (counts.windows_before_booking, "opens before the booking", "open before the booking"),
            (counts.pickups_without_zone, "is in an unknown time zone", "are in an unknown time zone"),
        ]
    )
    return joined(
        f"**{some(counts.with_window, 'window')}** of {some(len(rows), 'carrier')}.", f"{unusual}." if unusual else ""
    )


def hour_headline(grid: pd.DataFrame) -> str:
    """Returns the hour of the week in which most windows open."""
    rows = over_accounts(grid)
    if not len(rows):
        return "No window opens in local time"
    opened = rows["pickups"].sum()
    if opened < ENOUGH_TO_COMPARE:
        return f"Only {some(opened, 'window opens', 'windows open')} in local time, too few to name an hour"
    day, hour = _busiest(rows).index[0]
    return f"The busiest hour is {DAYS[day - 1]} from {hour}:00 to {hour + 1}:00"


def busiest_hour(grid: pd.DataFrame) -> Sentence:
    """Returns the hour of the week in which most windows open, and how many open on a weekend.

    Args:
        grid: the rows of `carrier_window_grid`.
    """
    rows = over_accounts(grid)
    if not len(rows):
        return Sentence()
    opened, peak = rows["pickups"].sum(), _busiest(rows).iloc[0]
    if opened < ENOUGH_TO_COMPARE:
        return Sentence(f"{hour_headline(grid)}.")
    weekend = rows[rows[DAY] > 5]["pickups"].sum()
    share = f"{some(weekend, 'opens', 'open')} on a Saturday or Sunday ({percent(weekend / opened)})."
    return joined(
        f"**{hour_headline(grid)}**, {peak:,} of {some(opened, 'window')} ({percent(peak / opened)}).",
        share if weekend else "No window opens on a Saturday or Sunday.",
    )


def span(windows: pd.DataFrame, what: str, n: str) -> str:
    """Returns the shortest and the longest time of the carriers with 30 windows, in words."""
    rows = over_accounts(windows)
    times = rows[rows[n] >= ENOUGH_TO_COMPARE][what]
    return hours(times.min(), times.max()) if len(times) else "no carrier has 30 windows yet"


def lengths(windows: pd.DataFrame) -> Sentence:
    """Returns the median lengths, and which carriers have windows without an end."""
    rows = over_accounts(windows)
    if not len(rows) or not rows["with_window"].sum():
        return Sentence()
    open_ended = [
        f"{row.open_ended:,} of {some(row.with_window, 'window')} with {row.carrier} ({percent(row.open_ended_share)})"
        for row in each(rows[rows["open_ended"] > 0].sort_values("carrier"))
    ]
    return joined(
        f"**Median length: {span(windows, 'median_window_hours', 'windows_measured')}.**",
        f"Open-ended: {plain(listed(open_ended)) or 'no window'}.",
    )


def lead_times(windows: pd.DataFrame) -> Sentence:
    """Returns the median lead times, and how late the latest tenth of the bookings is made."""
    rows = over_accounts(windows)
    if not (rows["lead_times_measured"] > 0).any():
        return Sentence()
    median, least = (span(windows, f"{part}_lead_time_hours", "lead_times_measured") for part in ("median", "p10"))
    has_enough = (rows["lead_times_measured"] >= ENOUGH_TO_COMPARE).any()
    return joined(
        f"**Median lead time: {median}.**",
        f"One booking in ten is made at most this far ahead: {least}." if has_enough else "",
    )


def band_headline(by_booking: pd.DataFrame, measure: str) -> str:
    """Returns the bands of a measure that stand out, or that none does."""
    rows = bands_of(by_booking, measure)
    if len(rows) < 2:
        return f"{measure.capitalize()}: there is nothing to compare"
    told = [f"{row.name} is {row.stands_out} ({percent(row.cancellation_rate)})" for row in each(standing(rows))]
    over_all = f"no band stands out, {percent(rows['mature_cancelled'].sum() / rows['rated'].sum())} over all"
    return f"{measure.capitalize()}: {', '.join(told) or over_all}"


def bands(by_booking: pd.DataFrame, measure: str) -> Sentence:
    """Returns the bands of a measure that stand out, and by how much.

    Args:
        by_booking: the rows of `cancellations_by_booking`.
        measure: such as "lead time" or "window length".
    """
    rows = bands_of(by_booking, measure)
    if not len(rows):
        return Sentence()
    return joined(f"**{plain(band_headline(by_booking, measure))}.**", plain(differences(rows)))


def _busiest(rows: pd.DataFrame) -> pd.Series:
    return rows.groupby([DAY, HOUR])["pickups"].sum().sort_values(ascending=False, kind="stable")
