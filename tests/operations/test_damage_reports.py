"""Tests what `pickups check` says about a damaged warehouse, and the alert of a run that has replaced it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sources.sendcloud.sandbox import Sandbox
from tests.operations.test_damage import shop as shop
from tests.support.alert_receiver import listening
from tests.support.cases import quick
from tests.support.damages import (
    BLOCK,
    HEADERS,
    blocks_of,
    is_whole,
    truncate,
    write_at,
    zero_the_blocks_of_pickups,
)
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


@pytest.mark.parametrize("damage", quick([zero_the_blocks_of_pickups, truncate], only=(0,)))
def test_check_names_both_files_if_both_are_damaged(
    shop: Installation, api: Sandbox, damage: Callable[[Path], None]
) -> None:
    """Comparing the files would not show the damage, because the same blocks are damaged."""
    for file in (shop.warehouse, shop.published):
        damage(file)

    (warehouse, published) = (finding(shop, api, subject) for subject in ("warehouse", "published"))

    assert (warehouse["exit_code"], published["exit_code"]) == (6, 6)
    assert "and the published copy can't be read either (IO Error: " in str(warehouse["message"])
    assert "run: pickups restore --from FILE. Without a backup, move the damaged files" in str(warehouse["message"])
    assert str(published["message"]).startswith(f"{shop.published}: it is damaged (IO Error: ")


def test_a_run_names_the_way_that_is_left_if_the_same_blocks_of_both_files_are_damaged(
    shop: Installation, api: Sandbox
) -> None:
    for file in (shop.warehouse, shop.published):
        zero_the_blocks_of_pickups(file)

    done = shop.command("run", api=api)

    assert done.returncode == 6
    assert "run: pickups restore --from FILE. Without a backup, move the damaged files" in done.stderr


READERS = [["status"], ["show", "carriers"], ["list"], ["report", "--to", "report.html"]]


@pytest.mark.parametrize("words", quick(READERS, only=(0, 3)), ids=" ".join)
@pytest.mark.parametrize("damage", quick([zero_the_blocks_of_pickups, truncate], only=(0,)))
def test_readers_of_a_damaged_published_file_name_the_command_that_replaces_it(
    shop: Installation, api: Sandbox, damage: Callable[[Path], None], words: list[str]
) -> None:
    damage(shop.published)

    done = shop.command(*words, api=api)

    assert done.returncode == 6
    assert done.stderr.startswith(f"pickups: The destination failed: {shop.published}: IO Error: ")
    assert done.stderr.endswith("To replace a damaged published file with a copy of the warehouse, run: pickups run\n")


@pytest.mark.parametrize("damage", [zero_the_blocks_of_pickups, truncate])
def test_a_run_says_that_it_replaced_a_damaged_published_file(
    shop: Installation, api: Sandbox, damage: Callable[[Path], None]
) -> None:
    shop.run(api)  # records where this copied project publishes
    damage(shop.published)

    told = [shop.command("run", "--quiet", api=api) for _ in range(2)]

    assert [done.returncode for done in told] == [0, 0]
    (line,) = told[0].stderr.splitlines()
    assert line.startswith(f"pickups: The published file {shop.published} was damaged (IO Error: ")
    assert line.endswith("). It was replaced with a copy of the warehouse.")
    assert told[1].stderr == ""
    assert is_whole(shop.published)
    assert shop.rows("select count(*) as n from sendcloud.pickups") == [{"n": 6}]


@pytest.mark.parametrize("words", [["accounts", "list"], ["accounts", "remove", "default", "--yes"]], ids=" ".join)
@pytest.mark.parametrize("damage", quick([zero_the_blocks_of_pickups, truncate], only=(0,)))
def test_commands_that_find_the_warehouse_damaged_refer_to_check(
    shop: Installation, damage: Callable[[Path], None], words: list[str]
) -> None:
    damage(shop.warehouse)

    done = shop.command(*words)

    assert done.returncode == 6
    remedy = "If the file is damaged, keep it. To find out what the next run would do, run: pickups check\n"
    assert done.stderr.endswith(remedy)


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
