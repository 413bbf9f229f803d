"""Draws the small pictures inside the table of carriers, as SVG paths that the page and its script can both fill in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise

from pipelines.report.store import Row

BAR_WIDTH, SPARK_WIDTH, HEIGHT, MARGIN = 140, 90, 18, 4
ENOUGH = 20  # a group with fewer pickups does not set a scale
SPARK_WEEKS = 13
STEPS = (0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


def scale_end(values: Sequence[tuple[float, int]]) -> float:
    """Returns the end of a scale from 0 that contains every value over enough pickups.

    Args:
        values: each value with the number of pickups behind it. If none has enough pickups, all count.
    """
    counted = [value for value, n in values if n >= ENOUGH] or [value for value, _ in values]
    return next((step for step in STEPS if max(counted, default=0) <= step), 1.0)


def interval_bar(low: float, rate: float, high: float, end: float) -> tuple[str, str]:
    """Returns the path of an interval and the path of the rate's dot. An interval beyond the scale ends in an arrow."""
    left, right, middle = _x(low, end), _x(high, end), HEIGHT // 2
    line = f"M{left} {middle}H{right}"
    if high > end:
        line += "m-4 -4l4 4l-4 4"
    return line, f"M{_x(rate, end)} {middle}h0"


def line_at(value: float, end: float) -> str:
    """Returns the path of a vertical line at a value."""
    return f"M{_x(value, end)} 0V{HEIGHT}"


def _x(value: float, end: float) -> int:
    return MARGIN + round(min(value / end, 1) * (BAR_WIDTH - 2 * MARGIN)) if end else MARGIN


def spark(weeks: Sequence[Row], last: date, end: float) -> str:
    """Returns the path of a carrier's weeks up to `last`. A week without pickups leaves a gap.

    Args:
        weeks: rows of `carrier_cancellations_weekly` of one carrier.
        last: the Monday of the last week.
        end: the end of the scale.
    """
    points = {}
    for row in weeks:
        place = SPARK_WEEKS - 1 - (last - row["booked_week_local_start"]) // timedelta(weeks=1)
        if row["watched_48_hours"] and 0 <= place < SPARK_WEEKS:
            y = (HEIGHT - 3) - round(min(row["cancelled_within_48_hours_rate"] / end, 1) * (HEIGHT - 6))
            points[place] = f"{3 + place * 7} {y}"
    path = ""
    for before, place in pairwise([-9, *sorted(points)]):
        path += f"L{points[place]}" if place == before + 1 else f"M{points[place]}h0"
    return path
