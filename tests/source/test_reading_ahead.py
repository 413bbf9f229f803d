"""Tests that the pages of the next package are read while the current package is loaded.

The pages arrive in order, their number is limited, and no thread is left over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from sources.sendcloud import ReadStats
from sources.sendcloud.errors import Unavailable
from sources.sendcloud.reading import pages
from sources.sendcloud.reading.prefetch import Prefetcher
from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.installation import Installation, as_rows
from tests.support.worlds import NOW, settled

pytestmark = [pytest.mark.duckdb2, pytest.mark.v3]

FIVE_A_PAGE = {"page_size": 5, "pages_per_package": 2}


@pytest.fixture
def world() -> World:
    """Returns a world of 40 settled pickups: 8 pages of five pickups, or four packages of two pages."""
    return settled(40)


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Waits for the condition, and returns whether it became true in time."""
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.005)
    return condition()


def prefetch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "pages ahead"]


def test_pages_of_the_next_package_are_requested_while_a_package_is_loaded(
    installation: Installation, world: World, api: Sandbox
) -> None:
    seen: list[tuple[int, bool]] = []

    def progress(phase: str, reading: ReadStats) -> None:
        if phase == "loading":
            seen.append((reading.pages, wait_until(lambda: len(api.requests) > reading.pages or reading.pages == 8)))

    installation.run(api, on_progress=progress, **FIVE_A_PAGE)

    assert seen == [(2, True), (4, True), (6, True), (8, True)]
    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_each_page_is_requested_once(installation: Installation, api: Sandbox) -> None:
    receipt = installation.run(api, **FIVE_A_PAGE)

    assert len(api.requests) == receipt.requests == receipt.pages == 8


@pytest.mark.slow
def test_no_page_beyond_the_frontier_is_prefetched(installation: Installation, world: World, api: Sandbox) -> None:
    """The first page holds the new booking, and the second page lies completely before the frontier.

    Therefore, the run requests two pages and no third page.
    """
    installation.run(api, **FIVE_A_PAGE)
    asked = len(api.requests)
    world.book(created_at=NOW, pickup_status="Failed")

    receipt = installation.run(api, **FIVE_A_PAGE)

    assert len(api.requests) - asked == receipt.pages == 2


def test_pages_that_were_read_before_a_failed_page_are_loaded(
    installation: Installation, world: World, api: Sandbox
) -> None:
    api.fault(faults.status(503), page=6, times=None)
    with pytest.raises(Unavailable):
        installation.run(api, **FIVE_A_PAGE)

    assert installation.pickups() == as_rows(world.records()[:25])
    assert wait_until(lambda: not prefetch_threads())


@pytest.mark.slow
def test_a_run_interrupted_during_a_load_leaves_no_prefetch_thread(
    installation: Installation, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MAX_PREFETCHED_PAGES", 1)  # so that the thread waits until a page is taken

    def dies(phase: str, _: ReadStats) -> None:
        if phase == "loading":
            raise KeyboardInterrupt

    with pytest.raises(Exception, match="interrupted"):
        installation.run(api, on_progress=dies, **FIVE_A_PAGE)

    assert wait_until(lambda: not prefetch_threads())


# The prefetcher alone


def yield_numbers(up_to: int, given: list[int]) -> Iterator[int]:
    for number in range(up_to):
        given.append(number)
        yield number


def test_items_arrive_in_order_and_the_iteration_stays_exhausted() -> None:
    ahead = Prefetcher(yield_numbers(5, []), at_most=2)

    assert list(ahead) == [0, 1, 2, 3, 4]
    assert list(ahead) == []
    assert ahead.last == 4


def test_the_prefetcher_does_not_read_further_ahead_than_its_limit() -> None:
    given: list[int] = []
    ahead = Prefetcher(yield_numbers(100, given), at_most=3)

    assert wait_until(lambda: len(given) == 4)  # three items are queued, and the thread holds a fourth
    time.sleep(0.05)
    assert len(given) == 4
    next(ahead)
    assert wait_until(lambda: len(given) == 5)
    ahead.close()


def test_an_error_is_raised_after_the_items_before_it_and_on_every_later_call() -> None:
    def breaks() -> Iterator[int]:
        yield 1
        raise ValueError("no more of this")

    ahead = Prefetcher(breaks(), at_most=5)

    assert next(ahead) == 1
    for _ in range(2):
        with pytest.raises(ValueError, match="no more of this"):
            next(ahead)


def test_closing_the_prefetcher_ends_its_thread() -> None:
    Prefetcher(yield_numbers(1_000_000, []), at_most=2).close()

    assert wait_until(lambda: not prefetch_threads())
