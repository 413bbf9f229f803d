"""Tests the changes to a pickup over time, and the properties of seeded worlds."""

from __future__ import annotations

import copy
import math
import re
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from sources.sendcloud.sandbox import ABSENT, CARRIERS, Sandbox, World
from tests.support.sandbox_answers import MONDAY, get, ids, instant, is_backwards, local, near, share, walk
from tests.support.sandbox_answers import seven as seven
from tests.support.sandbox_answers import year as year

# Changes to a pickup


def test_scheduled_changes_take_effect_at_their_instants(seven: Sandbox) -> None:
    world = seven.world
    world.cancel(290001, at=MONDAY + timedelta(hours=1))
    world.fail(290002, at=MONDAY + timedelta(hours=1))
    world.change(290003, at=MONDAY + timedelta(hours=1), pickup_status="Collected", driver={"name": None})
    world.change(290004, at=MONDAY + timedelta(hours=1), country=ABSENT)
    world.remove(290005, at=MONDAY + timedelta(hours=1))
    before = copy.deepcopy(world.records())

    world.advance(hours=1)

    after = {record["id"]: record for record in world.records()}
    assert after[290001] == before[6] | {"pickup_status": "Cancelled", "cancelled_at": "2026-11-23T09:00:00Z"}
    assert after[290002] == before[5] | {"pickup_status": "Failed"}
    assert after[290003] == before[4] | {"pickup_status": "Collected", "driver": {"name": None}}
    assert "country" not in after[290004]
    assert 290005 not in after
    assert world.records(at=MONDAY) == before
    assert ids(get(seven).json()) == [290007, 290006, 290004, 290003, 290002, 290001]


@pytest.mark.parametrize(("end", "status"), [(World.cancel, "Cancelled"), (World.fail, "Failed")])
def test_a_cancelled_or_failed_pickup_does_not_change_again(end: Any, status: str) -> None:
    world = World.seeded(50, until=MONDAY, days=10)
    for record in world.records():
        end(world, record["id"], at=instant(record["created_at"]))

    world.advance(days=30)

    assert {(record["pickup_status"], record["tracking_number"]) for record in world.records()} == {(status, "")}


def test_a_booking_without_arguments_has_a_window_two_days_later() -> None:
    world = World(clock=MONDAY)

    assert world.record(world.book()) == {
        "id": 290001,
        "pickup_from": "2026-11-25T12:00:00Z",
        "pickup_until": "2026-11-25T17:00:00Z",
        "country": "NL",
        "carrier": "dhl_express",
        "tracking_number": "PRG220406003404",
        "pickup_status": "Created",
        "created_at": "2026-11-23T08:00:00Z",
        "cancelled_at": None,
    }
    assert world.record(world.book(pickup_from=MONDAY))["pickup_until"] is None


def test_a_booking_is_listed_from_the_instant_it_was_committed() -> None:
    world = World(clock=MONDAY)
    late = world.book(created_at=MONDAY - timedelta(minutes=9), listed_from=MONDAY + timedelta(minutes=1))
    prompt = world.book()

    assert ids({"pickups": world.records()}) == [prompt]
    with pytest.raises(KeyError):
        world.record(late)
    world.advance(minutes=1)
    assert ids({"pickups": world.records()}) == [prompt, late]


def test_a_broken_record_is_listed_unchanged_as_the_newest_record_of_its_time(seven: Sandbox) -> None:
    broken = {"id": "seven", "created_at": "yesterday", "pickup_from": [None], "weight": 1.5, "note": "é"}
    number = seven.world.put(broken)
    twin = seven.world.put({"id": 290003})
    booked = seven.world.book()

    assert get(seven, "/pickups?limit=3").json()["pickups"] == [seven.world.record(booked), {"id": 290003}, broken]
    assert len({number, twin, booked}) == 3
    assert len(ids(*walk(seven, limit=2))) == 10


# Seeded worlds


def test_the_same_seed_gives_the_same_world() -> None:
    once, twice = (World.seeded(300, seed=5, until=MONDAY, days=30) for _ in range(2))
    other = World.seeded(300, seed=6, until=MONDAY, days=30)

    assert once.records() == twice.records()
    assert once.records() != other.records()
    assert len(once.records()) == 300
    assert len(once.records(MONDAY - timedelta(days=2))) < 300


def test_a_seeded_world_of_half_an_hour_lists_all_its_pickups() -> None:
    assert len(World.seeded(500, until=MONDAY, days=0.02).records()) == 500


