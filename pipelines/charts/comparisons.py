"""Draws comparisons: with the weeks before, with what is expected, and with and without rebookings."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pipelines.charts import sentences
from pipelines.charts.figure import BLUE, GREY, ROW, Chart, empty, rows_of, scale_top, single
from pipelines.charts.rates import CANCELLED, LOOKS, add_legend
from pipelines.charts.rows import comparable, drawn, each, over_accounts, whole_carriers
from pipelines.wording.comparisons import UNCERTAIN
from pipelines.wording.numbers import names


def changes(changes: pd.DataFrame) -> Chart:
    """Returns how each carrier's rate has changed, with the 95 % interval of the difference.

    Args:
        changes: the rows of `cancellation_changes`.
    """
    rows = comparable(changes).assign(n=lambda of: of[["before_n", "now_n"]].min(axis="columns"))
    is_changed = rows["is_more_than_chance"].astype(bool)
    sides = (rows["difference"] > 0).map({True: "higher", False: "lower"}).where(is_changed, "no")
    rows = drawn(rows.assign(side=sides), "n", "side")
    title = sentences.changes(changes).headline
    if rows.empty:
        return empty(title)

    def draw(axes: Axes) -> None:
        widest = rows[["difference_low", "difference_high"]].astype(float).abs().max(axis="columns")
        far = 100 * scale_top(widest, rows["n"])
        for place, row in zip(rows_of(axes, rows["carrier"]), each(rows), strict=True):
            look = LOOKS[row.side]
            low, high = max(100 * row.difference_low, -far), min(100 * row.difference_high, far)
            axes.hlines(place, low, high, color=look["color"], alpha=0.3, lw=7)
            axes.plot(min(max(100 * row.difference, -far), far), place, look["marker"], color=look["color"], ms=7)
            words = f"{row.before_rate_at_one_mix:.1%} → {row.now_rate_at_one_mix:.1%}"
            axes.text(1.02, place, words, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
        axes.axvline(0, color=GREY, lw=1)
        axes.set(
            xlim=(-far, far),
            xlabel="change in percentage points at one mix, with 95 % interval; triangle: more than chance",
        )

    told = [f"{row.carrier} {100 * row.difference:+.1f} points" for row in each(rows)]
    return single(1.1 + ROW * len(rows), title, f"Changes with 95 % intervals: {names(told)}", draw)


def expected(expected: pd.DataFrame) -> Chart:
    """Returns each carrier's cancellations against those that would be expected, like with like.

    Args:
        expected: the rows of `carrier_expected`.
    """
    rows = over_accounts(expected)
    rows = rows[rows["ratio"].notna()].sort_values("ratio", ascending=False)
    rows = drawn(rows, "n", "stands_out")
    title = sentences.expected(expected).headline
    if len(rows) < 2:
        return empty("There is only one carrier, so there is nothing to compare like with like")

    def draw(axes: Axes) -> None:
        right = max(1.5, scale_top(rows["ratio_high"].astype(float), rows["n"]))
        for place, row in zip(rows_of(axes, rows["carrier"]), each(rows), strict=True):
            look = LOOKS.get(row.stands_out, LOOKS["no"])
            axes.barh(
                place, row.funnel_998_high - row.funnel_998_low, left=row.funnel_998_low, color="#EEEEEE", height=0.8
            )
            axes.barh(
                place, row.funnel_95_high - row.funnel_95_low, left=row.funnel_95_low, color="#DDDDDD", height=0.8
            )
            axes.hlines(place, row.ratio_low, min(row.ratio_high, right), color=look["color"], alpha=0.4, lw=4)
            axes.plot(min(row.ratio, right), place, look["marker"], color=look["color"], ms=7)
        axes.axvline(1, color=GREY, lw=1)
        axes.set(
            xlim=(0, right),
            xlabel="observed / expected cancellations, with 95 % interval; grey: what chance alone produces",
        )
        add_legend(axes, rows["stands_out"])

    told = [f"{row.carrier} {row.ratio:.2f}" for row in each(rows)]
    return single(1.1 + ROW * len(rows), title, f"Ratios of observed to expected cancellations: {names(told)}", draw)


def net_rates(net: pd.DataFrame, cancellations: pd.DataFrame) -> Chart:
    """Returns each carrier's rate with and without the cancellations that were rebooked.

    Args:
        net: the rows of `carrier_net_cancellations`.
        cancellations: the rows of `carrier_cancellations`.
    """
    rows = whole_carriers(net)
    by_chance = rows["rebooked_by_chance_share"].astype(float).fillna(0)
    rows = rows.assign(is_clear=by_chance <= UNCERTAIN)[rows["net_rated"] > 0]
    gross = whole_carriers(cancellations)[["carrier", "cancellation_rate", "rated"]]
    rows = drawn(gross.merge(rows, on="carrier"), "rated")
    title = sentences.net_rates(net).headline
    if rows.empty:
        return empty(title)

    def draw(axes: Axes) -> None:
        for place, row in zip(rows_of(axes, rows["carrier"]), each(rows), strict=True):
            all_of_them, left = 100 * row.cancellation_rate, 100 * row.net_cancellation_rate
            axes.hlines(place, left, all_of_them, color=GREY, alpha=0.4, lw=2)
            axes.plot(all_of_them, place, "|", color=GREY, ms=16, mew=3)
            axes.plot(left, place, "o", color=BLUE, mfc=BLUE if row.is_clear else "white", ms=7)
        axes.set(xlabel=CANCELLED, xlim=(0, 100 * scale_top(rows["cancellation_rate"].astype(float), rows["rated"])))
        _explain(axes)

    told = [f"{row.carrier} {row.cancellation_rate:.1%} and {row.net_cancellation_rate:.1%}" for row in each(rows)]
    return single(1.1 + ROW * len(rows), title, f"Rate of all cancellations and net rate: {names(told)}", draw)


def _explain(axes: Axes) -> None:
    dots: dict[str, Any] = {"ls": "", "marker": "o", "color": BLUE, "ms": 7}
    keys = [
        Line2D([], [], ls="", marker="|", color=GREY, ms=12, mew=3, label="all cancellations"),
        Line2D([], [], label="not rebooked", **dots),
        Line2D([], [], label="not rebooked, uncertain", **dots | {"mfc": "white"}),
    ]
    axes.legend(handles=keys, frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
