"""Tests the quarantine, which keeps each unreadable record, along with the reason, until the record becomes readable.

Unknown values are loaded, and a check reports them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sources.sendcloud.reading.frontier import MAX_REMEMBERED, first_seen_at
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import Installation, as_rows, as_sent
from tests.support.walking import walked
from tests.support.worlds import NOW

pytestmark = [pytest.mark.duckdb2, pytest.mark.v3, pytest.mark.places]

BROKEN = "select reason, first_seen_at, last_seen_at, resolved_at from sendcloud.pickups_quarantine order by 2, 1"


def test_repaired_record_loads_and_its_quarantine_row_records_when(
    installation: Installation, world: World, api: Sandbox
) -> None:
    pickup = world.book(created_at=NOW - timedelta(hours=2))
    world.change(pickup, carrier=None)
    assert installation.run(api).quarantined == 1
    (row,) = installation.rows(BROKEN)
    assert (row["first_seen_at"], row["resolved_at"]) == (NOW, None)
    world.advance(hours=1)
    world.change(pickup, carrier="dpd")

    installation.run(api)

    assert installation.pickups() == as_rows(world.records())
    (row,) = installation.rows(BROKEN)
    assert (row["last_seen_at"], row["resolved_at"]) == (NOW, NOW + timedelta(hours=1))


@pytest.mark.slow
def test_quarantine_row_is_resolved_if_a_loaded_pickup_breaks_and_returns_unchanged(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The record matches its row, so the run merges nothing.

    The quarantine row is resolved nonetheless, because the API listed the record in readable form.
    """
    pickup = world.book()
    installation.run(api)
    world.change(pickup, carrier=None)
    installation.run(api)
    world.change(pickup, carrier="dhl_express")
    world.advance(minutes=15)

    receipt = installation.run(api)

    assert (receipt.rows_changed, receipt.quarantined) == (0, 0)
    assert [row["resolved_at"] for row in installation.rows(BROKEN)] == [NOW + timedelta(minutes=15)]


@pytest.mark.slow
def test_record_that_breaks_again_is_unresolved_again_and_keeps_first_seen_at(
    installation: Installation, world: World, api: Sandbox
) -> None:
    pickup = world.book()
    for carrier in (None, "dpd", None):
        world.change(pickup, carrier=carrier)
        installation.run(api)
        world.advance(hours=1)

    (row,) = installation.rows(BROKEN)
    assert (row["first_seen_at"], row["last_seen_at"], row["resolved_at"]) == (NOW, NOW + timedelta(hours=2), None)


