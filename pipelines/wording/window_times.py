"""Says when windows open, how long they are, and how far ahead they are booked."""

from __future__ import annotations

from pipelines.output import visible
from pipelines.wording.numbers import DAYS, NONE, count, counts, hour_of_day, hours, names, percent
from pipelines.wording.rows import ENOUGH_TO_COMPARE, Row, Rows, Texts, sums

DAY, HOUR = "window_opens_isodow_local", "window_opens_hour_local"


def windows(windows: Rows) -> Texts:
    """Returns how many windows there are, and how many of them an evaluation leaves out.

    Args:
        windows: rows of `carrier_windows`, one per carrier.
    """
    columns = ("with_window", "open_ended", "invalid", "windows_before_booking", "pickups_without_zone")
    number, open_ended, invalid, early, without_zone = sums(windows, *columns)
    if not number:
        return ["There is nothing to show yet: no pickup has a window."]
    share = percent(open_ended / number)
    unusual = counts(
        [
            (open_ended, f"is open-ended ({share})", f"are open-ended ({share})"),
            (invalid, "ends before it begins", "end before they begin"),
            (early, "opens before the booking", "open before the booking"),
            (without_zone, "is in an unknown time zone", "are in an unknown time zone"),
        ]
    )
    return [f"{count(number, 'window')} of {count(len(windows), 'carrier')}.", f"{unusual}." if unusual else ""]


def busiest_hour(grid: Rows) -> Texts:
    """Returns the hour of the week in which most windows open, and how many open at the weekend.

    Args:
        grid: rows of `carrier_window_grid`.
    """
    if not grid:
        return []
    by_hour: dict[tuple[int, int], float] = {}
    for row in grid:
        place = (int(row[DAY]), int(row[HOUR]))
        by_hour[place] = by_hour.get(place, 0) + row["pickups"]
    opened = sum(by_hour.values())
    if opened < ENOUGH_TO_COMPARE:
        return [f"Only {count(opened, 'window opens', 'windows open')} in local time, too few to name an hour."]
    (day, hour), peak = max(by_hour.items(), key=lambda item: (item[1], item[0]))
    weekend = sum(pickups for (weekday, _), pickups in by_hour.items() if weekday > 5)
    return [
        f"The busiest hour is {DAYS[day - 1]} from {hour_of_day(hour)} to {hour_of_day(hour + 1)}, with {peak:,.0f} of "
        f"{count(opened, 'window')} ({percent(peak / opened)}).",
        f"{count(weekend, 'opens', 'open')} on a Saturday or Sunday ({percent(weekend / opened)})."
        if weekend
        else "No window opens on a Saturday or Sunday.",
    ]


def spread(row: Row, what: str) -> str:
    """Returns the middle 80% of a carrier's windows, such as "2.0 h to 3.5 h".

    Args:
        row: a row of `carrier_windows`.
        what: "window_hours" or "lead_time_hours".
    """
    low, high = row[f"p10_{what}"], row[f"p90_{what}"]
    return NONE if low is None else f"{hours(low)} to {hours(high)}"


def opening(row: Row) -> str:
    """Returns the hour in which most of a carrier's windows open, and its share."""
    hour = row["most_common_opening_hour_local"]
    return NONE if hour is None else f"{hour_of_day(hour)} ({percent(row['most_common_opening_hour_share'])})"


def _over_carriers(windows: Rows, column: str, n: str) -> str:
    times = [row[column] for row in windows if row[n] >= ENOUGH_TO_COMPARE]
    if not times:
        return "no carrier has 30 windows yet"
    low, high = hours(min(times)), hours(max(times))
    return f"{low} with every carrier" if low == high else f"{low} to {high}, depending on the carrier"


def lengths(windows: Rows) -> Texts:
    """Returns the median lengths, and which carriers have windows without an end."""
    if not sums(windows, "with_window")[0]:
        return []
    open_ended = [
        f"{row['open_ended']:,.0f} of {count(row['with_window'], 'window')} with {visible(row['carrier'])} "
        f"({percent(row['open_ended_share'])})"
        for row in windows
        if row["open_ended"]
    ]
    return [
        f"Median length: {_over_carriers(windows, 'median_window_hours', 'windows_measured')}.",
        f"Open-ended: {names(open_ended) or 'no window'}.",
    ]


def lead_times(windows: Rows) -> Texts:
    """Returns the median lead times, and how late the latest tenth of the bookings is made."""
    if not sums(windows, "lead_times_measured")[0]:
        return []
    median, least = (
        _over_carriers(windows, f"{part}_lead_time_hours", "lead_times_measured") for part in ("median", "p10")
    )
    has_enough = any(row["lead_times_measured"] >= ENOUGH_TO_COMPARE for row in windows)
    return [
        f"Median lead time: {median}.",
        f"One booking in ten is made at most this far ahead: {least}." if has_enough else "",
    ]
