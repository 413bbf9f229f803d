"""A lake as the place to write: what is particular to Delta tables in a folder. The promise is told elsewhere:
`make test-places` runs its tests with TESTED_DESTINATION=filesystem."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.warehouse import read
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.copies import copied_from_lake
from tests.support.destinations import read_by_people
from tests.support.installation import Installation, as_rows, rows_of
from tests.support.worlds import NOW

deltalake = pytest.importorskip("deltalake", reason="Delta is an extra: make test-engines has it")

pytestmark = pytest.mark.engines
PICKUPS = "select * exclude (_dlt_load_id) from sendcloud.pickups order by account, id"


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for it, in the environment."""
    monkeypatch.setenv("PIPELINE__DESTINATION", "filesystem")
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", str(tmp_path / "lake"))
    return tmp_path / "lake"


def in_it(lake: Path) -> list[dict[str, Any]]:
    return rows_of(copied_from_lake(lake, lake.with_name("copy.duckdb")), PICKUPS)


def test_two_machines_load_different_accounts_at_the_same_time(installation: Installation, lake: Path) -> None:
    worlds = {name: World.seeded(200, seed=seed, until=NOW) for seed, name in enumerate(("north", "South-2"))}
    with serve(worlds["north"]) as north, serve(worlds["South-2"]) as south:
        running = [
            installation.begin("run", api=api, account=name, page_size=20, pages_per_package=2)
            for name, api in {"north": north, "South-2": south}.items()
        ]
        for process in running:
            said, wrong = process.communicate(timeout=300)
            assert process.returncode == 0, said + wrong

    expected = [row for name, world in worlds.items() for row in as_rows(world.records(), name)]
    assert in_it(lake) == sorted(expected, key=lambda row: (row["account"], row["id"]))


def test_the_same_account_on_two_machines_is_loaded_once(
    installation: Installation, world: World, api: Sandbox, lake: Path
) -> None:
    world.book()
    installation.run(api)
    api.fault(faults.slow(8), times=1)
    first = installation.begin("run", api=api)
    try:
        while not (lake / "sendcloud_of_default.holder").exists():
            assert first.poll() is None
        second = installation.process("run", api=api)
    finally:
        first.communicate(timeout=60)

    assert (first.returncode, second.returncode) == (0, 5)
    assert "Another run is under way (process" in second.stderr


def test_a_run_that_died_before_dlt_wrote_anything_stands_in_nobodys_way(
    installation: Installation, world: World, api: Sandbox, lake: Path
) -> None:
    world.book()
    (lake / "sendcloud_of_default").mkdir(parents=True)

    installation.run(api)

    assert in_it(lake) == as_rows(world.records())


def test_every_view_is_what_a_file_gives(
    installation: Installation, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines import models

    world, some = World.seeded(600, seed=9, until=NOW), {"carriers": ["dhl", "ups"], "since": NOW - timedelta(days=60)}
    names = [path.stem for path in models.views() if path.stem != "runs"]
    with serve(world) as api:
        installation.run(api)
        monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))
        here = {(name, bool(only)): read_by_people(name, only) for name in names for only in ({}, some)}
        assert lake.is_dir()
        monkeypatch.setenv("PIPELINE__DESTINATION", "duckdb")
        installation.run(api)
        for (name, is_narrow), rows in here.items():
            assert rows == read_by_people(name, some if is_narrow else {}), name
            assert rows or name == "quarantine", name


def test_status_counts_what_lies_in_the_lake(
    installation: Installation, world: World, api: Sandbox, lake: Path
) -> None:
    world.book()
    world.change(world.book(), carrier=None)
    installation.run(api)
    assert lake.is_dir()

    (account,) = json.loads(installation.command("status", "--json").stdout)

    assert (account["pickups"], account["quarantined"]) == (1, 1)