def test_moving_the_clock_shows_announcing_then_created_then_cancelled() -> None:
    world = World.seeded(500, until=MONDAY, days=30)
    world.advance(days=30)
    cancelled = [record for record in world.records() if record["pickup_status"] == "Cancelled"]

    followed = 0
    for final in cancelled:
        world.clock = instant(final["created_at"])
        if final["id"] not in ids({"pickups": world.records()}):
            continue  # the pickup is listed late
        booked = world.record(final["id"])
        world.clock = instant(final["cancelled_at"]) - timedelta(microseconds=1)
        accepted = world.record(final["id"])
        world.clock = instant(final["cancelled_at"])
        assert booked == final | {"pickup_status": "Announcing", "tracking_number": "", "cancelled_at": None}
        assert accepted == final | {"pickup_status": "Created", "cancelled_at": None}
        assert world.record(final["id"]) == final
        followed += 1

    assert followed > 20


def test_no_pickup_is_cancelled_after_its_window_opens(year: list[dict[str, Any]]) -> None:
    cancelled = [record for record in year if record["cancelled_at"]]
    hours = [(instant(r["pickup_from"]) - instant(r["cancelled_at"])) / timedelta(hours=1) for r in cancelled]
    minutes = [(instant(r["cancelled_at"]) - instant(r["created_at"])) / timedelta(minutes=1) for r in cancelled]

    assert min(hours) > 0
    assert min(minutes) > 0
    assert share(hour < 20 for hour in hours) > 0.3  # many come in the last 20 hours before the window
    assert share(minute < 60 for minute in minutes) > 0.3  # many come within an hour of the booking


@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: carrier.code)
def test_the_rates_of_a_carrier_match_its_profile(year: list[dict[str, Any]], carrier: Any) -> None:
    answered = [
        record for record in year if record["carrier"] == carrier.code and record["pickup_status"] != "Announcing"
    ]
    accepted = [record for record in answered if record["pickup_status"] != "Failed"]

    assert near(len(answered), 20_000, carrier.share)
    assert near(len(answered) - len(accepted), len(answered), carrier.failed)
    assert near(sum(record["cancelled_at"] is not None for record in accepted), len(accepted), carrier.cancelled)


def test_carrier_shares_add_up_to_one_and_cancellation_rates_differ() -> None:
    assert math.isclose(sum(carrier.share for carrier in CARRIERS), 1)
    assert len({carrier.cancelled for carrier in CARRIERS}) == 9
    assert min(carrier.cancelled for carrier in CARRIERS) == 0.03
    assert max(carrier.cancelled for carrier in CARRIERS) == 0.22


def test_windows_stay_within_local_business_hours_in_summer_and_winter(year: list[dict[str, Any]]) -> None:
    lengths, months = set(), set()
    for record in year:
        if record["pickup_status"] == "Failed" or is_backwards(record):
            continue
        opens = local(record, "pickup_from")
        months.add(opens.month)
        assert 8 <= opens.hour <= 15, record
        assert opens.weekday() < 5 or (opens.weekday() == 5 and record["carrier"] in {"correos_express", "dpd"}), record
        if record["pickup_until"] is not None:
            closes = local(record, "pickup_until")
            assert closes.date() == opens.date()
            assert closes.hour <= 19, record
            lengths.add((closes - opens) / timedelta(hours=1))

    assert lengths == {2, 3, 4, 5, 8}
    assert months == set(range(1, 13))


def test_correos_windows_are_its_two_shifts(year: list[dict[str, Any]]) -> None:
    shifts = Counter(
        (local(record, "pickup_from").hour, local(record, "pickup_until").hour)
        for record in year
        if record["carrier"] == "correos" and not is_backwards(record) and record["pickup_status"] != "Failed"
    )

    assert set(shifts) == {(10, 14), (15, 19)}


def test_most_bookings_are_made_on_working_days_in_office_hours(year: list[dict[str, Any]]) -> None:
    booked = [local(record, "created_at") for record in year]

    assert 0.01 < share(at.weekday() >= 5 for at in booked) < 0.06
    assert 0.94 < share(8 <= at.hour < 18 for at in booked) < 0.99


