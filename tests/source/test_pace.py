"""How fast the source asks, by a clock that the test moves: nothing here sleeps."""

from __future__ import annotations

import pytest

from sources.sendcloud import pace
from sources.sendcloud.pace import Pace
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.clock import Clock
from tests.support.installation import Installation


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pace, "time", made)
    return made


def test_as_many_requests_as_a_minute_may_have_never_wait(clock: Clock) -> None:
    at_once = Pace(400)

    assert sum(at_once.wait() for _ in range(400)) == 0
    assert clock.now == 1_000.0


def test_the_next_one_waits_until_the_first_is_a_minute_old(clock: Clock) -> None:
    two_a_minute = Pace(2)
    two_a_minute.wait()
    clock.now += 10
    two_a_minute.wait()

    assert two_a_minute.wait() == 50.0
    assert two_a_minute.wait() == 10.0
    assert clock.now == 1_070.0


def test_in_no_minute_there_are_more_than_agreed(clock: Clock) -> None:
    paced = Pace(7)
    sent = []
    for number in range(100):
        clock.now += (number % 5) * 3
        paced.wait()
        sent.append(clock.now)

    assert all(later - earlier >= 60 for earlier, later in zip(sent, sent[7:], strict=False))


@pytest.mark.slow
@pytest.mark.usefixtures("clock")
def test_all_packages_of_a_run_share_one_pace(installation: Installation, world: World, api: Sandbox) -> None:
    """20 pages in packages of four, three requests a minute: the 4th, 7th, 10th, 13th, 16th and 19th wait a minute."""
    for _ in range(20):
        world.book()

    receipt = installation.run(api, page_size=1, pages_per_package=4, requests_per_minute=3)

    assert receipt.requests == 20
    assert receipt.waited_seconds == pytest.approx(360, abs=1)
