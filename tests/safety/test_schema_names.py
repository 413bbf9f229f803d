"""Tests that the schemas can have other names (`[schemas]`), and that a changed name starts no second warehouse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.destinations.schemas import DEFAULT_NAMES, SchemaNames, rename_schemas
from pipelines.warehouse import read, read_rows, reading
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.destinations import of_files
from tests.support.installation import Installation, nothing_is_sent_to, rows_of

pytestmark = of_files
SHOP = {"SCHEMAS__DATA": "shop_pickups", "SCHEMAS__ANALYTICS": "shop_views"}


def set_names(installation: Installation, **names: str) -> None:
    """Writes the names to the project's settings."""
    lines = "".join(f'{name} = "{value}"\n' for name, value in names.items())
    (installation.folder / ".dlt" / "config.toml").write_text(f"[schemas]\n{lines}")


@pytest.fixture
def shop(installation: Installation, world: World, api: Sandbox) -> Installation:
    """Returns an installation with other names, after two runs with a cancellation between them."""
    installation.monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))
    set_names(installation, data="shop_pickups", analytics="shop_views")
    pickup = world.book(carrier="dhl")
    world.book(carrier="ups")
    installation.run(api)
    world.cancel(pickup)
    installation.run(api)
    return installation


def test_runs_and_readers_use_the_configured_names(shop: Installation, api: Sandbox) -> None:
    schemas = "select distinct schema_name from duckdb_tables() union select distinct schema_name from duckdb_views() "
    assert {row["schema_name"] for row in shop.rows(f"{schemas} where not internal")} == {
        "shop_pickups",
        "shop_pickups_staging",
        "shop_views",
    }
    assert [row["carrier"] for row in shop.rows("from shop_pickups.pickups order by carrier")] == ["dhl", "ups"]
    assert len(shop.rows("from shop_pickups.pickup_status_history")) == 3
    assert len(shop.rows("from shop_pickups.pickup_runs")) == 2
    assert sorted(read("pickups").carrier) == ["dhl", "ups"]
    assert list(read("pickups", carriers=["ups"]).carrier) == ["ups"]
    with reading() as session:  # a person's own statements may say either name
        for schema in ("sendcloud", "shop_pickups"):
            assert session.execute(f"select count(*) from {schema}.pickups").fetchall() == [(2,)]
    shown = json.loads(shop.command("show", "carriers", "--json").stdout)
    assert {row["carrier"] for row in shown} >= {"dhl", "ups"}
    (status,) = json.loads(shop.command("status", "--json").stdout)
    assert status["pickups"] == 2
    assert shop.command("check", api=api).returncode == 0


def test_views_are_exported_under_other_names(shop: Installation, tmp_path: Path) -> None:
    done = shop.command("models", "--to", str(tmp_path / "views"), "--json")

    assert json.loads(done.stdout)["rows"]["pickups"] == 2


def test_a_published_file_is_read_without_the_settings_of_its_project(shop: Installation, tmp_path: Path) -> None:
    file = Path(shop.published).rename(tmp_path / "elsewhere.duckdb")
    shop.monkeypatch.setenv("DLT_PROJECT_DIR", str(tmp_path))

    assert len(read_rows("pickups", file)) == 2
    assert list(read("pickups", file, carriers=["ups"]).carrier) == ["ups"]


@pytest.mark.parametrize("was_marked", [True, False])
def test_a_changed_name_starts_no_second_warehouse(
    installation: Installation, world: World, api: Sandbox, was_marked: bool
) -> None:
    import duckdb

    world.book()
    installation.loaded(api)
    if not was_marked:  # as an older version left it
        for path in (installation.warehouse, installation.published):
            with duckdb.connect(str(path)) as connection:
                connection.execute("drop table sendcloud.pickups_warehouse")
    before = installation.warehouse.read_bytes()

    with nothing_is_sent_to(api):
        done = installation.command("run", api=api, **SHOP)

    assert done.returncode == 3
    assert f"[schemas] data is 'shop_pickups', but the pickups in {installation.warehouse}" in done.stderr
    assert "are in schema 'sendcloud'" in done.stderr
    assert installation.warehouse.read_bytes() == before
    checked = installation.command("check", api=api, **SHOP)
    assert (checked.returncode, "are in schema 'sendcloud'" in checked.stdout) == (3, True)
    installation.monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))
    assert len(read_rows("pickups")) == 1


def test_another_name_for_the_views_alone_keeps_the_tables(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The views of the old name stay, because something of a person's may read them."""
    world.book()
    installation.loaded(api)
    set_names(installation, analytics="shop_views")

    assert installation.run(api).rows_new == 0

    assert len(rows_of(installation.published, "from shop_views.pickups")) == 1
    assert len(rows_of(installation.published, "from analytics.pickups")) == 1
    installation.monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))
    assert len(read_rows("pickups")) == 1


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("SCHEMAS__DATA", "public"),
        ("SCHEMAS__DATA", "main"),
        ("SCHEMAS__DATA", "pg_catalog"),
        ("SCHEMAS__DATA", "information_schema"),
        ("SCHEMAS__DATA", "Shop"),
        ("SCHEMAS__DATA", "a__b"),
        ("SCHEMAS__DATA", "shop-1"),
        ("SCHEMAS__DATA", 'a"; drop schema public; --'),
        ("SCHEMAS__DATA", "a" * 28),
        ("SCHEMAS__DATA", "shop_staging"),
        ("SCHEMAS__DATA", "analytics"),
        ("SCHEMAS__ANALYTICS", "sendcloud"),
        ("SCHEMAS__ANALYTICS", "sendcloud_of_default"),
    ],
)
def test_an_impossible_name_is_refused_with_its_rule(
    installation: Installation, api: Sandbox, setting: str, name: str
) -> None:
    with nothing_is_sent_to(api):
        done = installation.command("run", api=api, **{setting: name})

    assert done.returncode == 3
    assert "[schemas] " in done.stderr
    assert not installation.warehouse.exists()


def test_a_misspelled_setting_is_refused(installation: Installation, api: Sandbox) -> None:
    done = installation.command("run", api=api, SCHEMAS__TABLES="shop")

    assert done.returncode == 3
    assert "valid names: data, analytics" in done.stderr


def test_only_names_of_schemas_are_replaced_in_a_statement() -> None:
    words = SchemaNames("shop", "views").replacements()
    statement = """
        -- the carrier's row of sendcloud.pickups
        create schema if not exists sendcloud; create schema analytics;
        select 'sendcloud.pickups', "sendcloud", my_sendcloud.x from sendcloud.pickups_swept
        join sendcloud.pickups on true join published.sendcloud.pickups using (id) join analytics.runs on 'it''s' = 's'
    """

    assert (
        rename_schemas(statement, words)
        == """
        -- the carrier's row of sendcloud.pickups
        create schema if not exists "shop"; create schema "views";
        select 'sendcloud.pickups', "sendcloud", my_sendcloud.x from "shop".pickups_swept
        join "shop".pickups on true join published."shop".pickups using (id) join "views".runs on 'it''s' = 's'
    """
    )
    assert rename_schemas(statement, DEFAULT_NAMES.replacements()) is statement
