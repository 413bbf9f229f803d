"""Tests that our tables are found in a file of any name, and are not confused with other tables and views."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from pipelines.destinations.duckdb.session import open_database, quote_path
from pipelines.destinations.schemas import SchemaNames
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import Installation


@pytest.mark.duckdb2
@pytest.mark.parametrize("file_name", ["pickups", "a.b", "north south", 'ware"house', "it's", "main"])
def test_tables_are_found_in_a_file_of_any_name(tmp_path: Path, file_name: str) -> None:
    other = tmp_path / "sendcloud.duckdb"
    with open_database(tmp_path / f"{file_name}.duckdb") as session:
        session.execute("create schema sendcloud")
        session.execute("create table sendcloud.pickups (id bigint, carrier text)")
        session.execute("create view sendcloud.seen as select id from sendcloud.pickups")
        session.execute("create table pickup_runs (id bigint)")
        session.connection.execute(f"attach '{quote_path(other)}' as elsewhere")
        session.connection.execute("create schema elsewhere.sendcloud")
        session.connection.execute("create table elsewhere.sendcloud.pickups_quarantine (id bigint)")

        found = {name: session.has_table(name) for name in ("pickups", "seen", "pickup_runs", "pickups_quarantine")}

        assert found == {"pickups": True, "seen": False, "pickup_runs": False, "pickups_quarantine": False}
        assert session.columns("pickups") == ["id", "carrier"]
        assert session.columns("seen") == ["id"]
        assert session.columns("pickups_quarantine") == []


@pytest.mark.duckdb2
def test_looking_up_a_table_leaves_no_transaction_open(tmp_path: Path) -> None:
    """An open transaction would keep other connections from writing a checkpoint."""
    with open_database(tmp_path / "warehouse.duckdb", names=SchemaNames("logistics")) as session:
        session.connection.execute("create schema logistics")
        session.connection.execute("create table logistics.pickups as select range as id from range(10)")

        assert session.has_table("pickups")
        assert not session.has_table("pickup_runs")
        with open_database(tmp_path / "warehouse.duckdb") as another:
            another.connection.execute("delete from logistics.pickups")
            another.connection.execute("checkpoint")
        session.connection.execute("begin")
        assert not session.has_table("pickup_runs")
        assert session.columns("pickups") == ["id"]
        session.connection.execute("commit")


@pytest.mark.duckdb2
@pytest.mark.parametrize("schema", ["analyt\u0130cs", "SENDCLOUD_STAG\u0130NG"])
def test_a_schema_whose_name_differs_by_a_letter_outside_ascii_is_left_alone(
    installation: Installation, world: World, api: Sandbox, schema: str
) -> None:
    """DuckDB's `lower` turns this letter, a capital I with a dot, into an i, but Python's does not."""
    world.book()
    installation.loaded(api)
    with duckdb.connect(str(installation.warehouse)) as connection:
        connection.execute(f'create schema "{schema}"')
        connection.execute(f'create table "{schema}".pickups as select 7 as number')
        connection.execute(f'create table "{schema}".rates as select 8 as number')

    world.book()
    receipt = installation.run(api)

    assert (receipt.outcome, receipt.rows_new) == ("succeeded", 1)
    assert installation.rows(f'from "{schema}".pickups union all from "{schema}".rates') == [
        {"number": 7},
        {"number": 8},
    ]
