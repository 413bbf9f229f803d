"""Tests that `pickup_status_history` holds every observed state and no others."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import duckdb
import pytest

from pipelines.bookkeeping import status_history
from pipelines.loading import attempt
from sources.sendcloud.errors import Unavailable
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.installation import Installation, as_sent
from tests.support.worlds import NOW

pytestmark = [pytest.mark.duckdb2, pytest.mark.v3, pytest.mark.places]


def states(installation: Installation) -> list[tuple[Any, ...]]:
    columns = "id, pickup_status, cancelled_at, observed_at, is_first"
    query = f"select {columns} from sendcloud.pickup_status_history order by id, observed_at, _dlt_load_id"
    return [tuple(row.values()) for row in installation.rows(query)]


def test_history_holds_every_observed_state_with_its_observation_time(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The pickup is Announcing at first, accepted an hour later, and cancelled two hours after that.

    The second run finds a first state together with a later one.

    Runs in between add no state.
    """
    pickup = world.book(pickup_status="Announcing")
    installation.run(api)
    world.advance(hours=1)
    world.change(pickup, pickup_status="Created")
    other = world.book()
    installation.run(api)
    world.advance(hours=1)
    installation.run(api)
    world.advance(hours=1)
    world.cancel(pickup)
    installation.run(api)
    installation.run(api)

    hours = [NOW + timedelta(hours=number) for number in (0, 1, 3)]
    assert states(installation) == [
        (pickup, as_sent("Announcing"), None, hours[0], True),
        (pickup, as_sent("Created"), None, hours[1], False),
        (pickup, as_sent("Cancelled"), hours[2], hours[2], False),
        (other, as_sent("Created"), None, hours[1], True),
    ]


@pytest.mark.slow
def test_change_to_other_fields_adds_no_state(installation: Installation, world: World, api: Sandbox) -> None:
    pickup = world.book()
    installation.run(api)
    world.change(pickup, tracking_number="PRG7", contract=7, colour="green")

    assert installation.run(api).rows_changed == 1
    assert len(states(installation)) == 1


@pytest.mark.slow
def test_load_without_new_states_is_examined_only_once(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, every later run would compare the load's rows with the history.

    The comparison takes half a gigabyte of memory for a million rows.
    """
    pickup = world.book()
    installation.run(api)
    world.change(pickup, tracking_number="PRG7")
    installation.run(api)

    monkeypatch.setattr(status_history, "_NEW_STATES", "select error('looked again')")
    assert installation.run(api).outcome == "succeeded"


@pytest.mark.slow
def test_moved_window_and_conflicting_cancellation_time_each_add_a_state(
    installation: Installation, world: World, api: Sandbox
) -> None:
    booked = {field: world.book() for field in ("pickup_from", "pickup_until", "cancelled_at")}
    installation.run(api)
    world.advance(hours=1)
    for field, pickup in booked.items():
        world.change(pickup, **{field: NOW + timedelta(days=3)})
    installation.run(api)

    told = [state[0] for state in states(installation)]
    assert {field: told.count(pickup) for field, pickup in booked.items()} == dict.fromkeys(booked, 2)


@pytest.mark.slow
def test_state_that_returns_is_recorded_again(installation: Installation, world: World, api: Sandbox) -> None:
    pickup = world.book()
    for status in ("Created", "CANCELLATION_REQUESTED", "Created"):
        world.change(pickup, pickup_status=status)
        installation.run(api)
        world.advance(hours=1)

    assert [state[1] for state in states(installation)] == [
        as_sent("Created"),
        "CANCELLATION_REQUESTED",
        as_sent("Created"),
    ]


def test_crash_between_load_and_history_loses_no_state(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The crashed run reads the pickup as Created, and the next run reads it as Cancelled.

    The history holds both states.
    """
    world.book(pickup_status="Failed")
    installation.run(api)
    pickup = world.book()
    with monkeypatch.context() as patched:
        patched.setattr(attempt, "finalize_run", lambda *_facts: False)
        installation.run(api)
    assert len(states(installation)) == 1
    world.cancel(pickup)

    installation.run(api)

    assert [state[1] for state in states(installation) if state[0] == pickup] == [
        *map(as_sent, ("Created", "Cancelled"))
    ]
    created, cancelled = installation.rows(
        f"select observed_at from sendcloud.pickup_status_history where id = {pickup} order by observed_at"
    )
    assert created["observed_at"] < cancelled["observed_at"]


@pytest.mark.slow
def test_run_that_reads_nothing_dates_no_state_by_the_local_clock(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API's clock (20 November 2026) is behind the local clock.

    If states were dated by the local clock, Created would come last.
    """
    pickup = world.book()
    with monkeypatch.context() as patched:
        patched.setattr(attempt, "finalize_run", lambda *_facts: False)
        installation.run(api)
    api.fault(faults.status(503), times=None)
    with pytest.raises(Unavailable):
        installation.run(api)
    assert states(installation) == []
    api.heal()
    world.cancel(pickup)

    installation.run(api)

    assert [state[1] for state in states(installation)] == [*map(as_sent, ("Created", "Cancelled"))]


@pytest.mark.slow
def test_history_of_a_seeded_world_has_one_row_for_each_observed_state(
    installation: Installation,
) -> None:
    world = World.seeded(500, until=NOW)
    world.clock = NOW - timedelta(days=20)
    seen: dict[int, list[tuple[Any, ...]]] = {}
    with serve(world) as api:
        for _ in range(4):
            installation.run(api)
            for record in world.records():
                state = tuple(record.get(f) for f in ("pickup_status", "cancelled_at", "pickup_from", "pickup_until"))
                told = seen.setdefault(record["id"], [])
                if not told or told[-1] != state:
                    told.append(state)
            world.advance(days=6)

    counted = installation.rows("select id, count(*) as n from sendcloud.pickup_status_history group by id order by id")
    assert [(row["id"], row["n"]) for row in counted] == sorted((id_, len(told)) for id_, told in seen.items())


def test_local_clock_that_is_set_back_hides_no_state() -> None:
    """dlt names its loads by the local time, so the second load's name sorts before the first's."""
    with duckdb.connect() as connection:
        connection.execute("create schema sendcloud")
        for load, status in (("200", "Created"), ("100", "Cancelled"), ("050", "Created")):
            connection.execute(
                f"create or replace table sendcloud.pickups as select 'default' as account, 7::bigint as id, "
                f"'{status}' as pickup_status, null::timestamptz as cancelled_at, null::timestamptz as pickup_from, "
                f"null::timestamptz as pickup_until, '{load}' as _dlt_load_id"
            )
            for _ in range(2):  # the second call changes nothing
                loads = status_history.unrecorded_loads(connection)
                status_history.record_states(connection, "default", NOW + timedelta(hours=200 - int(load)), loads)
        told = connection.execute("select pickup_status from sendcloud.pickup_status_history order by observed_at")
        assert [status for (status,) in told.fetchall()] == ["Created", "Cancelled", "Created"]
