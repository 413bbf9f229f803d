"""Features of Delta tables in a folder.

`make test-places` tests the promise with Delta tables: it runs the promise's tests with TESTED_DESTINATION=delta.
"""

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

deltalake = pytest.importorskip("deltalake", reason="deltalake is not installed; make test-engines installs it")

pytestmark = pytest.mark.engines
PICKUPS = "select * exclude (_dlt_load_id) from sendcloud.pickups order by account, id"


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Configures a new folder for the lake in the environment and returns its path."""
    monkeypatch.setenv("PIPELINE__DESTINATION", "delta")
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", str(tmp_path / "lake"))
    return tmp_path / "lake"


def pickups_in_lake(lake: Path) -> list[dict[str, Any]]:
    return rows_of(copied_from_lake(lake, lake.with_name("copy.duckdb")), PICKUPS)


def test_two_machines_load_different_accounts_concurrently(installation: Installation, lake: Path) -> None:
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
    assert pickups_in_lake(lake) == sorted(expected, key=lambda row: (row["account"], row["id"]))


def test_second_machine_cannot_load_an_account_while_the_first_loads_it(
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


def test_run_that_crashed_before_dlt_wrote_anything_does_not_block_the_next_run(
    installation: Installation, world: World, api: Sandbox, lake: Path
) -> None:
    world.book()
    (lake / "sendcloud_of_default").mkdir(parents=True)

    installation.run(api)

    assert pickups_in_lake(lake) == as_rows(world.records())


LAST_MONTHS = {"since": NOW - timedelta(days=60), "until": NOW - timedelta(days=2)}
FILTERS: list[dict[str, Any]] = [
    {},
    {"carriers": ["dhl", "ups"], **LAST_MONTHS},
    {"accounts": ["default"], "countries": ["NL", "DE"], **LAST_MONTHS, "by": "booking"},
]


def test_views_of_a_lake_equal_the_views_of_a_duckdb_file(
    installation: Installation, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.analytics.views import view_files

    world = World.seeded(600, seed=9, until=NOW)
    names = [path.stem for path in view_files() if path.stem != "runs"]
    with serve(world) as api:
        installation.run(api)
        monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))
        here = {(name, n): read_by_people(name, only) for name in names for n, only in enumerate(FILTERS)}
        assert lake.is_dir()
        monkeypatch.setenv("PIPELINE__DESTINATION", "duckdb")
        installation.run(api)
        for (name, number), rows in here.items():
            assert rows == read_by_people(name, FILTERS[number]), name
            assert rows or name in ("quarantine", "upcoming_pickups", "stuck_pickups"), name


def test_export_of_some_pickups_does_not_go_where_readers_expect_all(
    installation: Installation, world: World, api: Sandbox, lake: Path, tmp_path: Path
) -> None:
    world.book()
    installation.run(api)

    for words in ((), ("--to", str(lake / "analytics")), ("--engine", "spark", "--to", str(tmp_path / "some"))):
        done = installation.command("models", "--country", "NL", *words)
        assert done.returncode == 3
        assert done.stderr.startswith("pickups: ")
    assert not (lake / "analytics").exists()
    assert installation.command("models", "--country", "NL", "--to", str(tmp_path / "some")).returncode == 0


def test_status_counts_the_rows_in_the_lake(installation: Installation, world: World, api: Sandbox, lake: Path) -> None:
    world.book()
    world.change(world.book(), carrier=None)
    installation.run(api)
    assert lake.is_dir()

    (account,) = json.loads(installation.command("status", "--json").stdout)

    assert (account["pickups"], account["quarantined"]) == (1, 1)


def test_small_files_are_compacted_without_loss_of_rows(
    installation: Installation, world: World, api: Sandbox, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.destinations.delta import tables

    monkeypatch.setattr(tables, "COMPACT_EVERY_VERSIONS", 1)
    for _ in range(4):
        world.book()
        installation.run(api)
        world.advance(hours=1)

    assert pickups_in_lake(lake) == as_rows(world.records())
    assert len(deltalake.DeltaTable(lake / "sendcloud_of_default" / "pickups").file_uris()) == 1


def test_run_neither_reads_nor_compacts_tables_of_another_account(
    installation: Installation, world: World, api: Sandbox, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine may be writing these tables, so neither the checks nor the compaction may touch them."""
    from pipelines.destinations.delta import tables

    for name in ("north", "south", "south"):
        world.book()
        installation.run(api, account=name)
    theirs = lake / "sendcloud_of_south" / "pickups"
    for file in theirs.glob("*.parquet"):
        file.unlink()
    before = deltalake.DeltaTable(theirs).version()
    monkeypatch.setattr(tables, "COMPACT_EVERY_VERSIONS", 1)
    world.book()

    receipt = installation.run(api, account="north")

    assert (receipt.outcome, receipt.rows_new, receipt.checks_failed) == ("succeeded", 3, {})
    assert deltalake.DeltaTable(theirs).version() == before


@pytest.mark.usefixtures("lake")
def test_snapshot_for_a_report_stays_unchanged_during_later_runs(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.config.project import project_context
    from pipelines.destinations.delta.backend import delta_backend as configured
    from pipelines.destinations.schemas import DEFAULT_NAMES

    first = world.book()
    installation.run(api)
    with project_context(installation.folder):
        place = configured(DEFAULT_NAMES)
    with place.snapshot() as still:
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


def test_lake_folder_may_contain_spaces_percent_signs_and_non_ascii_letters(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE__DESTINATION", "delta")
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", str(tmp_path / "My shöp 100%"))
    for _ in range(2):
        world.book()
        assert installation.run(api).rows_new == 1

    monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))
    assert len(read("pickups")) == 2


def test_lake_folder_whose_name_is_a_glob_pattern_is_refused(
    installation: Installation, api: Sandbox, tmp_path: Path
) -> None:
    theirs = {"PIPELINE__DESTINATION": "delta", "DESTINATION__FILESYSTEM__BUCKET_URL": str(tmp_path / "a[b]")}

    done = installation.process("run", api=api, **theirs)

    assert done.returncode == 3, done.stderr
    assert "bucket_url: " in done.stderr
    assert "contains '['" in done.stderr
    assert not (tmp_path / "a[b]").exists()


def test_lake_that_cannot_be_written_is_reported_in_one_line(
    installation: Installation, world: World, api: Sandbox, lake: Path
) -> None:
    world.book()
    lake.write_text("a file")

    done = installation.process("run", api=api)

    assert done.returncode == 6, done.stderr
    assert str(lake) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_old_exported_view_remains_if_the_new_view_cannot_replace_it(tmp_path: Path) -> None:
    from pipelines.export.parquet import _replace

    (tmp_path / "pickups").mkdir()
    (tmp_path / "pickups" / "old.parquet").write_text("rows")

    with pytest.raises(FileNotFoundError):
        _replace(tmp_path / ".pickups.gone", tmp_path / "pickups")

    assert [path.name for path in (tmp_path / "pickups").iterdir()] == ["old.parquet"]


@pytest.mark.slow
def test_report_can_be_created_from_a_lake(installation: Installation, lake: Path, tmp_path: Path) -> None:
    with serve(World.seeded(300, seed=2, until=NOW)) as api:
        installation.run(api)
    assert lake.is_dir()

    done = installation.process("report", "--to", str(tmp_path / "page.html"))

    assert done.returncode == 0, done.stderr
    assert "1 account, 300 pickups" in (tmp_path / "page.html").read_text()
