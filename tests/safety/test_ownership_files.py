"""Tests that a run and `pickups check` refuse to touch anything in DuckDB files that this program did not create.

Every refusal exits 3 before a request is sent, and leaves the foreign object as it was.
"""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import duckdb
import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.cases import quick
from tests.support.destinations import of_files
from tests.support.installation import Done, Installation, as_rows, nothing_is_sent_to, rows_of
from tests.support.version_0_1 import DATA, world_of_0_1

pytestmark = of_files

# the statements that create the foreign object, its name, and the setting in the remedy
FOREIGN = {
    "a view": ("create view analytics.pickups as select 1 as mine", "view analytics.pickups", "analytics"),
    "a table": ("create table analytics.runs as select 1 as mine", "table analytics.runs", "analytics"),
    "a table in other case": ("create table Analytics.Runs as select 1 as mine", "table analytics.runs", "analytics"),
    "a view with a comment like ours": (
        "create table orders (i int); create view analytics.pickups as select 1 as mine from main.orders; "
        "comment on view analytics.pickups is 'One row per pickup.'",
        "view analytics.pickups",
        "analytics",
    ),
    "their pickups": ("create table sendcloud.pickups as select 1 as mine", "table sendcloud.pickups", "data"),
    "a view over their pickups": (
        "create table t (i int); create view sendcloud.pickups as select i as mine from main.t",
        "view sendcloud.pickups",
        "data",
    ),
    "rows of their own dlt pipeline": (
        "create table sendcloud.pickups (account text, id bigint, carrier text, pickup_status text, "
        "created_at timestamptz, _dlt_load_id text); insert into sendcloud.pickups (id) values (1)",
        "table sendcloud.pickups",
        "data",
    ),
    "another pipeline's loads": (
        "create table sendcloud._dlt_loads (load_id text, schema_name text)", "table sendcloud._dlt_loads", "data"
    ),
    "their forgotten pickups": (
        "create table sendcloud.pickups_forgotten as select 'default' as account, 7 as id",
        "table sendcloud.pickups_forgotten",
        "data",
    ),
    "their list of warehouses": (
        "create table sendcloud.pickups_warehouse as select 'Utrecht' as name",
        "table sendcloud.pickups_warehouse",
        "data",
    ),
    "a staging table": (
        "create schema sendcloud_staging; create table sendcloud_staging.pickups as select 1 as mine",
        "table sendcloud_staging.pickups",
        "data",
    ),
}  # fmt: skip


def execute(path: Path, *statements: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)


def refused(installation: Installation, api: Sandbox, command: str = "run", **settings: str) -> str:
    """Returns the message of a command that exits 3. A run that does so sends no request."""
    if command == "check":
        done = installation.command("check", api=api, **settings)
        messages = [line for line in done.stdout.splitlines() if line.startswith("error")]
    else:
        with nothing_is_sent_to(api):
            done = installation.command("run", api=api, **settings)
        messages = done.stderr.splitlines()
    assert (done.returncode, len(messages)) == (3, 1), done
    return messages[0]


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_object_in_the_warehouse_ends_the_run_before_anything_is_read(
    installation: Installation, world: World, api: Sandbox, kind: str
) -> None:
    statements, named, setting = FOREIGN[kind]
    world.book()
    execute(installation.warehouse, "create schema analytics", "create schema sendcloud", statements)
    before = tables_of(installation.warehouse)

    said = refused(installation, api)

    assert f"{installation.warehouse}: {named} was not created by this program." in said
    assert f"([schemas] {setting} in .dlt/config.toml)" in said
    assert tables_of(installation.warehouse) == before
    assert not installation.published.exists()
    assert named in refused(installation, api, "check")


