"""Tests `pickups accounts rename`, before and after the new name's first run, and `pickups accounts list`."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import pytest

from pipelines import run_accounts
from sources.sendcloud.sandbox import Sandbox
from tests.accounts.test_accounts_come_and_go import tables_with_rows_of
from tests.support.accounts import configure, oldest, rows_of_worlds
from tests.support.destinations import of_files
from tests.support.installation import Installation
from tests.support.three_accounts import apis as apis
from tests.support.three_accounts import loaded as loaded
from tests.support.three_accounts import loaded_once as loaded_once

pytestmark = pytest.mark.places
STATES = "select id, pickup_status, cancelled_at from sendcloud.pickup_status_history where account = '{}' order by all"


@pytest.fixture
def renamed(loaded: Installation, apis: dict[str, Sandbox]) -> dict[str, Sandbox]:
    """Renames south's sections to west in the settings of the three loaded accounts."""
    renamed = {"north": apis["north"], "west": apis["south"], "east": apis["east"]}
    configure(loaded, renamed)
    return renamed


def rename(installation: Installation, *options: str) -> Any:
    return installation.command("accounts", "rename", "south", "west", *options)


def first_states(installation: Installation, account: str) -> list[tuple[Any, ...]]:
    """Returns the states of pickups with several states, with whether each is marked as the first."""
    rows = installation.rows(
        "select id, pickup_status, is_first, count(*) over (partition by id) as states"
        f" from sendcloud.pickup_status_history where account = '{account}' order by id, pickup_status"
    )
    assert all(row["is_first"] for row in rows if row["states"] == 1)
    return [(row["id"], row["pickup_status"], row["is_first"]) for row in rows if row["states"] > 1]


def cancelled_in_south(apis: dict[str, Sandbox]) -> int:
    apis["south"].world.advance(hours=1)
    pickup = oldest(apis["south"])
    apis["south"].world.cancel(pickup)
    return pickup


def test_renamed_account_continues_with_its_rows_states_receipts_and_position(
    loaded: Installation, apis: dict[str, Sandbox], renamed: dict[str, Sandbox]
) -> None:
    cancelled = cancelled_in_south(apis)

    done = rename(loaded)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Renamed south to west: pickup_runs 1, pickup_status_history 4, pickups 4")
    assert loaded.rows("select distinct account from sendcloud.pickups order by 1") == [
        {"account": name} for name in ("east", "north", "west")
    ]
    receipts = {one.account: one for one in run_accounts(loaded.folder)}
    west = receipts["west"]
    assert (west.rows_new, west.rows_changed, west.rows_cancelled) == (0, 1, 1)
    assert (west.is_first_read, west.checks_failed.keys() <= {"known_carriers"}) == (False, True)
    assert tables_with_rows_of(loaded, "south") == []
    assert loaded.pickups() == rows_of_worlds(renamed)
    assert len(loaded.rows(STATES.format("west"))) == 5
    assert [row["id"] for row in loaded.rows(STATES.format("west")) if row["cancelled_at"]] == [cancelled]


def test_account_renamed_one_run_late_has_every_pickup_and_every_state_once(
    loaded: Installation, apis: dict[str, Sandbox], renamed: dict[str, Sandbox]
) -> None:
    """The cancelled pickup has two states: `Created` under the old name, `Cancelled` under the new one."""
    vanished = apis["south"].world.records()[-2]["id"]
    cancelled = cancelled_in_south(apis)
    before = [row for row in loaded.pickups() if (row["account"], row["id"]) == ("south", vanished)]
    apis["south"].world.remove(vanished)
    run_accounts(loaded.folder)
    assert len(loaded.rows("select 1 from sendcloud.pickups where account in ('south', 'west')")) == 4 + 3

    done = rename(loaded)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1] == (
        "  merged with the rows that west already has: pickup_runs 1, pickup_status_history 3, pickups 3"
    )
    assert tables_with_rows_of(loaded, "south") == []
    kept = sorted([*rows_of_worlds(renamed), {**before[0], "account": "west"}], key=lambda r: (r["account"], r["id"]))
    assert loaded.pickups() == kept
    states = loaded.rows(STATES.format("west"))
    assert len(states) == 5
    assert [row["pickup_status"] for row in states if row["id"] == cancelled] == ["Cancelled", "Created"]
    assert first_states(loaded, "west") == [(cancelled, "Cancelled", False), (cancelled, "Created", True)]
    assert len(loaded.rows("select 1 from sendcloud.pickup_runs where account = 'west'")) == 2
    receipts = {one.account: one for one in run_accounts(loaded.folder)}
    assert (receipts["west"].rows_new, receipts["west"].is_first_read, receipts["west"].must_pass_failed) == (
        0,
        False,
        False,
    )
    assert loaded.pickups() == kept


