"""Tests what `pickups check` says about a damaged warehouse, and the alert of a run that has replaced it."""

from __future__ import annotations

import json

from sources.sendcloud.sandbox import Sandbox
from tests.operations.test_damage import shop as shop
from tests.support.alert_receiver import listening
from tests.support.damages import BLOCK, HEADERS, blocks_of, truncate, write_at
from tests.support.installation import Installation


def finding(shop: Installation, api: Sandbox, subject: str) -> dict[str, object]:
    found = json.loads(shop.command("check", "--json", api=api).stdout)
    (one,) = [each for each in found if each["subject"] == subject]
    return one  # type: ignore[no-any-return]


def test_check_says_that_the_next_run_replaces_a_damaged_warehouse_and_changes_nothing(
    shop: Installation, api: Sandbox
) -> None:
    truncate(shop.warehouse)
    before = shop.warehouse.read_bytes()

    one = finding(shop, api, "warehouse")

    assert (one["outcome"], one["exit_code"]) == ("warning", 0)
    assert "the next run replaces it with the published copy (6 pickups of default, newest good run" in str(
        one["message"]
    )
    assert shop.warehouse.read_bytes() == before

    shop.warehouse.with_name("warehouse.duckdb.wal").write_bytes(b"rows of a killed run")
    one = finding(shop, api, "warehouse")
    assert (one["outcome"], one["exit_code"]) == ("error", 6)
    assert str(one["message"]).endswith("pickups restore")


def test_check_names_a_damaged_published_file(shop: Installation, api: Sandbox) -> None:
    (block, *_) = blocks_of(shop.published, "sendcloud.pickups")
    write_at(shop.published, HEADERS + block * BLOCK, bytes(BLOCK))

    one = finding(shop, api, "published")

    assert one["outcome"] == "warning"
    assert "is damaged (IO Error: Corrupt database file" in str(one["message"])


def test_a_run_that_replaced_the_warehouse_sends_one_message(shop: Installation, api: Sandbox) -> None:
    truncate(shop.warehouse)
    with listening() as chat:
        done = [shop.command("run", api=api, RUNTIME__SLACK_INCOMING_HOOK=chat.address) for _ in range(2)]

    assert [each.returncode for each in done] == [0, 0]
    (message,) = chat.messages
    assert f"The warehouse {shop.warehouse} is damaged (IO Error: Could not read enough bytes" in message
