"""Tests records that cannot be loaded, and unknown fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.bad_input import api as api
from tests.support.bad_input import loaded as loaded
from tests.support.bad_input import outcome
from tests.support.bad_input import world as world
from tests.support.installation import (
    CARRIER,
    Installation,
    as_rows,
)
from tests.support.worlds import NOW

pytestmark = [pytest.mark.v3, pytest.mark.versions]


def test_a_record_that_cannot_be_loaded_is_quarantined_and_the_rest_of_its_page_loads(
    loaded: Installation, api: Sandbox, world: World
) -> None:
    """The records lack an id, a readable `created_at`, a UTC offset in `created_at`, or a carrier."""
    sound = {"carrier": "dpd", "pickup_status": "Created", "created_at": "2026-11-20T11:00:00Z"}
    broken = {
        "required field `id`": sound,
        "`$.created_at`": {**sound, "id": 6, "created_at": "yesterday"},
        "timezone": {**sound, "id": 7, "created_at": "2026-11-20T11:00:00"},
        f"required field `{CARRIER}`": {"id": 8, "pickup_status": "Created", "created_at": "2026-11-20T11:00:00Z"},
    }
    for record in broken.values():
        world.put(record)
    good = world.book()

    done = loaded.command("run", api=api)

    assert outcome(done) == (1, "")  # four of 25 are more than one percent
    assert "4 records could not be loaded" in done.stdout
    assert any(reason in done.stdout for reason in broken)
    assert good in [row["id"] for row in loaded.pickups()]
    kept = loaded.rows("select account, reason, record, first_seen_at from sendcloud.pickups_quarantine")
    for reason, record in broken.items():
        (row,) = [row for row in kept if json_of(row).get("id") == record.get("id")]
        assert reason in row["reason"]
        assert '"created_at"' in row["record"]
    assert {(row["account"], row["first_seen_at"]) for row in kept} == {("default", NOW)}


def test_quarantined_records_and_unknown_fields_are_stored_and_counted_in_the_receipt(
    installation: Installation, api: Sandbox, world: World
) -> None:
    """The API lists 23 records that can be loaded, two of them with an unknown field, and three that cannot."""
    refused = [{"id": "seven", "carrier": "dpd"}, {"id": 8, "country": "NL"}, {"id": 9, "created_at": "2026-11-20"}]
    for record in refused:
        world.put(record)
    loaded = [world.book(), world.book(colour="green"), world.book(colour="red")]

    receipt = installation.run(api)

    assert [row["id"] for row in installation.pickups()[-3:]] == loaded
    kept = installation.rows("select record, reason from sendcloud.pickups_quarantine")
    sent = [{CARRIER if name == "carrier" else name: value for name, value in record.items()} for record in refused]
    by_id = [sorted(records, key=lambda record: str(record["id"])) for records in (sent, map(json_of, kept))]
    assert by_id[0] == by_id[1]
    assert all(row["reason"] for row in kept)
    coloured = installation.rows("select extra from sendcloud.pickups where extra is not null order by id")
    assert coloured == [{"extra": '{"colour":"green"}'}, {"extra": '{"colour":"red"}'}]
    assert (receipt.rows_read, receipt.rows_new, receipt.quarantined) == (26, 23, 3)
    (row,) = installation.rows("select quarantined, unknown_fields from sendcloud.pickup_runs")
    assert row == {"quarantined": 3, "unknown_fields": '{"colour": 2}'}


def json_of(row: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(row["record"])
    return record


@pytest.mark.slow
def test_a_quarantined_record_that_is_read_again_gets_no_second_row(
    installation: Installation, api: Sandbox, world: World
) -> None:
    world.put({"id": "seven", "carrier": "dpd"})
    installation.run(api)
    world.advance(hours=1)
    installation.run(api)

    rows = installation.rows("select first_seen_at, last_seen_at from sendcloud.pickups_quarantine")
    assert rows == [{"first_seen_at": NOW, "last_seen_at": NOW.replace(hour=13)}]


def test_an_unknown_field_is_stored_in_extra_and_named_in_the_receipt(
    installation: Installation, api: Sandbox, world: World
) -> None:
    world.book(colour="green", depot={"b": 1, "a": [None, "x"]})

    receipt = installation.run(api)

    assert receipt.unknown_fields == {"colour": 1, "depot": 1}
    assert installation.pickups() == as_rows(world.records())
    (row,) = installation.rows("select extra from sendcloud.pickups where extra is not null")
    assert row["extra"] == '{"colour":"green","depot":{"a":[null,"x"],"b":1}}'