def test_record_that_both_names_have_refused_keeps_the_time_of_the_first(
    loaded: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(loaded, apis)
    apis["south"].world.put({"id": 1, "carrier": None})
    run_accounts(loaded.folder, sweep=True)
    ((first,),) = (row.values() for row in loaded.rows("select first_seen_at from sendcloud.pickups_quarantine"))
    configure(loaded, {"north": apis["north"], "west": apis["south"], "east": apis["east"]})
    apis["south"].world.advance(days=1)
    run_accounts(loaded.folder)

    assert rename(loaded).returncode == 0

    query = "select account, first_seen_at from sendcloud.pickups_quarantine"
    assert loaded.rows(query) == [{"account": "west", "first_seen_at": first}]


@pytest.mark.usefixtures("renamed")
def test_dry_run_changes_nothing(loaded: Installation, apis: dict[str, Sandbox]) -> None:
    done = rename(loaded, "--dry-run")

    assert done.returncode == 0
    assert done.stdout.startswith("Would rename south to west: pickup_runs 1, pickup_status_history 4, pickups 4")
    assert loaded.pickups() == rows_of_worlds(apis)
    assert tables_with_rows_of(loaded, "west") == []
    assert rename(loaded, "--dry-run") == done  # in the warehouse, nothing has changed either


@of_files
def test_a_persons_table_with_a_column_account_is_left_alone(loaded: Installation, renamed: dict[str, Sandbox]) -> None:
    """Before 2026-11-28, rename changed its rows and remove deleted them."""
    with duckdb.connect(str(loaded.warehouse)) as connection:
        connection.execute("create table sendcloud.budgets as select unnest(['south', 'west']) as account, 7 as euros")
    before = [{"account": name, "euros": 7} for name in ("south", "west")]

    assert rename(loaded).returncode == 0
    assert loaded.command("accounts", "remove", "west", "--yes").returncode == 0

    assert loaded.rows("from sendcloud.budgets order by account") == before
    assert loaded.pickups() == rows_of_worlds({name: renamed[name] for name in ("north", "east")})


def test_account_with_other_pickups_is_not_merged(loaded: Installation, apis: dict[str, Sandbox]) -> None:
    """The ids of north and south collide."""
    configure(loaded, {name: apis[name] for name in ("north", "east")})
    apis["north"].world.change(oldest(apis["north"]), created_at="2026-01-01T00:00:00Z")
    run_accounts(loaded.folder, sweep=True)
    before = loaded.pickups()

    done = loaded.command("accounts", "rename", "south", "north")

    assert done.returncode == 3
    assert (
        "different Sendcloud accounts, because 1 of the 3 pickups that both accounts have were booked at different "
        "times" in done.stderr
    )
    assert loaded.pickups() == before


@pytest.mark.parametrize("words", [("south", "west"), ("north", "south"), ("west", "west")])
def test_settings_must_have_the_new_name_only(loaded: Installation, apis: dict[str, Sandbox], words: Any) -> None:
    configure(loaded, apis)

    done = loaded.command("accounts", "rename", *words)

    assert done.returncode == 3
    assert "Nothing was renamed" in done.stderr
    assert loaded.pickups() == rows_of_worlds(apis)


@pytest.mark.usefixtures("renamed")
def test_account_without_rows_is_named_with_the_accounts_that_have_some(loaded: Installation) -> None:
    done = loaded.command("accounts", "rename", "suoth", "west")

    assert done.returncode == 3
    assert "Account 'suoth' has no rows; valid names: east, north, south (did you mean south?)" in done.stderr


def test_new_name_whose_first_run_failed_takes_over_the_rows(loaded: Installation, renamed: dict[str, Sandbox]) -> None:
    configure(loaded, renamed, own={"west": {"base_url": "http://127.0.0.1:9/api/v2", "request_max_attempts": 1}})
    assert loaded.command("run", "--account", "west").returncode == 4
    configure(loaded, renamed)

    assert rename(loaded).returncode == 0

    assert loaded.pickups() == rows_of_worlds(renamed)
    (west,) = run_accounts(loaded.folder, ["west"])
    assert (west.rows_new, west.is_first_read) == (0, False)
    assert len(loaded.rows("select 1 from sendcloud.pickup_runs where account = 'west'")) == 3


def test_only_account_gets_another_label(installation: Installation, api: Sandbox, world: Any) -> None:
    world.book()
    installation.loaded(api)

    refused = installation.command("accounts", "rename", "default", "shop", api=api)
    done = installation.command("accounts", "rename", "default", "shop", api=api, SOURCES__SENDCLOUD__ACCOUNT="shop")

    assert (refused.returncode, done.returncode) == (3, 0)
    assert "First set" in refused.stderr
    receipt = installation.run(api, account="shop")
    assert (receipt.rows_new, receipt.is_first_read, len(installation.pickups())) == (0, False, 1)


@pytest.mark.usefixtures("renamed")
def test_list_names_every_account_with_its_rows(loaded: Installation) -> None:
    told = {one["account"]: one for one in json.loads(loaded.command("accounts", "list", "--json").stdout)}

    assert {name: one["is_configured"] for name, one in told.items()} == {
        "east": True,
        "north": True,
        "south": False,
        "west": True,
    }
    assert {name: one["rows"].get("pickups") for name, one in told.items()} == {
        "east": 5,
        "north": 3,
        "south": 4,
        "west": None,
    }
    assert "south (not configured): pickup_runs 1" in loaded.command("accounts", "list").stdout


def test_remove_asks_and_changes_nothing_without_an_answer(loaded: Installation, apis: dict[str, Sandbox]) -> None:
    configure(loaded, apis)

    done = loaded.command("accounts", "remove", "south")

    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert "The settings still name south" in done.stdout
    assert loaded.pickups() == rows_of_worlds(apis)


@of_files
@pytest.mark.slow
def test_rename_that_is_killed_is_done_or_not(loaded: Installation, renamed: dict[str, Sandbox]) -> None:
    """The process is killed at ever later instants, then the command is given again."""
    import time

    seen = set()
    for number in range(12):
        begun = loaded.begin("accounts", "rename", "south", "west")
        time.sleep(0.05 * number)
        begun.kill()
        begun.wait(10)
        names = {row["account"] for row in loaded.rows("select distinct account from sendcloud.pickups")}
        seen.add("west" in names)
        assert names in ({"east", "north", "south"}, {"east", "north", "west"}), names
        assert loaded.command("accounts", "list").returncode == 0
    loaded.command("accounts", "rename", "south", "west")
    assert loaded.pickups() == rows_of_worlds(renamed)
