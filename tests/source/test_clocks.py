"""Tests which clock a run believes. Expected values were worked out by hand from the rules in `clocks.py`.

The rules: a clock is plausible if it isn't more than an hour before the newest booking or the last good run. Pickups
settle by the earlier plausible clock. The list is observed at the API's time, unless that is more than an hour ahead of
a plausible clock of this machine.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from sources.sendcloud.reading.bookings import judge_by_bookings as judge
from sources.sendcloud.reading.clocks import MOMENT, ClockReading, largest_difference
from sources.sendcloud.records.tables import INSTANT

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
IN_2001, IN_2031, IN_2099 = (datetime(year, 1, 1, tzinfo=UTC) for year in (2001, 2031, 2099))
LAST = NOW - 15 * MINUTE


def bookings(*times: datetime) -> pa.Array:
    return pa.array(times, INSTANT)


LISTED = bookings(NOW - 20 * MINUTE, NOW - 5 * HOUR, NOW - 9 * DAY)


@pytest.mark.parametrize(
    ("api", "machine", "last", "as_of", "settled_by"),
    [
        (NOW, NOW, LAST, NOW, NOW),
        (NOW, NOW + MINUTE, LAST, NOW, NOW),
        (NOW, NOW - MINUTE, LAST, NOW, NOW - MINUTE),
        (NOW, NOW - 59 * MINUTE, LAST, NOW, NOW - 59 * MINUTE),
        (NOW + 61 * MINUTE, NOW, LAST, NOW, NOW),
        (IN_2099, NOW, LAST, NOW, NOW),
        (NOW, IN_2099, LAST, NOW, NOW),
        (NOW, IN_2001, LAST, NOW, NOW),
        (IN_2001, NOW, LAST, NOW, NOW),
        (NOW, NOW - 3 * HOUR, LAST, NOW, NOW),
        (NOW - 3 * HOUR, NOW, LAST, NOW, NOW),
        (NOW, NOW, IN_2099, NOW, NOW),
        (NOW, IN_2001, IN_2099, NOW, NOW),
        (IN_2001, NOW, IN_2099, NOW, NOW),
        (NOW, NOW, None, NOW, NOW),
        (NOW, IN_2031, None, NOW, NOW),
        (NOW, IN_2001, None, NOW, NOW),
        (IN_2099, IN_2099, LAST, IN_2099, IN_2099),  # nothing tells that both are wrong
        (NOW, NOW, NOW + 50 * MINUTE, NOW + 50 * MINUTE + MOMENT, NOW),  # a clock that was set back
        (
            IN_2001,
            IN_2001,
            LAST,
            LAST + MOMENT,
            NOW - 5 * HOUR,
        ),  # the middle booking
    ],
)
def test_run_believes_a_plausible_clock(
    api: datetime, machine: datetime, last: datetime | None, as_of: datetime, settled_by: datetime
) -> None:
    assert judge([ClockReading(api, machine)], LISTED, last)[:2] == (as_of, settled_by)


def test_run_believes_the_api_if_nothing_is_listed_and_nothing_was_read_before() -> None:
    assert judge([ClockReading(NOW, NOW + DAY)], bookings(), None)[:2] == (NOW, NOW)
    assert judge([ClockReading(NOW + DAY, NOW)], bookings(), None)[:2] == (NOW, NOW)


@pytest.mark.parametrize("odd", [IN_2099, IN_2001, NOW + 2 * DAY])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_page_with_another_date_changes_nothing(odd: datetime, place: int) -> None:
    pages = [ClockReading(NOW, IN_2001), ClockReading(NOW + MINUTE, IN_2001), ClockReading(NOW + 2 * MINUTE, IN_2001)]
    pages[place] = ClockReading(odd, IN_2001)
    first = NOW if place else NOW + MINUTE

    assert judge(pages, LISTED, LAST)[:2] == (first, first)


def test_booking_in_the_future_of_both_clocks_is_no_evidence() -> None:
    listed = pa.concat_arrays([LISTED, bookings(datetime(2062, 1, 1, tzinfo=UTC))])
    assert judge([ClockReading(NOW, NOW)], listed, LAST)[:2] == (NOW, NOW)


def test_difference_is_that_of_the_page_where_the_clocks_differ_most() -> None:
    pages = [ClockReading(NOW, NOW + MINUTE), ClockReading(NOW + HOUR, NOW), ClockReading(NOW, NOW)]
    assert largest_difference(pages) == -3600