def test_a_foreign_view_that_replaced_ours_ends_the_next_run(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """dbt, for example, replaces a view of the same name without asking."""
    world.book()
    installation.loaded(api)
    execute(installation.warehouse, "drop view analytics.runs; create view analytics.runs as select 1 as mine")

    assert "view analytics.runs was not created by this program" in refused(installation, api)
    assert rows_of(installation.warehouse, "from analytics.runs") == [{"mine": 1}]


def test_tables_of_other_names_and_other_kinds_are_no_concern_of_a_run(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """A macro, a sequence or a type and a view of one name don't conflict in DuckDB."""
    world.book()
    execute(
        installation.warehouse,
        "create schema analytics; create table analytics.orders as select 1 as mine",
        "create schema sendcloud; create table sendcloud.parcels as select 2 as mine",
        "create macro analytics.pickups() as table select 3 as mine",
        "create sequence analytics.runs start 4; create sequence sendcloud.pickups start 5",
        "create type analytics.runs as enum ('mine'); create type sendcloud.pickup_runs as enum ('mine')",
    )

    installation.run(api)

    assert installation.pickups() == as_rows(world.records())
    assert rows_of(installation.warehouse, "from analytics.orders") == [{"mine": 1}]
    assert rows_of(installation.warehouse, "from sendcloud.parcels") == [{"mine": 2}]
    assert rows_of(installation.warehouse, "from analytics.pickups()") == [{"mine": 3}]
    sequences = "select schema_name, sequence_name, start_value as mine from duckdb_sequences() order by all"
    assert [tuple(row.values()) for row in rows_of(installation.warehouse, sequences)] == [
        ("analytics", "runs", 4),
        ("sendcloud", "pickups", 5),
    ]


def mine_of(path: Path) -> list[object]:
    return [row["mine"] for row in rows_of(path, "from mine")]


@pytest.mark.parametrize("has_warehouse", [False, True])
def test_a_persons_file_at_the_published_path_stays_as_it_was(
    installation: Installation, world: World, api: Sandbox, has_warehouse: bool
) -> None:
    world.book()
    if has_warehouse:
        installation.run(api)
        installation.published.unlink()
    execute(installation.published, "create table mine as select 7 as mine")

    said = refused(installation, api)

    assert said.startswith(f"pickups: {installation.published} was not created by this program.")
    assert "Set [publish] path to another file" in said
    assert mine_of(installation.published) == [7]
    assert installation.warehouse.exists() == has_warehouse
    assert f"{installation.published} was not created" in refused(installation, api, "check")


def test_a_persons_database_in_the_place_of_a_lost_warehouse_stays_as_it_was(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """It is not an empty warehouse, so the published copy may not replace it."""
    world.book()
    installation.run(api)
    installation.warehouse.unlink()
    execute(installation.warehouse, "create table mine as select 7 as mine")
    published, theirs = installation.published.read_bytes(), installation.warehouse.read_bytes()

    said = refused(installation, api)

    assert f"{installation.warehouse}, which is now another database" in said
    assert (installation.published.read_bytes(), installation.warehouse.read_bytes()) == (published, theirs)
    assert [path.name for path in installation.warehouse.parent.glob("*damaged*")] == []
    assert "which is now another database" in refused(installation, api, "check")

    installation.warehouse.unlink()

    assert "is missing. It was replaced with the published copy" in str(installation.run(api).warehouse_restored)


@pytest.mark.parametrize("content", [b"id,carrier\n1,dhl\n", b"SQLite format 3\0"], ids=["csv", "sqlite"])
def test_another_kind_of_file_at_the_published_path_stays_as_it_was(
    installation: Installation, world: World, api: Sandbox, content: bytes
) -> None:
    world.book()
    installation.published.parent.mkdir()
    installation.published.write_bytes(content)

    assert f"{installation.published} is not a DuckDB file" in refused(installation, api)
    assert installation.published.read_bytes() == content


def test_an_empty_file_at_the_published_path_is_replaced(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """An administrator can set the permissions of a file before it exists."""
    world.book()
    installation.published.parent.mkdir()
    installation.published.touch()

    installation.run(api)

    assert installation.pickups() == as_rows(world.records())


def test_a_damaged_published_file_of_this_warehouse_is_replaced(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """Nothing is lost, because the warehouse holds everything."""
    world.book()
    installation.run(api)
    whole = installation.published.read_bytes()
    installation.published.write_bytes(whole[:12] + b"\0" * (len(whole) - 12))
    world.book()

    installation.run(api)

    assert installation.pickups() == as_rows(world.records())


def copied_project(installation: Installation, tmp_path: Path, *, data: bool) -> Installation:
    """Returns a copy of the project in another folder, with or without its data."""
    left_out = shutil.ignore_patterns() if data else shutil.ignore_patterns("data")
    folder = shutil.copytree(installation.folder, tmp_path / "trial", ignore=left_out)
    return Installation(folder, installation.monkeypatch)


@pytest.mark.parametrize("data", [False, True], ids=["without its data", "with its data"])
def test_a_copied_project_does_not_publish_over_the_originals_file(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path, data: bool
) -> None:
    """Both projects name the same published file by its absolute path."""
    dashboards = tmp_path / "dashboards.duckdb"
    config = installation.folder / ".dlt" / "config.toml"
    config.write_text(f"[publish]\npath = '{dashboards}'\n")
    world.book()
    assert installation.command("run", api=api).returncode == 0
    before = rows_of(dashboards, "from sendcloud.pickups")
    trial = copied_project(installation, tmp_path, data=data)
    world.book()

    said = refused(trial, api)

    assert str(dashboards) in said
    assert str(installation.folder / "data" / "warehouse.duckdb") in said
    assert rows_of(dashboards, "from sendcloud.pickups") == before
    assert str(dashboards) in refused(trial, api, "check")
    assert installation.command("run", api=api).returncode == 0
    assert len(rows_of(dashboards, "from sendcloud.pickups")) == 2


def test_a_copied_project_with_a_published_file_of_its_own_runs(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    world.book()
    installation.run(api)
    trial = copied_project(installation, tmp_path, data=True)
    world.book()

    assert trial.run(api).rows_new == 1
    assert trial.run(api).rows_new == 0
    assert len(installation.pickups()) == 1


def test_a_moved_project_publishes_to_the_same_file(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    dashboards = tmp_path / "dashboards.duckdb"
    (installation.folder / ".dlt" / "config.toml").write_text(f"[publish]\npath = '{dashboards}'\n")
    world.book()
    assert installation.command("run", api=api).returncode == 0
    moved = copied_project(installation, tmp_path, data=True)
    shutil.rmtree(installation.folder)
    world.book()

    assert moved.command("run", api=api).returncode == 0
    assert len(rows_of(dashboards, "from sendcloud.pickups")) == 2


def test_a_project_with_a_warehouse_of_its_own_does_not_publish_over_the_file_of_a_lost_project(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    """The original's folder is gone, so only the identity of its warehouse tells the two projects apart."""
    dashboards = tmp_path / "dashboards.duckdb"
    world.book()
    installation.run(api)
    other = copied_project(installation, tmp_path, data=False)
    assert other.run(api).rows_new == 1
    config = f"[publish]\npath = '{dashboards}'\n"
    (installation.folder / ".dlt" / "config.toml").write_text(config)
    assert installation.command("run", api=api).returncode == 0
    shutil.rmtree(installation.folder)
    (other.folder / ".dlt" / "config.toml").write_text(config)
    before = dashboards.read_bytes()

    said = refused(other, api)

    assert str(dashboards) in said
    assert "is the published file of another warehouse" in said
    assert dashboards.read_bytes() == before


def test_the_published_file_of_a_lost_warehouse_becomes_the_warehouse(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """It is the last copy of vanished pickups, states and receipts."""
    world.book()
    installation.loaded(api)
    installation.warehouse.unlink()

    receipt = installation.run(api)

    assert receipt.rows_new == 0
    assert "is missing. It was replaced with the published copy" in str(receipt.warehouse_restored)
    assert len(installation.rows("from sendcloud.pickup_runs")) == 2


@pytest.fixture
def upgraded(installation: Installation) -> Installation:
    """Returns an installation with the warehouse and the published file that version 0.1.0 left."""
    installation.warehouse.parent.mkdir()
    content = gzip.decompress((DATA / "warehouse-of-174e15f.duckdb.gz").read_bytes())
    installation.warehouse.write_bytes(content)
    installation.published.write_bytes(content)
    return installation


MARK = "select warehouse_id, layout_version from sendcloud.pickups_warehouse"


@pytest.mark.parametrize("world", [world_of_0_1()], ids=["0.1.0"])
def test_an_older_installation_gets_one_mark_with_its_next_run(upgraded: Installation, api: Sandbox) -> None:
    upgraded.run(api)

    (mark,) = rows_of(upgraded.warehouse, MARK)
    assert (len(mark["warehouse_id"]), mark["layout_version"]) == (32, 1)
    assert upgraded.rows(MARK) == [mark]
    upgraded.run(api)
    assert upgraded.rows(MARK) == [mark]


@pytest.mark.parametrize("world", [world_of_0_1()], ids=["0.1.0"])
def test_an_older_published_file_with_receipts_that_the_warehouse_does_not_know_stays(
    upgraded: Installation, api: Sandbox
) -> None:
    execute(upgraded.published, "update sendcloud.pickup_runs set run_id = 'x' || run_id")
    before = rows_of(upgraded.published, "select run_id from sendcloud.pickup_runs order by all")

    assert "is the published file of another warehouse" in refused(upgraded, api)
    assert rows_of(upgraded.published, "select run_id from sendcloud.pickup_runs order by all") == before


@pytest.mark.parametrize("world", [world_of_0_1()], ids=["0.1.0"])
def test_a_first_load_of_an_older_version_that_crashed_before_its_receipt_goes_on(
    upgraded: Installation, api: Sandbox
) -> None:
    execute(upgraded.warehouse, "drop table sendcloud.pickup_runs cascade", "drop schema analytics cascade")
    upgraded.published.unlink()

    assert upgraded.run(api).rows_new == 0


def newer(path: Path) -> None:
    execute(path, "update sendcloud.pickups_warehouse set layout_version = 99, program_version = '9.9.0'")


def test_an_older_program_refuses_a_newer_layout_before_it_reads_or_writes(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.loaded(api)
    newer(installation.warehouse)
    before = installation.warehouse.read_bytes()
    with nothing_is_sent_to(api):
        done = installation.command("run", api=api)

    assert done.returncode == 6
    assert "its tables have layout 99, written by version 9.9.0 of this program" in done.stderr
    assert "Install the newer version." in done.stderr
    assert installation.warehouse.read_bytes() == before
    checked = installation.command("check", api=api)
    assert checked.returncode == 6
    assert "layout 99" in checked.stdout


@pytest.mark.parametrize("command", quick(["status", "show carriers", "run"], only=(0, 2)))
def test_readers_refuse_a_newer_layout(installation: Installation, world: World, api: Sandbox, command: str) -> None:
    world.book()
    installation.loaded(api)
    newer(installation.published)

    done: Done = installation.command(*command.split(), api=api)

    assert done.returncode == 6
    assert "layout 99" in done.stderr


@pytest.mark.parametrize("name", ["sendcloud", "analytics"])
def test_a_file_with_the_name_of_a_schema_is_refused(
    installation: Installation, world: World, api: Sandbox, name: str
) -> None:
    """DuckDB can't tell `analytics.pickups` in analytics.duckdb from a table `pickups` of that file."""
    world.book()
    settings = {"DESTINATION__DUCKDB__CREDENTIALS": f"data/{name}.duckdb", "PUBLISH__PATH": f"data/{name}.v1.duckdb"}
    for key in settings:
        assert "DuckDB can't tell the file from the schema of that name" in refused(
            installation, api, **{key: settings[key]}
        )


def tables_of(path: Path) -> list[dict[str, object]]:
    query = "select schema_name, table_name, sql from duckdb_tables() union all "
    return rows_of(
        path, f"{query} select schema_name, view_name, sql from duckdb_views() where not internal order by all"
    )


def test_a_mark_without_a_later_column_is_completed_and_one_with_an_unknown_column_is_read(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """Versions with one layout may differ in the columns of the mark."""
    world.book()
    installation.loaded(api)
    (before,) = rows_of(installation.warehouse, MARK)
    execute(
        installation.warehouse,
        "alter table sendcloud.pickups_warehouse drop column published_file",
        "alter table sendcloud.pickups_warehouse add column of_a_later_version text",
        "update sendcloud.pickups_warehouse set program_version = '0.2.1'",
    )

    installation.run(api)

    assert rows_of(installation.warehouse, MARK) == [before]
    assert rows_of(installation.warehouse, "select published_file from sendcloud.pickups_warehouse") != [
        {"published_file": None}
    ]
