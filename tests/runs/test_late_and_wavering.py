"""Tests a booking that appears late in a list whose order wavers. Each alone may amount to the overlap (1 hour)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import Installation, as_rows
from tests.support.walking import walked
from tests.support.worlds import NOW

MINUTES = timedelta(minutes=1)


def busy_list(world: World, late: int, waver: int) -> int:
    """Books a pickup a minute for 5 hours, all settled, and one that is listed only after the first run.

    The pickup was booked `late` minutes ago, and its place is `waver` minutes further down. Returns its id.
    """
    for ago in range(300, 0, -1):
        world.book(id=10_000 - 10 * ago, created_at=NOW - ago * MINUTES, pickup_status="Failed")
    place = 10_000 - 10 * (late + waver) + 5
    booked = NOW - late * MINUTES + timedelta(seconds=30)
    return world.book(id=place, created_at=booked, listed_from=NOW + MINUTES, pickup_status="Failed")


@walked
@pytest.mark.parametrize(("late", "waver"), [(55, 20), (59, 1), (59, 58), (1, 58), (30, 30)])
def test_late_booking_is_found_in_a_list_that_wavers(
    installation: Installation, world: World, api: Sandbox, late: int, waver: int
) -> None:
    """A page holds five minutes. The page of minutes 66 to 70 lies before the frontier (61 min).

    A run that stopped there would miss the booking whose place is 75 minutes ago, although it was made 55 minutes ago.
    """
    busy_list(world, late, waver)
    first = installation.run(api, page_size=5)
    world.advance(minutes=2)

    receipt = installation.run(api, page_size=5)

    assert (first.rows_new, receipt.rows_new, receipt.order) == (300, 1, "newest_first")
    assert installation.pickups() == as_rows(world.records())


@walked
def test_quiet_run_reads_two_overlaps_of_a_busy_list(installation: Installation, world: World, api: Sandbox) -> None:
    """The newest pickup is a minute old, so the run reads back to 121 minutes ago. The 13th page begins there.

    The 14th page is the first one that lies before that time.

    A real page holds 500 pickups, so a shop that books one a minute reads one page, as before.
    """
    for ago in range(300, 0, -1):
        world.book(created_at=NOW - ago * MINUTES, pickup_status="Failed")
    installation.run(api, page_size=10)

    receipt: Any = installation.run(api, page_size=10)

    assert (receipt.requests, receipt.frontier) == (14, NOW - 61 * MINUTES)
    assert isinstance(receipt.observed_at, datetime)
