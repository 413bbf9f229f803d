"""Tests that a run on a lake writes to no folder that isn't ours, and the names of the lake's folders."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from pipelines.warehouse import read_rows, reading
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import Installation, nothing_is_sent_to
from tests.support.version_0_1 import DATA, world_of_0_1

pytest.importorskip("deltalake", reason="deltalake is not installed; make test-engines installs it")

pytestmark = pytest.mark.engines
FOREIGN = {
    "an account's folder": "sendcloud_of_default/pickups/mine.csv",
    "a folder beside the bookkeeping tables": "sendcloud_notes/mine/notes.csv",
}


@pytest.fixture
def lake(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Configures a folder for the lake in the environment and returns its path."""
    monkeypatch.setenv("PIPELINE__DESTINATION", "delta")
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", str(installation.folder / "lake"))
    monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))
    return installation.folder / "lake"


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix != ".lock"}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_folder_ends_the_run_before_anything_is_read(
    installation: Installation, world: World, api: Sandbox, lake: Path, kind: str
) -> None:
    mine = lake / FOREIGN[kind]
    mine.parent.mkdir(parents=True)
    mine.write_text("id\n1\n")
    before = everything_in(lake)
    world.book()

    with nothing_is_sent_to(api):
        done = installation.command("run", api=api)

    assert done.returncode == 3, done
    assert "was not created by this program" in done.stderr
    assert "[schemas] data" in done.stderr
    assert everything_in(lake) == before
    assert installation.command("check", api=api).returncode == 3


def test_a_foreign_folder_with_an_accounts_prefix_is_not_read(
    installation: Installation, world: World, api: Sandbox, lake: Path
) -> None:
    """Tables that dlt did not load are not an account's."""
    import pyarrow as pa
    from deltalake import write_deltalake

    world.book()
    installation.run(api)
    write_deltalake(str(lake / "sendcloud_of_mine" / "pickups"), pa.table({"id": [1]}))

    assert len(read_rows("pickups")) == 1


def test_the_lake_has_one_mark_and_a_newer_layout_is_refused(
    installation: Installation, world: World, api: Sandbox, lake: Path
) -> None:
    world.book()
    for account in ("north", "south"):
        installation.run(api, account=account)
    file = lake / "sendcloud_notes" / "pickups_warehouse.json"
    mark = json.loads(file.read_text())
    assert (len(mark["warehouse_id"]), mark["layout_version"]) == (32, 1)
    file.write_text(json.dumps(mark | {"layout_version": 99, "program_version": "9.9.0"}))

    for command in (["run"], ["status"]):
        with nothing_is_sent_to(api):
            done = installation.command(*command, api=api)
        assert done.returncode == 6, done
        assert "its tables have layout 99, written by version 9.9.0" in done.stderr


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_mark_that_a_crash_left_incomplete_is_written_again(
    installation: Installation, world: World, api: Sandbox, lake: Path, text: str
) -> None:
    file = lake / "sendcloud_notes" / "pickups_warehouse.json"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    world.book()

    installation.run(api)

    assert json.loads(file.read_text())["layout_version"] == 1


@pytest.mark.parametrize("world", [world_of_0_1()], ids=["0.1.0"])
def test_an_older_lake_gets_its_mark_with_the_next_run(installation: Installation, api: Sandbox, lake: Path) -> None:
    with tarfile.open(DATA / "lake-of-174e15f.tar.gz") as archive:
        archive.extractall(installation.folder, filter="data")

    assert installation.run(api).rows_new == 0

    assert json.loads((lake / "sendcloud_notes" / "pickups_warehouse.json").read_text())["layout_version"] == 1


def test_a_lake_can_have_other_names_and_a_changed_name_starts_no_second_lake(
    installation: Installation, world: World, api: Sandbox, lake: Path
) -> None:
    config = installation.folder / ".dlt" / "config.toml"
    config.write_text('[schemas]\ndata = "shop_pickups"\nanalytics = "shop_views"\n')
    world.book()
    installation.run(api)
    world.book()
    installation.run(api)

    assert {path.name for path in lake.iterdir() if path.is_dir()} == {"shop_pickups_of_default", "shop_pickups_notes"}
    assert len(read_rows("pickups")) == 2
    with reading() as session:
        for schema in ("sendcloud", "shop_pickups"):
            assert session.execute(f"select count(*) from {schema}.pickups").fetchall() == [(2,)]
    assert installation.command("models").returncode == 0
    assert (lake / "shop_views" / "pickups").is_dir()

    config.write_text('[schemas]\ndata = "other"\n')
    with nothing_is_sent_to(api):
        done = installation.command("run", api=api)
    assert done.returncode == 3
    assert f"the pickups in {lake} are in schema 'shop_pickups'" in done.stderr
