"""Tests accounts that are added, renamed and removed."""

from __future__ import annotations

import json

import pytest

from pipelines import run_accounts
from sources.sendcloud.sandbox import Sandbox
from tests.support.accounts import configure, rows_of_worlds
from tests.support.installation import Installation, nothing_is_sent_to
from tests.support.three_accounts import apis as apis
from tests.support.three_accounts import loaded as loaded
from tests.support.three_accounts import loaded_once as loaded_once

# adding, renaming, removing


def tables_with_rows_of(installation: Installation, account: str) -> list[str]:
    """Returns the tables in which the account still has a row."""
    tables = "select table_name as t from duckdb_columns() where schema_name = 'sendcloud' and column_name = 'account'"
    names = [row["t"] for row in installation.rows(tables)]
    found = [n for n in names if installation.rows(f"select 1 from sendcloud.{n} where account = '{account}'")]
    if not installation.rows("select 1 from duckdb_tables() where table_name = '_dlt_pipeline_state'"):
        return found  # a lake keeps it in files
    state = f"select 1 from sendcloud._dlt_pipeline_state where pipeline_name = 'sendcloud_pickups_{account}'"
    return found + (["_dlt_pipeline_state"] if installation.rows(state) else [])


@pytest.mark.slow
def test_first_account_keeps_its_rows_and_position_if_a_second_account_is_added(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    installation.run(apis["north"])
    configure(installation, {"default": apis["north"], "south": apis["south"]})

    receipts = run_accounts(installation.folder)

    assert [(one.account, one.rows_new, one.is_first_read) for one in receipts] == [
        ("default", 0, False),
        ("south", 4, True),
    ]
    assert installation.pickups() == rows_of_worlds({"default": apis["north"], "south": apis["south"]})


@pytest.mark.slow
def test_removed_account_keeps_its_rows_and_status_reports_it_as_not_configured(
    loaded: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(loaded, apis)
    configure(loaded, {name: apis[name] for name in ("north", "east")})
    with nothing_is_sent_to(apis["south"]):
        assert loaded.command("run").returncode == 0

    told = {one["account"]: one for one in json.loads(loaded.command("status", "--json").stdout)}
    text = loaded.command("status").stdout

    assert {name: one["is_configured"] for name, one in told.items()} == {"north": True, "south": False, "east": True}
    assert told["south"]["pickups"] == 4
    assert text.count("the account was removed or renamed") == 1
    assert "pickups accounts rename south" in " ".join(text.split())


@pytest.mark.slow
def test_removed_account_leaves_no_row_and_can_be_added_again(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    others = {name: apis[name] for name in ("north", "east")}
    configure(installation, apis)
    apis["south"].world.put({"id": 1, "carrier": None})
    run_accounts(installation.folder, sweep=True)
    configure(installation, others)

    tried = installation.command("accounts", "remove", "south", "--dry-run")
    assert len(tables_with_rows_of(installation, "south")) == 6  # with the findings, which can be computed again
    done = installation.command("accounts", "remove", "south", "--yes")

    assert (tried.returncode, done.returncode) == (0, 0)
    rows = "pickup_runs 1, pickup_status_history 4, pickups 4, pickups_quarantine 1"
    assert tried.stdout.splitlines() == [f"Account south: {rows}"]
    assert done.stdout.splitlines() == [f"Account south: {rows}", "Removed south."]
    assert tables_with_rows_of(installation, "south") == []
    assert installation.pickups() == rows_of_worlds(others)
    assert [one["account"] for one in json.loads(installation.command("status", "--json").stdout)] == ["east", "north"]
    configure(installation, apis)
    (back,) = run_accounts(installation.folder, ["south"])
    assert (back.rows_new, back.is_first_read) == (4, True)
