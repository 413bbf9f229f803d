"""Tests the request rate of the source with a simulated clock, so that no test sleeps."""

from __future__ import annotations

import pytest

from sources.sendcloud.http import rate_limit
from sources.sendcloud.http.rate_limit import RateLimiter
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.clock import Clock
from tests.support.installation import Installation


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(rate_limit, "time", made)
    return made


def test_requests_up_to_the_limit_per_minute_do_not_wait(clock: Clock) -> None:
    at_once = RateLimiter(400)

    assert sum(at_once.wait() for _ in range(400)) == 0
    assert clock.now == 1_000.0


def test_a_request_over_the_limit_waits_until_the_oldest_counted_request_is_a_minute_old(clock: Clock) -> None:
    two_a_minute = RateLimiter(2)
    two_a_minute.wait()
    clock.now += 10
    two_a_minute.wait()

    assert two_a_minute.wait() == 50.0
    assert two_a_minute.wait() == 10.0
    assert clock.now == 1_070.0


def test_no_period_of_a_minute_has_more_requests_than_the_limit(clock: Clock) -> None:
    paced = RateLimiter(7)
    sent = []
    for number in range(100):
        clock.now += (number % 5) * 3
        paced.wait()
        sent.append(clock.now)

    assert all(later - earlier >= 60 for earlier, later in zip(sent, sent[7:], strict=False))


@pytest.mark.slow
@pytest.mark.usefixtures("clock")
def test_all_packages_of_a_run_share_one_rate_limit(installation: Installation, world: World, api: Sandbox) -> None:
    """The run reads 20 pages in packages of four, with three requests a minute.

    Therefore, the 4th, 7th, 10th, 13th, 16th and 19th request wait a minute each.
    """
    for _ in range(20):
        world.book()

    receipt = installation.run(api, page_size=1, pages_per_package=4, requests_per_minute=3)

    assert receipt.requests == 20
    assert receipt.waited_seconds == pytest.approx(360, abs=1)
