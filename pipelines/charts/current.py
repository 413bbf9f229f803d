"""Draws what is to come, how fast carriers accept pickups, and how old the data were at the end of each run."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pipelines.charts import sentences
from pipelines.charts.figure import BLUE, GREEN, ORANGE, ROW, Chart, dates_on, empty, rows_of, scale_top, single
from pipelines.charts.rows import drawn, in_order_of_runs, over_accounts
from pipelines.wording.rows import ENOUGH_TO_COMPARE

DAYS_AHEAD = 14


def upcoming(upcoming: pd.DataFrame) -> Chart:
    """Returns the pickups of the next 14 days with pickups, and how many of them will probably be cancelled.

    Args:
        upcoming: the rows of `upcoming_pickups`.
    """
    rows = over_accounts(upcoming)
    title = sentences.upcoming(upcoming).headline
    if rows.empty:
        return empty(title)
    days = (
        rows.groupby("window_opens_day_local")[["pickups", "expected_cancellations"]].sum().astype(float)[:DAYS_AHEAD]
    )

    def year(day: datetime) -> str:
        return "" if day.year == days.index.min().year == rows["as_of_utc"].max().year else f"\n{day.year}"

    def draw(axes: Axes) -> None:
        places = range(len(days))
        gone = days["expected_cancellations"]
        axes.bar(places, days["pickups"] - gone, color=BLUE, label="pickups")
        axes.bar(
            places,
            gone,
            bottom=days["pickups"] - gone,
            color=ORANGE,
            hatch="///",
            edgecolor="white",
            label="of which will be cancelled, on average",
        )
        for place, count in zip(places, days["pickups"], strict=True):
            axes.text(place, count, f"{count:,.0f}", ha="center", va="bottom", fontsize=8)
        axes.set_xticks(places, [f"{day:%a}\n{day:%d %b}{year(day)}" for day in days.index])
        axes.set(xlim=(-0.6, max(len(days), 5) - 0.4), ylabel="windows that open", xlabel="local day")
        axes.tick_params(axis="x", length=0, labelsize=8)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        if gone.sum() > 0:
            axes.legend(frameon=False, loc="upper right", fontsize=8)

    return single(2.8, title, "A bar for each day, divided into pickups and expected cancellations", draw)


def acceptance_times(times: pd.DataFrame) -> Chart:
    """Returns how long carriers take to accept a pickup: the median, and up to the 99th percentile.

    Args:
        times: the rows of `acceptance_times`.
    """
    rows = over_accounts(times)
    rows = drawn(
        rows[~rows["is_every_carrier"].astype(bool) & (rows["accepted"] > 0)].sort_values("carrier"), "accepted"
    )
    if rows["accepted"].sum() < ENOUGH_TO_COMPARE:
        return empty("Fewer than 30 acceptances have been observed")
    median, high = (rows[f"{part}_hours_to_acceptance"].astype(float) for part in ("median", "p99"))

    def draw(axes: Axes) -> None:
        places = rows_of(axes, rows["carrier"], rows["accepted"])
        right = scale_top(high, rows["accepted"])
        axes.hlines(places, 0, high.clip(upper=right), color=GREEN, alpha=0.35, lw=7)
        axes.plot(median.clip(upper=right), places, "D", color=GREEN, mec="black", mew=0.5, ms=6)
        axes.set(
            xlim=(0, right),
            xlabel="hours from booking to the observed acceptance: median, and up to p99 (n acceptances)",
        )

    return single(
        1.1 + ROW * len(rows), "How long carriers take to accept a pickup", "A mark for each carrier's median", draw
    )


def data_age(runs: pd.DataFrame) -> Chart:
    """Returns how old the published data were at the end of each run. Failed runs are marked.

    Args:
        runs: the rows of `runs`.
    """
    rows = in_order_of_runs(runs)
    if rows["hours_since_last_success"].count() < 2:
        return empty(sentences.runs(runs).headline)
    failed = rows[~rows["has_succeeded"].astype(bool)]

    def draw(axes: Axes) -> None:
        for _, own in rows.groupby("account"):
            axes.plot(own["finished_at_utc"], own["hours_since_last_success"], "-", color=BLUE, lw=1, marker=".", ms=4)
        axes.plot(
            failed["finished_at_utc"],
            [0.98] * len(failed),
            "x",
            color=ORANGE,
            transform=axes.get_xaxis_transform(),
            ms=7,
            mew=2,
        )
        axes.set(
            xlabel="end of the run (UTC); a cross marks a failed run", ylabel="age of the data, hours", ylim=(0, None)
        )
        dates_on(axes)

    return single(2.4, sentences.runs(runs).headline, "A line for each account that rises while there is no news", draw)