@pytest.mark.slow
def test_only_the_newest_refused_form_of_a_pickup_is_unresolved(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The record lacks first its carrier, then also its status, and finally only its carrier again."""
    pickup = world.book()
    waiting = []
    for status in ("Created", None, "Created"):
        world.change(pickup, carrier=None, pickup_status=status)
        installation.run(api)
        waiting.append(installation.rows(BROKEN))
        world.advance(hours=1)

    assert [[row["resolved_at"] for row in rows] for rows in waiting] == [
        [None],
        [NOW + timedelta(hours=1), None],
        [None, NOW + timedelta(hours=2)],
    ]
    world.change(pickup, carrier="dpd")
    installation.run(api)
    assert [row["resolved_at"] for row in installation.rows(BROKEN)] == [
        NOW + timedelta(hours=hours) for hours in (3, 2)
    ]


@pytest.mark.slow
def test_two_broken_records_that_share_an_id_do_not_resolve_each_other(
    installation: Installation, world: World, api: Sandbox
) -> None:
    for carrier in (None, 7):
        sent = {"id": 4711, "carrier": carrier, "pickup_status": "Created", "created_at": "2026-11-20T11:00:00Z"}
        world.put(sent)
    for _ in range(2):
        installation.run(api, page_size=1, pages_per_package=1)
        world.advance(hours=1)

    assert [(row["last_seen_at"], row["resolved_at"]) for row in installation.rows(BROKEN)] == [
        (NOW + timedelta(hours=1), None)
    ] * 2


@pytest.mark.slow
def test_record_with_a_text_id_is_resolved_if_its_id_is_later_sent_as_a_number(
    installation: Installation, world: World, api: Sandbox
) -> None:
    sent = {"carrier": "dpd", "pickup_status": "Created", "created_at": "2026-11-20T11:00:00Z"}
    as_text = world.put({"id": "4711", **sent})
    installation.run(api)
    world.remove(as_text)
    world.put({"id": 4711, **sent})
    installation.run(api)

    assert [row["resolved_at"] for row in installation.rows(BROKEN)] == [NOW]


@pytest.mark.slow
def test_record_with_an_unreadable_id_is_never_marked_as_resolved(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """A record without a readable id matches neither a pickup nor another such record.

    The other pickups load.
    """
    odd = ({"id": None}, {"id": "seven"}, {"id": True, "pickup_status": "x"}, {"id": 1.5})
    for carrier in ("dpd", "ups"):
        sent = {"carrier": carrier, "pickup_status": "Created", "created_at": "2026-11-20T11:00:00Z"}
        put = [world.put({**sent, **oddity}) for oddity in odd]
        world.book(id=None)
        installation.run(api)
        for one in put:
            world.remove(one)
        world.advance(hours=1)

    kept = installation.rows("select record ->> 'id' as id, resolved_at from sendcloud.pickups_quarantine")
    told = sorted((str(row["id"]), row["resolved_at"]) for row in kept)
    assert told == [(id_, None) for id_ in ("1.5", "1.5", "None", "None", "seven", "seven", "true", "true")]
    assert len(installation.pickups()) == 2


@pytest.mark.slow
def test_pickup_of_another_account_with_the_same_id_resolves_nothing(
    installation: Installation, world: World, api: Sandbox
) -> None:
    pickup = world.book()
    world.change(pickup, carrier=None)
    installation.run(api, account="north")
    for fields in ({"contract": 1}, {"contract": 2}, {"carrier": "dpd"}):
        world.advance(hours=1)
        world.change(pickup, **fields)
        installation.run(api, account="south")

    assert [row["resolved_at"] for row in installation.rows(BROKEN)] == [
        None,
        NOW + timedelta(hours=2),
        NOW + timedelta(hours=3),
    ]


@pytest.mark.slow
def test_record_seen_again_after_the_memory_dropped_it_keeps_first_seen_at(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The record lies behind the frontier, so ordinary runs do not read it, and the memory drops it after a week."""
    broken = world.book(created_at=NOW - timedelta(days=40))
    world.change(broken, carrier=None)
    for days in range(39, 29, -1):
        world.book(created_at=NOW - timedelta(days=days), pickup_status="Failed")
    installation.run(api)
    world.advance(days=8)
    world.book(pickup_status="Failed")
    installation.run(api, page_size=1)
    world.advance(days=8)
    world.book(pickup_status="Failed")
    assert installation.run(api, page_size=1).quarantined == 0

    assert installation.run(api, sweep=True, page_size=1).quarantined == 1

    (row,) = installation.rows(BROKEN)
    assert (row["first_seen_at"], row["last_seen_at"]) == (NOW, NOW + timedelta(days=16))


def test_memory_of_broken_records_is_limited_by_age_and_number() -> None:
    """The memory keeps the records that this run read, and keeps other records for a week.

    Their number is limited because the memory is part of the state.
    """
    week = timedelta(days=7)
    known = {"old": NOW - week, "young": NOW - week + timedelta(seconds=1), "met": NOW - 3 * week}

    assert first_seen_at(known, {"met": known["met"], "new": NOW}, NOW, week) == {
        "young": known["young"],
        "met": known["met"],
        "new": NOW,
    }
    many = {str(number): NOW for number in range(MAX_REMEMBERED + 5)}
    assert len(first_seen_at(known, many, NOW, week)) == MAX_REMEMBERED


def test_a_new_status_or_carrier_loads_and_a_check_names_it(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book(pickup_status="Teleported")
    world.book(carrier="mondial_relay")
    world.book(carrier="dpd", pickup_status="CREATED")

    receipt = installation.run(api)

    assert installation.pickups() == as_rows(world.records())
    assert receipt.checks_failed == {"known_carriers": 1, "known_statuses": 1}
    teleported = as_sent("Teleported")
    assert receipt.unexpected_values == {"known_carriers": ["mondial_relay"], "known_statuses": [teleported]}
    named = f"known_carriers (1 row: mondial_relay), known_statuses (1 row: {teleported})"
    assert f"worth a look: {named}" in receipt.remarks()


def test_booking_in_a_year_that_makes_dlt_drop_rows_is_quarantined(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """dlt's incremental loading drops rows that are 95 years older than the newest row.

    A row from the year 9999 would be the newest one.
    """
    sound = world.book(created_at=NOW - timedelta(days=40), pickup_status="Failed")
    for booked in ("0001-01-01T00:00:00Z", "1900-01-01T00:00:00Z", "9999-12-31T00:00:00Z"):
        world.change(world.book(), created_at=booked)
    for _ in range(2):
        later = world.book()
        receipt = installation.run(api)
        assert receipt.quarantined == 3

    assert receipt.frontier
    assert receipt.frontier > NOW - timedelta(days=41)  # an absurd year does not move it to the lookback limit
    assert all("Expected a year from 1970 to 2064" in row["reason"] for row in installation.rows(BROKEN))
    assert {row["id"] for row in installation.pickups()} == {sound, later - 1, later}


@pytest.mark.slow
def test_record_that_msgspec_cannot_read_is_still_identified_by_its_id(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The carrier contains half a surrogate pair.

    The record is listed, so the sweep does not count it as unlisted. Its repair resolves the quarantine row.
    """
    pickup = world.book(carrier="halfway")
    installation.run(api)
    api.fault(lambda due: replace(due, body=due.body.replace(b"halfway", b"\\ud800")), times=None)
    assert installation.run(api, sweep=True).rows_unlisted == 0
    api.heal()
    installation.run(api)

    assert [row["id"] for row in installation.pickups()] == [pickup]
    assert [row["resolved_at"] for row in installation.rows(BROKEN)] == [NOW]


@walked
@pytest.mark.parametrize("sweep", [False, True])
def test_record_broken_in_the_first_load_or_first_sweep_arrives_once_repaired(
    installation: Installation, world: World, api: Sandbox, sweep: bool
) -> None:
    for number in range(40):
        world.book(created_at=NOW - timedelta(days=60 - number), pickup_status="Failed")
    broken = world.records()[30]["id"]
    world.change(broken, carrier=None)
    installation.run(api, sweep=sweep, page_size=5, pages_per_package=2)
    world.advance(days=1)
    world.change(broken, carrier="dpd")

    installation.run(api, page_size=5, pages_per_package=2)

    assert installation.pickups() == as_rows(world.records())
