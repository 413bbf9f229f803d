"""Tests what runs make of optional fields that can't be read, and of a list in which too many records are refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from sources.sendcloud.errors import Unavailable
from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.alert_receiver import listening
from tests.support.installation import API_VERSION, Installation, as_rows, compact
from tests.support.walking import IS_HERE
from tests.support.worlds import NOW, twenty

pytestmark = [pytest.mark.duckdb2, pytest.mark.v3, pytest.mark.places]

CONTRACT = {"v2": "contract", "v3": "contract_id"}[API_VERSION]
WINDOW = {"v2": "pickup_until", "v3": "time_slots"}[API_VERSION]
IN_THE_FILE = pytest.mark.skipif(not IS_HERE, reason="the test writes into the DuckDB file")


@pytest.fixture
def world() -> World:
    return twenty()


def break_contracts(world: World, value: Any) -> None:
    for record in world.records():
        world.change(record["id"], contract=value)


def remove_all(world: World) -> None:
    for record in world.records():
        world.remove(record["id"])


def without_contract(rows: list[dict[str, Any]], extra: str | None) -> list[dict[str, Any]]:
    return [row | {"contract": None, "extra": extra} for row in rows]


def test_a_cancellation_is_loaded_although_every_record_has_an_unreadable_contract(
    installation: Installation, world: World, api: Sandbox
) -> None:
    installation.loaded(api)
    world.advance(hours=1)
    cancelled = world.records()[3]["id"]
    world.cancel(cancelled)
    expected = as_rows(world.records())
    break_contracts(world, "57")

    receipt = installation.run(api)

    assert installation.pickups() == without_contract(expected, compact({CONTRACT: "57"}))
    assert (receipt.quarantined, receipt.rows_changed, receipt.rows_cancelled) == (0, 20, 1)
    assert (receipt.unreadable_fields, receipt.unknown_fields) == ({CONTRACT: 20}, {})
    assert receipt.checks_failed == {"unreadable_fields": 20}
    assert receipt.unexpected_values == {"unreadable_fields": [CONTRACT]}
    assert receipt.exit_code == 0
    told = f"unreadable fields, stored as null and kept in extra: {CONTRACT} (20)"
    assert told in receipt.remarks()
    (row,) = installation.rows("select unreadable_fields from sendcloud.pickup_runs order by started_at desc limit 1")
    assert row["unreadable_fields"] == json.dumps({CONTRACT: 20})


@pytest.mark.slow
def test_a_field_that_becomes_readable_returns_to_its_column_and_the_check_falls_silent(
    installation: Installation, world: World, api: Sandbox
) -> None:
    break_contracts(world, "57")
    installation.run(api)
    assert installation.run(api).rows_changed == 0
    break_contracts(world, 57)

    receipt = installation.run(api)

    assert installation.pickups() == as_rows(world.records())
    assert (receipt.checks_failed, receipt.unreadable_fields) == ({}, {})


def test_the_check_names_the_fields_of_each_pickup_but_no_unknown_field_of_another_version(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """`contract` is a field of v2 and unknown in v3, and `contract_id` the other way round."""
    stranger = "contract_id" if API_VERSION == "v2" else "pickup_until"
    first, second, third = [record["id"] for record in world.records()[:3]]
    if API_VERSION == "v2":
        world.change(first, **{stranger: "x"})
    world.change(second, pickup_until="soon", contract=1.5)
    world.change(third, country=7, note={CONTRACT: "x"})

    receipt = installation.run(api)

    assert receipt.checks_failed == {"unreadable_fields": 2, "known_countries": 1}
    both = ", ".join(sorted([CONTRACT, WINDOW]))
    assert receipt.unexpected_values == {"unreadable_fields": [both, "country"]}
    kept = installation.rows("select id, pickup_from, pickup_until from sendcloud.pickups where extra is not null")
    windows = {row["id"]: (row["pickup_from"] is None, row["pickup_until"] is None) for row in kept}
    assert windows.pop(second) == (False, True)
    assert set(windows.values()) == {(False, False)}


@pytest.mark.parametrize(
    ("broken", "exit_code"),
    [(1, 0), pytest.param(2, 1, marks=pytest.mark.slow), pytest.param(100, 1, marks=pytest.mark.slow)],
)
def test_a_run_fails_if_more_than_one_percent_of_its_records_are_refused(
    installation: Installation, api: Sandbox, world: World, broken: int, exit_code: int
) -> None:
    """Of 100 records, one is exactly one percent."""
    for _ in range(80):
        world.book()
    for record in world.records()[:broken]:
        world.change(record["id"], carrier=None)

    receipt = installation.run(api)

    assert (receipt.rows_read, receipt.quarantined) == (100, broken)
    assert (receipt.exit_code, receipt.must_pass_failed) == (exit_code, exit_code == 1)
    assert receipt.checks_failed == ({"refused_records": 1} if exit_code else {})
    assert len(installation.pickups()) == 100 - broken


def test_a_refused_list_sends_no_ping_until_the_next_good_run(
    installation: Installation, world: World, api: Sandbox
) -> None:
    installation.loaded(api)
    for record in world.records():
        world.change(record["id"], pickup_status="")
    with listening() as watchdog:
        first = installation.command("run", api=api, ALERTS__PING_URL=watchdog.address)
        status = installation.command("status", api=api)
        asked = list(watchdog.asked)
        for record in world.records():
            world.change(record["id"], pickup_status="Created")
        world.advance(hours=1)
        second = installation.command("run", api=api, ALERTS__PING_URL=watchdog.address)

    assert (first.returncode, asked) == (1, [])
    assert "A MUST-PASS CHECK FAILED: refused_records (1 row: 20 of 20)" in first.stdout
    assert "checks         refused_records (1)" in status.stdout
    assert (second.returncode, len(watchdog.asked)) == (0, 1)
    assert "refused_records" not in second.stdout
    assert "all passed" in installation.command("status", api=api).stdout


def test_an_empty_list_refuses_nothing(installation: Installation, world: World, api: Sandbox) -> None:
    remove_all(world)

    assert installation.run(api).checks_failed == {}


@IN_THE_FILE
def test_what_an_older_version_refused_for_an_optional_field_loads_with_the_next_sweep(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The row is what version 0.1.0 stored. The pickup lies behind the frontier, so only a sweep reads it again."""
    world.put({})  # creates the quarantine
    for number in range(12):
        world.book(created_at=NOW - timedelta(days=60 - number), pickup_status="Failed", id=100 + number)
    old = world.record(101)
    world.change(101, contract="57", pickup_status="Failed")
    installation.run(api, page_size=4)
    text = compact({"id": 101, CONTRACT: "57", "created_at": old["created_at"]})
    with duckdb.connect(str(installation.warehouse)) as connection:
        connection.execute("delete from sendcloud.pickups where id = 101")
        connection.execute(
            "insert into sendcloud.pickups_quarantine by name select 'default' as account, ? as record_hash, "
            "'Expected `int | null`, got `str` - at `$.contract`' as reason, ?::json as record, "
            "?::timestamptz as first_seen_at, ?::timestamptz as last_seen_at, '1' as _dlt_load_id",
            [hashlib.sha256(text.encode()).hexdigest(), text, NOW - timedelta(days=3), NOW - timedelta(days=3)],
        )
    world.advance(hours=1)
    installation.run(api, page_size=4)
    assert 101 not in [row["id"] for row in installation.pickups()]

    receipt = installation.run(api, sweep=True, page_size=4)

    (row,) = [row for row in installation.pickups() if row["id"] == 101]
    assert (row["contract"], row["extra"]) == (None, compact({CONTRACT: "57"}))
    assert (receipt.rows_new, receipt.rows_missed) == (1, 1)
    query = "select reason, resolved_at from sendcloud.pickups_quarantine where record ->> 'id' = '101'"
    assert [row["resolved_at"] for row in installation.rows(query)] == [NOW + timedelta(hours=1)]