def test_lead_times_are_at_least_an_hour_and_differ_between_carriers(year: list[dict[str, Any]]) -> None:
    kept = [record for record in year if record["pickup_status"] != "Failed"]
    days = {
        code: [(instant(r["pickup_from"]) - instant(r["created_at"])).days for r in kept if r["carrier"] == code]
        for code in ("dhl", "poste_it_delivery")
    }

    assert min(instant(record["pickup_from"]) - instant(record["created_at"]) for record in kept) >= timedelta(hours=1)
    assert sum(days["poste_it_delivery"]) / len(days["poste_it_delivery"]) > sum(days["dhl"]) / len(days["dhl"]) + 1


def test_window_end_and_contract_are_missing_only_for_carriers_that_omit_them(year: list[dict[str, Any]]) -> None:
    open_ended = {record["carrier"] for record in year if record["pickup_until"] is None}
    without = {record["carrier"] for record in year if "contract" not in record}
    null = {record["carrier"] for record in year if record.get("contract", 0) is None}

    assert open_ended == {"dhl_express", "fedex", "dhl", "dpd", "poste_it_delivery"}
    assert without == {"dhl_express", "fedex"}
    assert null == {carrier.code for carrier in CARRIERS} - without


def test_tracking_numbers_have_the_published_formats(year: list[dict[str, Any]]) -> None:
    forms = {
        "dhl_express": r"PRG\d{12}",
        "fedex": r"\d{21}",
        "correos_express": r"1001\d{5}",
        "correos": r"SR\d{13}EG",
        "dhl": r"05931316-[0-9A-F]{8}",
        "dpd": r"0998505\d{7}",
        "poste_it_delivery": r"0998505\d{7}",
        "ups": r"29[0-9A-Z]{9}",
        "dhl_parcel_iberia": r"0998505\d{7}|\d{4}\.0",
    }
    for record in year:
        if record["pickup_status"] in ("Announcing", "Failed"):
            assert record["tracking_number"] == ""
        elif record["tracking_number"]:
            assert re.fullmatch(forms[record["carrier"]], record["tracking_number"]), record
    assert any(record["tracking_number"].endswith(".0") for record in year)


def test_the_anomalies_of_the_published_lists_occur_at_small_rates(year: list[dict[str, Any]]) -> None:
    made = [record["created_at"] for record in year]
    oddities = {
        "Created, yet cancelled": [r for r in year if r["pickup_status"] == "Created" and r["cancelled_at"]],
        "failed, window before booking": [r for r in year if r["pickup_from"] < r["created_at"]],
        "until before from": [r for r in year if is_backwards(r)],
        "Created without a number": [r for r in year if r["pickup_status"] == "Created" and not r["tracking_number"]],
        "never answered": [r for r in year if r["pickup_status"] == "Announcing"],
        "twins": [at for at, times in Counter(made).items() if times > 1],
        "whole seconds": [at for at in made if "." not in at],
        "windows with a fraction": [r for r in year if "." in r["pickup_from"]],
    }

    assert {what: len(found) for what, found in oddities.items() if not 3 <= len(found) <= 1_000} == {}
    assert {r["carrier"] for r in oddities["Created, yet cancelled"]} == {"dpd", "poste_it_delivery"}
    assert {r["pickup_status"] for r in oddities["failed, window before booking"]} == {"Failed"}


def test_the_order_of_ids_and_the_order_of_times_differ_by_less_than_an_hour(year: list[dict[str, Any]]) -> None:
    oldest_first = [instant(record["created_at"]) for record in reversed(year)]
    newest, setbacks = oldest_first[0], []
    for at in oldest_first:
        setbacks.append(newest - at)
        newest = max(newest, at)

    assert timedelta(minutes=20) < max(setbacks) < timedelta(hours=1)
    assert year[-1]["id"] > 290_000


def test_some_pickups_are_listed_late_and_after_newer_pickups() -> None:
    world = World.seeded(3_000, until=MONDAY, days=6)
    late = 0
    seen: set[int] = set()
    for minutes in range(0, 2 * 24 * 60, 15):
        listed = ids({"pickups": world.records(MONDAY - timedelta(days=5) + timedelta(minutes=minutes))})
        late += bool(seen) and any(number < max(seen) for number in set(listed) - seen)
        seen |= set(listed)

    assert late > 3


def test_a_seeded_world_can_be_limited_to_a_number_of_carriers() -> None:
    world = World.seeded(200, until=MONDAY, carriers=2)

    assert {record["carrier"] for record in world.records()} == {"dhl_express", "fedex"}
