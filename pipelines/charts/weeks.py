"""Draws what happens over time: the rate by week of booking, the early signal, and cancellations by age."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pipelines.charts import sentences
from pipelines.charts.figure import BLUE, GREY, Chart, dates_on, empty, panels, scale_top
from pipelines.charts.rows import MOST_DRAWN, over_accounts, whole_weeks

WEEK = "booked_week_local_start"
OWN: dict[str, Any] = {"color": BLUE, "lw": 2, "zorder": 3}
OTHERS: dict[str, Any] = {"color": "#CCCCCC", "lw": 0.7}


def weekly_rates(weekly: pd.DataFrame, since: str | date | None = None, until: str | date | None = None) -> Chart:
    """Returns each carrier's cancellation rate by week of booking. A week without a rate is a gap in the line.

    Hollow dots are weeks that are not complete.

    Args:
        weekly: the rows of `carrier_cancellations_weekly`, with `by="booking"`.
        since: the earliest booking in `weekly`.
        until: the time before which the bookings in `weekly` were made.
    """
    rows = whole_weeks(weekly, since, until)
    rows = rows[rows["rated"] > 0]
    return _by_week(
        rows, "cancellation_rate", "rated", "is_whole", "Cancellation rate by week of booking", "mature pickups"
    )


def early_signal(weekly: pd.DataFrame) -> Chart:
    """Returns the share of each week's pickups that were cancelled within 48 hours, known days after the booking.

    Args:
        weekly: the rows of `carrier_cancellations_weekly`, with `by="booking"`.
    """
    rows = over_accounts(weekly).sort_values(WEEK)
    rows = rows[rows["watched_48_hours"] > 0]
    rate = "cancelled_within_48_hours"
    rows = rows.rename(columns={f"{rate}_low": f"{rate}_rate_low", f"{rate}_high": f"{rate}_rate_high"})
    return _by_week(
        rows,
        f"{rate}_rate",
        "watched_48_hours",
        "is_early_signal_complete",
        sentences.early_signal(weekly).headline,
        "pickups",
    )


def _by_week(rows: pd.DataFrame, rate: str, n: str, is_whole: str, title: str, of: str) -> Chart:
    if rows.empty:
        return empty(title)
    whole = rows[rows[is_whole].astype(bool)]
    # the intervals of single weeks are several times as wide as the range of the rates, so they don't set the scale
    scale = whole if len(whole) else rows
    top = 125 * scale_top(scale[rate].astype(float), scale[n])
    most = rows.groupby("carrier")[n].sum().nlargest(MOST_DRAWN).index.tolist()

    def draw(axes: Axes, name: str) -> None:
        weeks = rows[rows["carrier"] == name].set_index(WEEK)
        complete = weeks[weeks[is_whole].astype(bool)]
        if len(complete):
            line = (100 * complete[rate].astype(float)).asfreq("7D")
            low, high = (100 * complete[f"{rate}_{end}"].astype(float) for end in ("low", "high"))
            axes.vlines(complete.index, low.clip(upper=top), high.clip(upper=top), color=BLUE, alpha=0.2, lw=2)
            axes.plot(line.index, line.clip(upper=0.97 * top), "-", color=BLUE, lw=1.2, marker=".", ms=4)
        part = weeks[~weeks[is_whole].astype(bool)]
        axes.plot(part.index, (100 * part[rate].astype(float)).clip(upper=0.97 * top), "o", mec=BLUE, mfc="white", ms=4)
        axes.set_ylim(-0.03 * top, top)
        dates_on(axes)

    alt = "A line for each carrier, with a bar for the 95 % interval of each week; hollow dots are incomplete weeks"
    return panels(most, title, alt, ("week of booking", f"cancelled, % of {of}"), draw)


def cancelled_by_age(timing: pd.DataFrame) -> Chart:
    """Returns what share of each carrier's pickups has been cancelled by each age, before those of all others in grey.

    Args:
        timing: the rows of `cancellation_timing`.
    """
    rows = over_accounts(timing).sort_values("age_hours")
    title = sentences.by_age(timing).headline
    if rows.empty:
        return empty(title)
    at_risk = rows.groupby("carrier")["at_risk"].max()
    most = at_risk.nlargest(MOST_DRAWN).index.tolist()
    curves = {
        name: ages[["age_hours", "share_cancelled"]].to_numpy(float)
        for name, ages in rows.groupby("carrier")
        if name in most
    }
    ends = pd.Series({name: curve[:, 1].max() for name, curve in curves.items()})
    top = 100 * scale_top(ends, at_risk.reindex(ends.index))

    def draw(axes: Axes, name: str) -> None:
        for other, curve in curves.items():
            look: dict[str, Any] = (
                {"color": BLUE, "lw": 2, "zorder": 3} if other == name else {"color": "#CCCCCC", "lw": 0.7}
            )
            axes.step(curve[:, 0] / 24, 100 * curve[:, 1], where="post", **look)
        if not np.isfinite(curves[name][:, 1]).any():
            axes.text(15, top / 2, "nothing observed", color=GREY, ha="center")
        axes.set(xlim=(0, 30), ylim=(0, top))

    alt = "A rising curve for each carrier, with those of all other carriers in grey"
    return panels(most, title, alt, ("age: days since the booking", "cancelled, % of all booked"), draw)
