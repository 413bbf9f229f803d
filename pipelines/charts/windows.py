"""Draws when windows open, how long they are, how far ahead they are booked, and rates by band."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pipelines.charts import sentences
from pipelines.charts.figure import BLUE, ORANGE, ROW, Chart, empty, panels, rows_of, scale_top, single
from pipelines.charts.rates import CANCELLED, LOOKS, add_legend
from pipelines.charts.rows import MOST_DRAWN, drawn, each, over_accounts
from pipelines.charts.rows import bands as bands_of
from pipelines.wording.numbers import DAYS
from pipelines.wording.rows import ENOUGH_TO_COMPARE
from pipelines.wording.window_times import DAY, HOUR

OPENS = "hour in which the window opens, local time"


def opening_hours(grid: pd.DataFrame) -> Chart:
    """Returns how many windows open in each hour of the week.

    Args:
        grid: the rows of `carrier_window_grid`.
    """
    rows = over_accounts(grid)
    title = sentences.busiest_hour(grid).headline
    if rows.empty:
        return empty(title)
    hours = _hours(rows)

    def draw(axes: Axes) -> None:
        cells = _heat(axes, _week(rows, hours), hours, DAYS, 12)
        axes.set_xlabel(OPENS)
        ticks: Any = MaxNLocator(6, integer=True)
        axes.figure.colorbar(cells, ax=axes, label="windows", pad=0.02, ticks=ticks).outline.set_visible(False)

    return single(3.2, title, "A field for each weekday and hour, darker where more windows open", draw)


def opening_hours_by_carrier(grid: pd.DataFrame) -> Chart:
    """Returns what share of each carrier's windows opens in each hour, for carriers with 30 windows or more.

    Args:
        grid: the rows of `carrier_window_grid`.
    """
    rows = over_accounts(grid)
    counts = rows.groupby("carrier")["pickups"].sum()
    most = counts[counts >= ENOUGH_TO_COMPARE].nlargest(MOST_DRAWN)
    if most.empty:
        return empty("No carrier has 30 windows yet")
    hours = _hours(rows)
    shares = {name: 100 * _week(rows[rows["carrier"] == name], hours) / most[name] for name in most.index}
    darkest = max(float(share.to_numpy().max()) for share in shares.values())

    def draw(axes: Axes, name: str) -> None:
        _heat(axes, shares[name], hours, [day[:2] for day in DAYS], 6, darkest)

    title = f"Share of each carrier's windows by weekday and hour (darkest: {darkest:.0f} %)"
    return panels(list(shares), title, "A field for each weekday and hour, on one scale", (OPENS, ""), draw)


def window_lengths(windows: pd.DataFrame) -> Chart:
    """Returns the median and the middle 80 % of each carrier's window lengths.

    Args:
        windows: the rows of `carrier_windows`.
    """
    title = sentences.lengths(windows).headline
    axis = "window length in hours: median, and p10 to p90, over the windows that end after they begin (n)"
    return _ranges(windows, "window_hours", "windows_measured", BLUE, title, axis)


def lead_times(windows: pd.DataFrame) -> Chart:
    """Returns the median and the middle 80 % of each carrier's lead times.

    Args:
        windows: the rows of `carrier_windows`.
    """
    title = sentences.lead_times(windows).headline
    axis = "lead time in hours from booking to opening: median, and p10 to p90 (n windows)"
    return _ranges(windows, "lead_time_hours", "lead_times_measured", ORANGE, title, axis)


def _ranges(windows: pd.DataFrame, what: str, n: str, colour: str, title: str, axis: str) -> Chart:
    rows = over_accounts(windows).sort_values("carrier")
    rows = drawn(rows[rows[n] > 0], n)
    if rows.empty:
        return empty(title)
    low, median, high = (rows[f"{part}_{what}"].astype(float) for part in ("p10", "median", "p90"))

    def draw(axes: Axes) -> None:
        right = scale_top(high, rows[n])
        places = rows_of(axes, rows["carrier"], rows[n])
        axes.hlines(places, low.clip(upper=right), high.clip(upper=right), color=colour, alpha=0.35, lw=7)
        axes.plot(median.clip(upper=right), places, "D", color=colour, mec="black", mew=0.5, ms=6)
        axes.set(xlim=(0, right), xlabel=axis)

    return single(1.1 + ROW * len(rows), title, "A mark for each carrier's median, with a bar from p10 to p90", draw)


def rates_by_band(by_booking: pd.DataFrame, measure: str) -> Chart:
    """Returns the cancellation rate of all carriers in each band of a measure.

    Args:
        by_booking: the rows of `cancellations_by_booking`.
        measure: "lead time" or "window length".
    """
    rows = bands_of(by_booking, measure)
    title = sentences.bands(by_booking, measure).headline
    if rows.empty:
        return empty(title)

    def draw(axes: Axes) -> None:
        top = 100 * scale_top(rows["cancellation_rate_high"].astype(float), rows["rated"])
        for place, row in enumerate(each(rows)):
            look = LOOKS.get(row.stands_out, LOOKS["no"])
            axes.vlines(
                place,
                100 * row.cancellation_rate_low,
                min(100 * row.cancellation_rate_high, top),
                color=look["color"],
                alpha=0.3,
                lw=9,
            )
            axes.plot(place, min(100 * row.cancellation_rate, top), look["marker"], color=look["color"], ms=7)
        axes.set_xticks(
            range(len(rows)), [f"{name}\nn = {n:,}" for name, n in zip(rows["name"], rows["rated"], strict=True)]
        )
        axes.set(
            ylim=(0, top),
            xlim=(-0.6, len(rows) - 0.4),
            xlabel=f"{measure}; {CANCELLED}",
            ylabel="cancelled, %",
        )
        add_legend(axes, rows["stands_out"])

    return single(3.0, title, "A mark for each band's rate, with a bar for its 95 % interval", draw)


def _hours(grid: pd.DataFrame) -> range:
    return range(int(grid[HOUR].min()), int(grid[HOUR].max()) + 1)


def _week(grid: pd.DataFrame, hours: range) -> pd.DataFrame:
    counts = grid.pivot_table(index=DAY, columns=HOUR, values="pickups", aggfunc="sum")
    return counts.reindex(index=range(1, 8), columns=hours).fillna(0).astype(float)


def _heat(
    axes: Axes, counts: pd.DataFrame, hours: range, days: Iterable[str], ticks: int, most: float | None = None
) -> Any:
    """Draws a field for each weekday and hour, the darker the more windows open then. Monday is on top."""
    cells = axes.pcolormesh(counts.to_numpy(), cmap="Blues", vmin=0, vmax=most, edgecolor="white", lw=0.8)
    step = -(-len(hours) // ticks)
    axes.set_xticks([place + 0.5 for place in range(0, len(hours), step)], [str(hour) for hour in hours[::step]])
    axes.set_yticks([place + 0.5 for place in range(7)], list(days))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylim(7, 0)
    return cells
