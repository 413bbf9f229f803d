"""Finds the newest listed booking that can be believed, which tells whether a clock is plausible (clocks.py)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow.compute as pc

from .clocks import MAX_CLOCK_DIFFERENCE, ClockReading, Verdict, judge
from .instants import instant


def judge_by_bookings(readings: Sequence[ClockReading], bookings: Any, last: datetime | None) -> Verdict:
    """Returns the time of a run. See `judge`; `bookings` contains the listed booking times as an Arrow array."""
    return judge(readings, newest_credible(bookings, max(map(max, readings))), last)


def newest_credible(bookings: Any, latest: datetime) -> datetime | None:
    """Returns the newest booking that is not later than both clocks, because the date of a booking may be wrong.

    If most bookings are later than both clocks, the clocks are wrong, and the result is the median booking.
    """
    credible = bookings.filter(pc.less_equal(bookings, instant(latest + MAX_CLOCK_DIFFERENCE)))
    if 2 * len(credible) < len(bookings):
        credible = pc.sort_indices(bookings)
        return bookings[credible[len(bookings) // 2].as_py()].as_py()  # type: ignore[no-any-return]
    newest: datetime | None = pc.max(credible).as_py()
    return newest