def test_small_files_become_few_and_nothing_is_lost(
    installation: Installation, world: World, api: Sandbox, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines import lake_tables

    monkeypatch.setattr(lake_tables, "EVERY", 1)
    for _ in range(4):
        world.book()
        installation.run(api)
        world.advance(hours=1)

    assert in_it(lake) == as_rows(world.records())
    assert len(deltalake.DeltaTable(lake / "sendcloud_of_default" / "pickups").file_uris()) == 1


def test_a_run_touches_no_table_of_another_account(
    installation: Installation, world: World, api: Sandbox, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither to look at, when it checks its own, nor to make few files of many: another machine may be writing it."""
    from pipelines import lake_tables

    for name in ("north", "south", "south"):
        world.book()
        installation.run(api, account=name)
    theirs = lake / "sendcloud_of_south" / "pickups"
    for file in theirs.glob("*.parquet"):
        file.unlink()
    before = deltalake.DeltaTable(theirs).version()
    monkeypatch.setattr(lake_tables, "EVERY", 1)
    world.book()

    receipt = installation.run(api, account="north")

    assert (receipt.outcome, receipt.rows_new, receipt.checks_failed) == ("succeeded", 3, {})
    assert deltalake.DeltaTable(theirs).version() == before


@pytest.mark.usefixtures("lake")
def test_what_is_held_still_for_a_report_is_read_as_it_was_then(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.lake import lake as configured
    from pipelines.project import inside

    first = world.book()
    installation.run(api)
    with inside(installation.folder):
        place = configured()
    with place.held_still() as still:
        world.change(first, pickup_status="Cancelled")
        world.book()
        world.advance(hours=1)
        installation.run(api)
        installation.run(api, account="another")
        monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))
        now = read("pickups")
        with monkeypatch.context() as kernel:
            kernel.setenv("PICKUPS_LAKE_VERSIONS", still["PICKUPS_LAKE_VERSIONS"])
            then, receipts = read("pickups"), read("runs")

    assert (len(now), now["is_cancelled"].sum()) == (4, 2)
    assert then[["pickup_id", "is_cancelled"]].to_dict("records") == [{"pickup_id": first, "is_cancelled": False}]
    assert len(receipts) == 1


def test_a_folder_may_have_a_space_and_letters_of_its_own(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE__DESTINATION", "filesystem")
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", str(tmp_path / "My shöp 100%"))
    for _ in range(2):
        world.book()
        assert installation.run(api).rows_new == 1

    monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))
    assert len(read("pickups")) == 2


def test_a_folder_whose_name_would_stand_for_others_is_refused(
    installation: Installation, api: Sandbox, tmp_path: Path
) -> None:
    theirs = {"PIPELINE__DESTINATION": "filesystem", "DESTINATION__FILESYSTEM__BUCKET_URL": str(tmp_path / "a[b]")}

    done = installation.process("run", api=api, **theirs)

    assert done.returncode == 3, done.stderr
    assert "bucket_url: " in done.stderr
    assert "has a '['" in done.stderr
    assert not (tmp_path / "a[b]").exists()


def test_a_lake_that_cannot_be_written_to_is_told(
    installation: Installation, world: World, api: Sandbox, lake: Path
) -> None:
    world.book()
    lake.write_text("a file")

    done = installation.process("run", api=api)

    assert done.returncode == 6, done.stderr
    assert str(lake) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_built_view_that_cannot_take_its_place_leaves_the_old_one_there(tmp_path: Path) -> None:
    from pipelines.built import _replace

    (tmp_path / "pickups").mkdir()
    (tmp_path / "pickups" / "old.parquet").write_text("rows")

    with pytest.raises(FileNotFoundError):
        _replace(tmp_path / ".pickups.gone", tmp_path / "pickups")

    assert [path.name for path in (tmp_path / "pickups").iterdir()] == ["old.parquet"]


@pytest.mark.slow
def test_a_report_is_made_from_a_lake(installation: Installation, lake: Path, tmp_path: Path) -> None:
    pytest.importorskip("nbclient", reason="a report needs the notebooks' libraries")
    with serve(World.seeded(300, seed=2, until=NOW)) as api:
        installation.run(api)
    assert lake.is_dir()

    done = installation.process("report", "--to", str(tmp_path / "page.html"))

    assert done.returncode == 0, done.stderr
    assert "300 pickups" in (tmp_path / "page.html").read_text()
