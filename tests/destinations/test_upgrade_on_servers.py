"""Databases and lakes that version 0.1.0 (commit 174e15f) left. The next run renames the columns of the receipts."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pipelines.destinations.filter import PickupFilter
from pipelines.warehouse import read_rows, reading
from sources.sendcloud.sandbox import Sandbox
from tests.support.copies import copied_from_lake
from tests.support.destinations import LAKE, POSTGRES
from tests.support.installation import Installation, rows_of
from tests.support.postgres_database import address as address
from tests.support.postgres_database import ask as ask
from tests.support.version_0_1 import DATA, NEW_NAMES, OLD_NAMES, world_of_0_1

pytestmark = pytest.mark.engines
world = pytest.fixture(world_of_0_1)
MISSED, NEW_WORDS = ["[]", "[8000003]", "[]"], '{"known_carriers": ["brandnew"]}'


@pytest.fixture
def old_server(installation: Installation, ask: Any) -> Installation:
    """Restores a dump of a 0.1.0 database, with a role that may read two views, and a view that depends on ours."""
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed; make test-engines installs it")
    ask(gzip.decompress((DATA / "postgres-of-174e15f.sql.gz").read_bytes()).decode())
    ask("set search_path to public")
    if not ask("select 1 from pg_roles where rolname = 'bi'"):
        ask("create role bi")
    ask("grant usage on schema analytics to bi")
    ask("grant select on analytics.runs, analytics.pickups to bi")
    ask("create view public.mine as select account, new_words from analytics.runs")
    return installation


def columns_of(ask: Any, schema: str) -> set[str]:
    """Returns the columns of `pickup_runs` in the schema."""
    query = f"select column_name from information_schema.columns where table_schema = '{schema}'"
    return {name for (name,) in ask(f"{query} and table_name = 'pickup_runs'")}


def test_upgraded_server_keeps_values_grants_and_dependent_views(
    old_server: Installation, api: Sandbox, ask: Any
) -> None:
    receipt = old_server.run(api, page_size=5)

    assert (receipt.rows_new, receipt.rows_changed) == (0, 0)
    for schema in ("sendcloud", "sendcloud_of_default"):
        assert {*NEW_NAMES} <= columns_of(ask, schema)
        assert not {*OLD_NAMES} & columns_of(ask, schema)
        rows = ask(f"select missed_ids from {schema}.pickup_runs order by started_at")
        assert [missed for (missed,) in rows] == MISSED
    for view in ("runs", "pickups"):
        assert ask(f"select has_table_privilege('bi', 'analytics.{view}', 'select')") == [(True,)]
    assert (NEW_WORDS,) in ask("select new_words from public.mine")


def test_second_run_after_an_upgrade_does_not_recreate_the_views(
    old_server: Installation, api: Sandbox, ask: Any
) -> None:
    views = "select relname, pg_class.oid, xmin::text from pg_class where relnamespace = 'analytics'::regnamespace"
    old_server.run(api, page_size=5)
    before = ask(views)

    old_server.run(api, page_size=5)

    assert ask(views) == before


@pytest.mark.parametrize("command", ["status", "show carriers", "show windows", "report"])
def test_each_reading_command_works_before_the_first_run_after_an_upgrade(
    old_server: Installation, command: str
) -> None:
    """The views are those of the older version until a run replaces them."""
    done = old_server.command(*command.split())

    assert done.returncode == (1 if command == "status" else 0), done.stderr  # the last run was long ago
    assert done.stdout


@pytest.mark.parametrize(
    ("command", "view"), [("show carriers", "carrier_cancellations"), ("show windows", "carrier_windows")]
)
def test_a_view_of_an_older_version_is_not_read(old_server: Installation, ask: Any, command: str, view: str) -> None:
    """A reader computes the views itself if those on the server are outdated."""
    ask(f"alter view analytics.{view} rename carrier to carrier_code")

    done = old_server.command(*command.split())

    assert (done.returncode, done.stderr) == (0, "")


def test_a_role_without_temporary_views_is_asked_to_start_a_run(
    old_server: Installation, ask: Any, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = address.split("/")[3].partition("?")[0]
    ask(f"revoke temporary on database {database} from public")
    ask("drop role if exists reader_of_views; create role reader_of_views login")
    ask("grant usage on schema sendcloud, analytics to reader_of_views")
    ask("grant select on all tables in schema sendcloud, analytics to reader_of_views")
    monkeypatch.setenv(POSTGRES, address.replace("postgres:none@", "reader_of_views:none@"))

    done = old_server.command("show", "windows")
    runs = old_server.command("show", "runs")

    assert (done.returncode, runs.returncode) == (6, 0), runs.stderr
    assert "the view carrier_windows lacks the column is_every_account" in done.stderr
    assert "To update the views: pickups run" in done.stderr


@pytest.fixture
def old_lake(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """Extracts a 0.1.0 lake and configures it in the environment."""
    pytest.importorskip("deltalake", reason="deltalake is not installed; make test-engines installs it")
    with tarfile.open(DATA / "lake-of-174e15f.tar.gz") as archive:
        archive.extractall(installation.folder, filter="data")
    monkeypatch.setenv("PIPELINE__DESTINATION", "delta")
    monkeypatch.setenv(LAKE, str(installation.folder / "lake"))
    return installation


def test_upgraded_lake_keeps_its_values(old_lake: Installation, api: Sandbox, tmp_path: Path) -> None:
    receipt = old_lake.run(api, page_size=5)

    copy = copied_from_lake(old_lake.folder / "lake", tmp_path / "copy.duckdb")
    rows = rows_of(copy, "from sendcloud.pickup_runs order by started_at")
    assert (receipt.rows_new, receipt.rows_changed) == (0, 0)
    assert [row["missed_ids"] for row in rows] == MISSED
    assert rows[1]["unexpected_values"] == NEW_WORDS
    assert not {*OLD_NAMES} & {*rows[0]}


def test_lake_is_read_with_the_new_column_names_before_its_first_run_after_an_upgrade(
    old_lake: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLT_PROJECT_DIR", str(old_lake.folder))

    assert NEW_WORDS in [row["new_words"] for row in read_rows("runs")]
    with reading(only=PickupFilter.parse(carriers=["dhl"])) as session:
        assert session.execute("select missed_ids from sendcloud.pickup_runs order by started_at").fetchall() == [
            ("[]",),
            ("[8000003]",),
        ]
