"""Decides what time it is when the API is read. A clock is believed only while it is plausible.

Two clocks tell the time: the API's, by the Date header of each page, and this machine's. Either may be wrong by years.
A clock is plausible if it isn't before the newest booking listed, nor before the last good run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pyarrow.compute as pc

from .instants import instant

# Clocks that are synchronized differ by less than a second, and those that are not, by minutes a month. An hour is also
# what a wrong time zone or a missed change to summer time makes. Pickups are open for days, so an hour loses nothing.
MAX_CLOCK_DIFFERENCE = timedelta(hours=1)

MOMENT = timedelta(microseconds=2)  # a run may also record states that were observed a microsecond before it


class ClockReading(NamedTuple):
    """The two clocks when a page was received. If the page has no Date header, both are this machine's."""

    api: datetime
    machine: datetime


class Verdict(NamedTuple):
    """The time of a run.

    Attributes:
        as_of: when the list was observed.
        settled_by: the earlier plausible clock. Pickups settle by this one, so a clock that is ahead settles none.
        latest: the later plausible clock, or None if no clock is plausible. A time well after it is a mistake.
    """

    as_of: datetime
    settled_by: datetime
    latest: datetime | None


def judge(readings: Sequence[ClockReading], bookings: Any, last: datetime | None) -> Verdict:
    """Returns the time of a run.

    `as_of` is the API's clock, unless it runs more than MAX_CLOCK_DIFFERENCE ahead of a plausible clock of this
    machine. If the bookings allow a clock that is before `last`, `last` is the mistake. Otherwise, `as_of` isn't before
    `last`, even if a clock was set back or no clock is plausible.

    Args:
        readings: the clocks, by page. Must not be empty.
        bookings: the booking times listed, as an Arrow array.
        last: when the last good run observed the list, if there was one.
    """
    of_api, of_machine = [reading.api for reading in readings], [reading.machine for reading in readings]
    booked = newest_credible(bookings, max(*of_api, *of_machine))
    floor = max(filter(None, [booked, last]), default=None)
    api, machine = _earliest(of_api, floor), _earliest(of_machine, floor)
    if not api and not machine:
        api, machine = _earliest(of_api, booked), _earliest(of_machine, booked)
    plausible = [clock for clock in (api, machine) if clock]
    if not plausible:
        assert booked is not None  # noqa: S101  # without bookings, every clock is plausible
        return Verdict(max(filter(None, [booked, last and last + MOMENT])), booked, None)
    ahead = api and machine and api > machine + MAX_CLOCK_DIFFERENCE
    as_of = machine if ahead or not api else api
    assert as_of  # noqa: S101  # one of them is plausible
    if last and as_of < last and not is_after(last, max(plausible)):
        as_of = last + MOMENT
    return Verdict(as_of, min(plausible), max(plausible))


def newest_credible(bookings: Any, latest: datetime) -> datetime | None:
    """Returns the newest booking, without those that are after every clock, because a booking's date may be a mistake.

    If most bookings are after every clock, the clocks are the mistake. The result is then the middle booking.
    """
    credible = bookings.filter(pc.less_equal(bookings, instant(latest + MAX_CLOCK_DIFFERENCE)))
    if 2 * len(credible) < len(bookings):
        credible = pc.sort_indices(bookings)
        return bookings[credible[len(bookings) // 2].as_py()].as_py()  # type: ignore[no-any-return]
    newest: datetime | None = pc.max(credible).as_py()
    return newest


def is_after(time: datetime | None, latest: datetime | None) -> bool:
    """Returns whether a time that an earlier run recorded is wrong: it is well after every plausible clock."""
    return bool(time and latest and time > latest + MAX_CLOCK_DIFFERENCE)


def largest_difference(readings: Sequence[ClockReading]) -> float:
    """Returns by how many seconds this machine's clock was ahead of the API's, on the page where they differed most.

    The result is negative if the API's clock was ahead.
    """
    return max(((reading.machine - reading.api).total_seconds() for reading in readings), key=abs)


def _earliest(clock: Sequence[datetime], floor: datetime | None) -> datetime | None:
    """Returns the earliest time of the clock that isn't before `floor`, or None. One page may have another Date."""
    return min((time for time in clock if not floor or time >= floor - MAX_CLOCK_DIFFERENCE), default=None)


_machine_clock: Callable[[], datetime] | None = None


def machine_time() -> datetime:
    """Returns this machine's time in UTC, or that of `simulated_machine_clock`."""
    return _machine_clock() if _machine_clock else datetime.now(UTC)


@contextmanager
def simulated_machine_clock(clock: Callable[[], datetime]) -> Iterator[None]:
    """Makes the source believe this clock during the block. A simulated API, such as the demo's, has its own time."""
    global _machine_clock
    before, _machine_clock = _machine_clock, clock
    try:
        yield
    finally:
        _machine_clock = before
