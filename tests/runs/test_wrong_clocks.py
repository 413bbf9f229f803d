"""Tests runs during which the API's clock or this machine's is wrong, and the runs after them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dlt.common.storages import load_package

from sources.sendcloud.reading.clocks import simulated_machine_clock
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.cases import quick
from tests.support.destinations import DESTINATION
from tests.support.installation import Installation, as_rows, as_sent
from tests.support.short_lists import date
from tests.support.walking import walked
from tests.support.worlds import NOW, twenty

pytestmark = [pytest.mark.duckdb2, pytest.mark.v3, pytest.mark.places]
IN_2099, IN_2001 = datetime(2099, 1, 1, tzinfo=UTC), datetime(2001, 1, 1, tzinfo=UTC)
STATES = "select pickup_status, observed_at from sendcloud.pickup_status_history where id = {} order by observed_at"


@pytest.fixture
def world() -> World:
    return twenty()


@contextmanager
def clocks(api: Sandbox, *, api_says: datetime | None = None, machine_says: datetime | None = None) -> Iterator[None]:
    if api_says:
        api.fault(date(api_says), times=None)
    try:
        with simulated_machine_clock(lambda: machine_says or api.world.clock):
            yield
    finally:
        api.heal()


def as_of(installation: Installation) -> datetime:
    ((found,),) = [tuple(row.values()) for row in installation.rows("select max(as_of_utc) from analytics.pickups")]
    return found.replace(tzinfo=UTC)


def ids(world: World) -> list[int]:
    return [record["id"] for record in world.records()]


@walked
def test_run_with_one_wrong_clock_keeps_reading_open_pickups(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """By the API's clock in 2099, all 20 pickups have settled. All 20 are open, and the oldest is cancelled later."""
    installation.run(api)
    world.advance(minutes=15)
    with clocks(api, api_says=IN_2099):
        wrong = installation.run(api)
    world.advance(minutes=15)
    with clocks(api, machine_says=IN_2001):
        right = installation.run(api)
    world.advance(minutes=15)
    world.cancel(ids(world)[-1])

    receipt = installation.run(api)

    assert (wrong.open_pickups, right.open_pickups, receipt.open_pickups) == (20, 20, 19)
    assert (receipt.rows_changed, installation.pickups()) == (1, as_rows(world.records()))


