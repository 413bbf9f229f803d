"""Draws rates with their intervals, a line for each carrier."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pipelines.charts import sentences
from pipelines.charts.figure import BLUE, GREEN, GREY, ORANGE, RED, ROW, Chart, empty, rows_of, scale_top, single
from pipelines.charts.rows import countries, drawn, each, standing, whole_carriers
from pipelines.charts.words import label
from pipelines.wording.numbers import names, percent

CANCELLED = "cancelled, % of the mature pickups that were cancelled or kept"
# What the view says of a group, as a colour and a shape.
LOOKS: dict[object, dict[str, Any]] = {
    "higher": {"marker": "^", "color": RED, "label": "higher than the others"},
    "lower": {"marker": "v", "color": GREEN, "label": "lower than the others"},
    "no": {"marker": "o", "color": BLUE, "label": "no difference beyond chance"},
}


def cancellation_rates(cancellations: pd.DataFrame) -> Chart:
    """Returns each carrier's cancellation rate with its 95 % interval, and who stands out.

    Args:
        cancellations: the rows of `carrier_cancellations`.
    """
    rows = whole_carriers(cancellations)
    rows = drawn(rows[rows["rated"] > 0], "rated", "stands_out")
    title = sentences.cancellation_rates(cancellations).headline
    return _rates(rows, "cancellation_rate", "rated", "stands_out", title, f"{CANCELLED} (n), with 95 % interval")


def failure_rates(cancellations: pd.DataFrame) -> Chart:
    """Returns each carrier's failure rate with its 95 % interval, and who stands out.

    Args:
        cancellations: the rows of `carrier_cancellations`.
    """
    rows = whole_carriers(cancellations)
    rows = rows[rows["failure_n"] > 0].sort_values(["failure_rank", "carrier"], ignore_index=True)
    rows = drawn(rows, "failure_n", "failure_stands_out")
    title = sentences.failure_rates(cancellations).headline
    axis = "failed, % of the mature pickups that are not pending (n), with 95 % interval"
    return _rates(rows, "failure_rate", "failure_n", "failure_stands_out", title, axis)


def _rates(rows: pd.DataFrame, rate: str, n: str, stands_out: str, title: str, axis: str) -> Chart:
    if rows.empty:
        return empty(title)

    def draw(axes: Axes) -> None:
        top = 100 * scale_top(rows[f"{rate}_high"].astype(float), rows[n])
        places = rows_of(axes, rows["carrier"], rows[n])
        axes.set(xlim=(-0.015 * top, top), xlabel=axis)
        for place, row in zip(places, each(rows), strict=True):
            look = LOOKS.get(getattr(row, stands_out), LOOKS["no"])
            values = [100 * getattr(row, f"{rate}{end}") for end in ("", "_low", "_high")]
            _interval(axes, place, values, top, look)
        add_legend(axes, rows[stands_out])

    told = [f"{name} {percent(share)}" for name, share in zip(rows["carrier"], rows[rate], strict=True)]
    return single(1.1 + ROW * len(rows), title, f"Rates with 95 % intervals: {names(told)}", draw)


def _interval(axes: Axes, y: float, values: list[float], top: float, look: dict[str, Any]) -> None:
    """Draws a rate and the ends of its interval. An arrow marks what lies beyond the scale."""
    rate, low, high = values
    axes.hlines(y, low, min(high, top), color=look["color"], alpha=0.3, lw=7)
    if high > top:
        axes.plot(top, y, ">", color=look["color"], ms=7, clip_on=False)
    if rate <= top:
        axes.plot(rate, y, look["marker"], color=look["color"], ms=7)
    else:
        axes.text(0.985 * top, y, f"{rate:.1f} % ", ha="right", va="center", fontsize=8)


def add_legend(axes: Axes, stands_out: pd.Series) -> None:
    """Explains the shapes that are drawn, if any group stands out."""
    found = [side for side in LOOKS if (stands_out == side).any()]
    if found and found != ["no"]:
        marks = [Line2D([], [], ls="", ms=7, **LOOKS[side]) for side in found]
        axes.legend(handles=marks, frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)


def late_cancellations(cancellations: pd.DataFrame) -> Chart:
    """Returns how late each carrier's pickups are cancelled. The bars of a carrier add up to its cancellation rate.

    Args:
        cancellations: the rows of `carrier_cancellations`.
    """
    rows = whole_carriers(cancellations)
    rows = drawn(rows[rows["rated"] > 0], "rated", "stands_out")
    title = sentences.late_cancellations(cancellations).headline
    if rows.empty or not rows["mature_cancelled"].sum():
        return empty(title)
    after = rows["mature_cancelled_after_start"]
    parts = [
        (
            "a day or more before the window opened",
            rows["mature_cancelled"] - rows["mature_late_cancellations"],
            BLUE,
            "",
        ),
        ("less than a day before", rows["mature_late_cancellations"] - after, ORANGE, "///"),
        ("after it had opened", after, RED, "xxx"),
    ]

    def draw(axes: Axes) -> None:
        places, left = list(rows_of(axes, rows["carrier"])), pd.Series(0.0, index=rows.index)
        for _, counts, colour, hatch in parts:
            share = 100 * counts / rows["rated"]
            axes.barh(places, share, left=left, color=colour, hatch=hatch, edgecolor="white", lw=0.5, height=0.7)
            left = left + share
        axes.set(xlabel=CANCELLED, xlim=(0, 100 * scale_top(rows["cancellation_rate"].astype(float), rows["rated"])))
        keys = [Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=name) for name, _, colour, hatch in parts]
        axes.legend(handles=keys, frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)

    alt = "Bars by carrier, divided into cancellations a day or more before the window, later, and after it opened"
    return single(1.1 + ROW * len(rows), title, alt, draw)


def country_rates(cancellations: pd.DataFrame) -> Chart:
    """Returns each carrier's rate in its countries, beside its rate over all countries.

    Args:
        cancellations: the rows of `carrier_cancellations`.
    """
    places = drawn(countries(cancellations), "rated", "stands_out")
    title = sentences.country_rates(cancellations).headline
    if places.empty or not places["carrier"].duplicated().any():
        return empty("There is nothing to compare: no carrier has two countries with 30 rated pickups")
    whole = whole_carriers(cancellations)
    whole = whole[whole["carrier"].isin(places["carrier"])].reset_index(drop=True)
    lines = dict(zip(whole["carrier"], whole.index, strict=True))

    def draw(axes: Axes) -> None:
        rows_of(axes, whole["carrier"])
        axes.plot(100 * whole["cancellation_rate"], whole.index, "|", color=GREY, ms=20, mew=3)
        for row in each(places):
            look = LOOKS.get(row.stands_out, LOOKS["no"])
            axes.plot(
                100 * row.cancellation_rate,
                lines[row.carrier],
                look["marker"],
                color=look["color"],
                ms=7,
                alpha=0.75,
            )
        for row in each(standing(places)):
            at = (100 * row.cancellation_rate, lines[row.carrier])
            axes.annotate(label(row.country), at, xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
        axes.set(xlabel=f"{CANCELLED}; grey: the carrier in all countries", xlim=(0, None))
        add_legend(axes, places["stands_out"])

    return single(1.1 + 1.2 * ROW * len(whole), title, "A mark for each country on the line of its carrier", draw)
