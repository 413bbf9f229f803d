"""Tests the way back to an older version: the new version backs up and restores the older version's files."""

from __future__ import annotations

import gzip
from pathlib import Path

import duckdb
import pytest

from sources.sendcloud.sandbox import World, serve
from tests.operations.test_upgrade import world_of_first_version
from tests.support.cases import quick
from tests.support.installation import Installation
from tests.support.version_0_1 import DATA, world_of_0_1

WORLDS = {"f3503dc": world_of_first_version, "174e15f": world_of_0_1}
COLUMNS = """
    select schema_name || '.' || table_name as name, list_sort(list(column_name)) as columns
    from duckdb_columns()
    where schema_name = 'sendcloud' and table_name != 'pickups_warehouse'
    group by all
    order by name
"""


def content(path: Path) -> dict[str, object]:
    """Returns the columns of every table except the mark, and the pickups."""
    with duckdb.connect(str(path), read_only=True) as connection:
        columns = connection.execute(COLUMNS).fetchall()
        pickups = connection.execute("select * from sendcloud.pickups order by account, id").fetchall()
    return {"columns": columns, "pickups": pickups}


@pytest.fixture(params=quick(WORLDS, only=(list(WORLDS).index("174e15f"),)))
def commit(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def old(installation: Installation, commit: str) -> Installation:
    """Returns an installation with the files that this commit's last run left."""
    installation.published.parent.mkdir()
    for path in (installation.warehouse, installation.published):
        path.write_bytes(gzip.decompress((DATA / f"warehouse-of-{commit}.duckdb.gz").read_bytes()))
    return installation


def test_a_backup_from_before_the_upgrade_brings_back_the_old_tables(
    old: Installation, commit: str, tmp_path: Path
) -> None:
    """The new version makes the backup before its first run. After the restore, the next run upgrades again.

    Older versions had no mark. The restore keeps the warehouse's mark, by which the run recognizes the published file.
    """
    before = content(old.warehouse)
    assert old.command("backup", "--to", str(tmp_path)).returncode == 0
    (backup,) = tmp_path.glob("pickups-*.duckdb")
    world: World = WORLDS[commit]()
    with serve(world) as api:
        old.run(api)
        upgraded = content(old.warehouse)

        restored = old.command("restore", "--from", str(backup), "--yes")

        assert (restored.returncode, restored.stderr) == (0, "")
        assert content(old.warehouse) == before != upgraded
        old.run(api)
    assert content(old.warehouse)["columns"] == upgraded["columns"]
    (kept,) = old.warehouse.parent.glob("warehouse.duckdb.replaced-*")
    assert content(kept) == upgraded