def test_a_new_state_is_later_than_the_last_one_although_the_clock_of_the_run_is_behind(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The second run takes both clocks at their word, so the third one doesn't know when the first one was.

    No booking is new, so nothing shows the third run that this machine's clock is three hours behind.
    """
    world.advance(hours=12)
    first = installation.run(api)
    world.advance(minutes=15)
    ahead = world.clock + timedelta(days=30)
    with clocks(api, api_says=ahead, machine_says=ahead):
        installation.run(api)
    world.advance(minutes=15)
    world.cancel(ids(world)[0])
    with clocks(api, machine_says=world.clock - timedelta(hours=3)):
        behind = installation.run(api)

    assert behind.observed_at < first.observed_at
    states = installation.rows(STATES.format(ids(world)[0]))
    assert [state["pickup_status"].lower() for state in states] == ["created", "cancelled"]
    assert states[0]["observed_at"] == first.observed_at
    assert states[1]["observed_at"] == first.observed_at + timedelta(microseconds=2)


@pytest.mark.skipif(DESTINATION == "delta", reason="on a lake, dlt stores states in files, which stay")
def test_a_load_made_while_this_machines_clock_was_ahead_does_not_hide_later_states(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dlt restores the state of the load with the latest time. All 20 pickups are open until they are cancelled."""
    with monkeypatch.context() as patched:
        patched.setattr(load_package, "increasing_precise_time", lambda: time.time() + 18 * 86400)
        installation.run(api)
    world.advance(minutes=15)
    for pickup in ids(world):
        world.cancel(pickup)
    after = installation.run(api)
    world.advance(minutes=15)

    receipt = installation.run(api)

    assert after.frontier
    assert receipt.frontier
    assert receipt.frontier > after.frontier
    assert receipt.frontier == receipt.watermark - timedelta(hours=1)


@pytest.mark.skipif(DESTINATION == "delta", reason="on a lake, dlt stores states in files, which stay")
def test_a_load_without_a_state_keeps_the_state_that_was_stored_while_this_machines_clock_was_ahead(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dlt stores no state if nothing in it changes, as after the cancellation of one of 20 open pickups in the middle.

    The second load still changes dlt's `start_value`, so the third load is the first without a state.
    """
    with monkeypatch.context() as patched:
        patched.setattr(load_package, "increasing_precise_time", lambda: time.time() + 18 * 86400)
        installation.run(api)
        world.advance(minutes=15)
        world.cancel(ids(world)[9])
        installation.run(api)
    world.advance(minutes=15)
    world.cancel(ids(world)[10])
    changed = installation.run(api)
    world.advance(minutes=15)

    receipt = installation.run(api)

    assert changed.rows_changed == 1
    assert changed.frontier
    assert (receipt.frontier, receipt.is_first_read) == (changed.frontier, False)


def test_receipt_and_check_name_the_difference_between_the_clocks(installation: Installation, api: Sandbox) -> None:
    """2 h are more than an hour, so the machine's clock is believed. Nobody can tell 59 min from a right clock."""
    with clocks(api, api_says=NOW + timedelta(hours=2), machine_says=NOW):
        far, seen = installation.run(api), as_of(installation)
    with clocks(api, api_says=NOW + timedelta(minutes=59), machine_says=NOW):
        near = installation.run(api)

    assert (near.clock_difference_seconds, near.checks_failed) == (-59 * 60, {})
    assert near.observed_at == NOW + timedelta(minutes=59)
    assert (far.clock_difference_seconds, far.checks_failed) == (-7200, {"clocks_agree": 1})
    assert (far.observed_at, far.exit_code, seen) == (NOW, 0, NOW)
    expected = (
        "clocks: this machine's clock is 7,200 s behind the API's clock; "
        "the run used 2026-11-20 12:00 UTC as the current time"
    )
    assert expected in far.remarks()


def test_warehouse_with_times_from_2099_heals_with_the_next_run(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """Both clocks were wrong, so the run believed them: it recorded a state in 2099 and forgot the open pickups.

    Four pages list the 20 pickups. A run that remembers no open pickup stops at the third one.
    """
    installation.run(api, page_size=5)
    newest, *_, oldest = ids(world)
    world.advance(minutes=15)
    world.cancel(newest)
    with clocks(api, api_says=IN_2099, machine_says=IN_2099):
        wrong = installation.run(api, page_size=5)
    assert (wrong.open_pickups, as_of(installation)) == (0, IN_2099)
    world.advance(minutes=15)
    world.cancel(oldest)

    receipt = installation.run(api, page_size=5)
    again = installation.run(api, page_size=5)

    assert installation.pickups() == as_rows(world.records())
    assert (receipt.rows_changed, receipt.open_pickups, as_of(installation)) == (1, 18, world.clock)
    for number, cancelled_at in ((newest, world.clock), (oldest, world.clock)):
        states = installation.rows(STATES.format(number))
        assert [state["pickup_status"] for state in states] == [as_sent("Created"), as_sent("Cancelled")]
        assert abs(states[1]["observed_at"] - cancelled_at) < timedelta(seconds=1)
    assert installation.rows("select max(observed_at) as latest from sendcloud.pickup_runs") == [
        {"latest": world.clock}
    ]
    assert (again.rows_changed, again.open_pickups, again.frontier) == (0, 18, NOW - timedelta(hours=8 * 19 + 1))


@pytest.mark.parametrize("account_clock", quick([timedelta(0), timedelta(hours=-3), timedelta(days=-2)], only=(1,)))
def test_each_account_has_the_time_of_its_own_api(
    installation: Installation, api: Sandbox, account_clock: timedelta
) -> None:
    """Only the account `south` reads an API whose clock is behind. Its newest booking is older than that."""
    other = World(clock=NOW)
    other.book(created_at=NOW - timedelta(days=5), pickup_from=NOW + timedelta(days=1))
    installation.run(api, account="north")
    from sources.sendcloud.sandbox import serve

    with serve(other) as behind, clocks(behind, api_says=NOW + account_clock, machine_says=NOW):
        south = installation.run(behind, account="south")

    query = "select account, max(as_of_utc) as as_of from analytics.pickups group by account order by account"
    times = {row["account"]: row["as_of"].replace(tzinfo=UTC) for row in installation.rows(query)}
    assert times == {"north": NOW, "south": NOW + account_clock}
    assert south.open_pickups == 1


def test_memory_of_an_older_version_heals_if_any_run_recorded_a_time_in_the_future(world: World, api: Sandbox) -> None:
    """The older memory does not tell when it was changed. Of the 20 open pickups, it remembers none."""
    from tests.support.walking import Walking

    walking = Walking()
    walking.run(api, page_size=5)
    with clocks(api, api_says=IN_2099, machine_says=IN_2099):
        walking.run(api, page_size=5)
    memory: Any = walking._memories["default"]
    del memory["observed_at"]
    assert memory["oldest_open_at"] is None
    world.advance(minutes=15)
    world.cancel(ids(world)[-1])

    receipt = walking.run(api, page_size=5, highest_as_of=IN_2099)

    assert (receipt.rows_changed, receipt.open_pickups) == (1, 19)
    assert walking._memories["default"]["observed_at"] == world.clock