def test_every_destination_loads_numbers_that_no_double_can_hold(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """PostgreSQL publishes `extra` as jsonb, which writes out 1e999 as a thousand digits."""
    sent = {b'"near"': b"1.10", b'"far"': b"1e999", b'"beyond"': b"-1e131072", b'"many"': b"7" * 30}
    world.book(a="near", b="far", c="beyond", d=["many"])
    api.fault(lambda due: replace(due, body=in_words(due.body, sent)), times=None)

    receipt = installation.run(api)

    assert (receipt.outcome, receipt.checks_failed) == ("succeeded", {})
    (row,) = installation.rows("select extra from sendcloud.pickups where extra is not null")
    kept = json.loads(row["extra"], parse_float=Decimal, parse_int=Decimal)
    assert kept == {"a": Decimal("1.10"), "b": Decimal("1e999"), "c": "-1e131072", "d": [Decimal("7" * 30)]}
    assert installation.run(api).rows_changed == 0


def in_words(body: bytes, sent: dict[bytes, bytes]) -> bytes:
    for word, number in sent.items():
        body = body.replace(word, number)
    return body


@IN_THE_FILE
def test_numbers_that_an_older_version_respelled_are_changed_once(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """One of twenty stored numbers is spelled as the API does not send it, which is what older versions left behind."""
    for place, record in enumerate(world.records()):
        world.change(record["id"], price=2.5 if place else 1.25)
    installation.run(api)
    with duckdb.connect(str(installation.warehouse)) as connection:
        connection.execute("update sendcloud.pickups set extra = '{\"price\":1.250}' where extra::text like '%1.25%'")

    assert [installation.run(api).rows_changed for _ in range(2)] == [1, 0]
    assert installation.pickups() == as_rows(world.records())


# What was cancelled since the last run


@pytest.mark.parametrize("pages_per_package", [400, pytest.param(1, marks=pytest.mark.slow)])
def test_pickups_that_a_first_load_finds_cancelled_were_not_cancelled_since_the_last_run(
    installation: Installation, world: World, api: Sandbox, pages_per_package: int
) -> None:
    for record in world.records()[::2]:
        world.cancel(record["id"])

    receipt = installation.run(api, page_size=5, pages_per_package=pages_per_package)

    assert (receipt.rows_new, receipt.rows_cancelled, receipt.is_first_read) == (20, 0, True)


def test_of_a_first_load_that_goes_on_only_what_was_booked_meanwhile_counts_as_cancelled(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The first run ends after 5 of 20 pickups, 10 of which are cancelled already."""
    for record in world.records()[::2]:
        world.cancel(record["id"])
    api.fault(faults.status(503), page=2, times=None)
    with pytest.raises(Unavailable):
        installation.run(api, page_size=5, pages_per_package=1, request_max_attempts=1)
    api.heal()
    world.advance(hours=2)
    booked = [world.book(), world.book()]
    world.cancel(booked[0])
    kept = next(
        record["id"]
        for record in world.records()
        if record["pickup_status"] == "Created" and record["id"] not in booked
    )
    world.cancel(kept)

    receipt = installation.run(api, page_size=5, pages_per_package=1)

    assert (receipt.rows_new, receipt.rows_changed) == (17, 1)
    assert receipt.rows_cancelled == 2
    assert "2 cancelled since the last run" in str(receipt)


@pytest.mark.slow
def test_an_earlier_start_date_reads_old_cancellations_that_are_no_news(
    installation: Installation, world: World, api: Sandbox
) -> None:
    for record in world.records()[::2]:
        world.cancel(record["id"])
    config = installation.folder / ".dlt" / "config.toml"
    section = "[sources.sendcloud.pickups.created_at]\ninitial_value = {}\n"
    config.write_text(section.format((NOW - timedelta(days=2)).isoformat()))
    installation.run(api)
    config.write_text(section.format((NOW - timedelta(days=30)).isoformat()))
    world.advance(hours=1)

    receipt = installation.run(api)

    assert (receipt.rows_new > 5, receipt.rows_cancelled) == (True, 0)


def test_the_first_pickup_of_an_account_that_was_empty_counts_as_cancelled(
    installation: Installation, world: World, api: Sandbox
) -> None:
    remove_all(world)
    installation.run(api)
    world.advance(hours=1)
    world.cancel(world.book())

    assert installation.run(api).rows_cancelled == 1
