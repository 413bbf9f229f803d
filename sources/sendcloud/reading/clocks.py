"""Determines the time of a run. A clock is used only if it is plausible.

There are two clocks: the API's clock, from the Date header of each page, and this machine's clock. Either clock may be
wrong by years. A clock is plausible if it is not before the newest listed booking or the last good run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

# Synchronized clocks differ by less than a second, and unsynchronized clocks drift by minutes a month. A wrong time
# zone or a missed change to summer time also results in a difference of an hour. Pickups are open for days, so no
# changes are lost if a clock is wrong by an hour.
MAX_CLOCK_DIFFERENCE = timedelta(hours=1)

MOMENT = timedelta(microseconds=2)  # a run may also record states with a time one microsecond before the run's own time


class ClockReading(NamedTuple):
    """The times on both clocks when a page was received. Without a Date header, both are the machine's time."""

    api: datetime
    machine: datetime


class Verdict(NamedTuple):
    """The time of a run.

    Attributes:
        as_of: the time at which the list was observed.
        settled_by: the earlier plausible clock. This clock determines when pickups settle, so a clock that is ahead
            can't settle a pickup too early.
        latest: the later plausible clock, or None if no clock is plausible. Any time well after `latest` is wrong.
    """

    as_of: datetime
    settled_by: datetime
    latest: datetime | None


def judge(readings: Sequence[ClockReading], booked: datetime | None, last: datetime | None) -> Verdict:
    """Returns the time of a run.

    `as_of` is the API's time, unless the API's clock is more than MAX_CLOCK_DIFFERENCE ahead of this machine's
    plausible clock. If both clocks are well before `last`, but the bookings show that a clock is plausible, `last` is
    wrong. Otherwise, `as_of` isn't before `last`, even if a clock was set back or no clock is plausible.

    Args:
        readings: the clock readings for each page; at least one.
        booked: the newest credible booking (see bookings.py), or None if none is listed.
        last: the time at which the last good run observed the list, or None.
    """
    of_api, of_machine = [reading.api for reading in readings], [reading.machine for reading in readings]
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
    assert as_of  # noqa: S101  # at least one clock is plausible
    if last and as_of < last and not is_after(last, max(plausible)):
        as_of = last + MOMENT
    return Verdict(as_of, min(plausible), max(plausible))


def is_after(time: datetime | None, latest: datetime | None) -> bool:
    """Returns whether a recorded time is wrong because it is well after every plausible clock."""
    return bool(time and latest and time > latest + MAX_CLOCK_DIFFERENCE)


def largest_difference(readings: Sequence[ClockReading]) -> float:
    """Returns the largest difference, in seconds, between this machine's clock and the API's clock on any page.

    The result is negative if the API's clock was ahead.
    """
    return max(((reading.machine - reading.api).total_seconds() for reading in readings), key=abs)


def _earliest(clock: Sequence[datetime], floor: datetime | None) -> datetime | None:
    """Returns the clock's earliest time that isn't well before `floor`, or None.

    Times well before `floor` are ignored, because a single Date header may be wrong.
    """
    return min((time for time in clock if not floor or time >= floor - MAX_CLOCK_DIFFERENCE), default=None)


_machine_clock: Callable[[], datetime] | None = None


def machine_time() -> datetime:
    """Returns this machine's time in UTC, or the simulated time inside `simulated_machine_clock`."""
    return _machine_clock() if _machine_clock else datetime.now(UTC)


@contextmanager
def simulated_machine_clock(clock: Callable[[], datetime]) -> Iterator[None]:
    """Makes the source use this clock inside the block. A simulated API, such as the demo's, has its own time."""
    global _machine_clock
    before, _machine_clock = _machine_clock, clock
    try:
        yield
    finally:
        _machine_clock = before
