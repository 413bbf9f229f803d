"""While one package is loaded, the pages of the next are read: in order, not too many, and no thread is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from sources.sendcloud import Reading, pages
from sources.sendcloud.ahead import Ahead
from sources.sendcloud.errors import Unavailable
from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.installation import Installation, as_rows
from tests.support.worlds import NOW, settled

pytestmark = [pytest.mark.duckdb2, pytest.mark.v3]

FIVE_A_PAGE = {"page_size": 5, "pages_per_package": 2}


@pytest.fixture
def world() -> World:
    """40 settled pickups: 8 pages of five, four packages of two."""
    return settled(40)


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether it came true in time."""
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.005)
    return condition()


def threads_ahead() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "pages ahead"]


def test_the_next_packages_pages_are_asked_for_while_one_is_loaded(
    installation: Installation, world: World, api: Sandbox
) -> None:
    seen: list[tuple[int, bool]] = []

    def progress(phase: str, reading: Reading) -> None:
        if phase == "loading":
            seen.append((reading.pages, until(lambda: len(api.requests) > reading.pages or reading.pages == 8)))

    installation.run(api, on_progress=progress, **FIVE_A_PAGE)

    assert seen == [(2, True), (4, True), (6, True), (8, True)]
    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_each_page_is_asked_for_once(installation: Installation, api: Sandbox) -> None:
    receipt = installation.run(api, **FIVE_A_PAGE)

    assert len(api.requests) == receipt.requests == receipt.pages == 8


@pytest.mark.slow
def test_down_to_a_frontier_nothing_is_asked_for_that_nobody_needs(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The first page holds the new booking, the second lies wholly before the frontier: two pages, and not a third."""
    installation.run(api, **FIVE_A_PAGE)
    asked = len(api.requests)
    world.book(created_at=NOW, pickup_status="Failed")

    receipt = installation.run(api, **FIVE_A_PAGE)

    assert len(api.requests) - asked == receipt.pages == 2


def test_a_page_that_fails_costs_nothing_that_was_read_before_it(
    installation: Installation, world: World, api: Sandbox
) -> None:
    api.fault(faults.status(503), page=6, times=None)
    with pytest.raises(Unavailable):
        installation.run(api, **FIVE_A_PAGE)

    assert installation.pickups() == as_rows(world.records()[:20])
    assert until(lambda: not threads_ahead())


@pytest.mark.slow
def test_a_run_that_dies_while_it_loads_leaves_no_thread(
    installation: Installation, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGES_AHEAD", 1)  # so that it waits for somebody to take a page

    def dies(phase: str, _: Reading) -> None:
        if phase == "loading":
            raise KeyboardInterrupt

    with pytest.raises(Exception, match="interrupted"):
        installation.run(api, on_progress=dies, **FIVE_A_PAGE)

    assert until(lambda: not threads_ahead())


# --- the thread by itself


def counting(up_to: int, given: list[int]) -> Iterator[int]:
    for number in range(up_to):
        given.append(number)
        yield number


def test_items_come_in_their_order_and_then_end_for_good() -> None:
    ahead = Ahead(counting(5, []), at_most=2)

    assert list(ahead) == [0, 1, 2, 3, 4]
    assert list(ahead) == []
    assert ahead.last == 4


def test_it_is_never_further_ahead_than_asked_for() -> None:
    given: list[int] = []
    ahead = Ahead(counting(100, given), at_most=3)

    assert until(lambda: len(given) == 4)  # three are ready, and one is at hand
    time.sleep(0.05)
    assert len(given) == 4
    next(ahead)
    assert until(lambda: len(given) == 5)
    ahead.close()


def test_an_error_comes_after_what_came_before_it_and_whenever_asked_again() -> None:
    def breaks() -> Iterator[int]:
        yield 1
        raise ValueError("no more of this")

    ahead = Ahead(breaks(), at_most=5)

    assert next(ahead) == 1
    for _ in range(2):
        with pytest.raises(ValueError, match="no more of this"):
            next(ahead)


def test_once_closed_its_thread_ends_wherever_it_was() -> None:
    Ahead(counting(1_000_000, []), at_most=2).close()

    assert until(lambda: not threads_ahead())
