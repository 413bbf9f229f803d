"""Tests that no command overwrites a file or folder that this program did not create."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.export.manifest import check_folder
from pipelines.report.html import is_own_page
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.destinations import of_files
from tests.support.installation import Installation, nothing_is_sent_to

pytestmark = of_files
MINE = "<!DOCTYPE html>\n<html><head><title>My own dashboard</title></head></html>\n"
# the first lines of a page of version 0.1.0
PAGE_OF_0_1 = (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    "<title>Sendcloud pickups, 2026-11-28</title>\n<style>\n"
)


@pytest.mark.parametrize("at_default", [False, True])
def test_a_report_does_not_replace_a_file_of_somebody_else(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path, at_default: bool
) -> None:
    world.book()
    installation.loaded(api)
    page = installation.folder / "data" / "report" / "index.html" if at_default else tmp_path / "page.html"
    page.parent.mkdir(exist_ok=True)
    page.write_text(MINE)

    done = installation.command("report", *([] if at_default else ["--to", str(page)]))

    assert done.returncode == 3
    assert f"{page} was not created by this program" in done.stderr
    assert "Specify another file (--to FILE)." in done.stderr
    assert page.read_text() == MINE


def test_a_page_of_an_older_version_is_recognized_by_its_title(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(PAGE_OF_0_1)
    assert is_own_page(page)
    page.write_text(f"Notes: {PAGE_OF_0_1}")
    assert not is_own_page(page)


def test_an_export_does_not_replace_a_folder_of_somebody_else(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    world.book()
    installation.loaded(api)
    (tmp_path / "lake" / "runs").mkdir(parents=True)
    (tmp_path / "lake" / "runs" / "mine.csv").write_text("id\n1\n")

    done = installation.command("models", "--to", str(tmp_path / "lake"))

    assert done.returncode == 3
    assert f"{tmp_path}/lake/runs was not written by an earlier export" in done.stderr
    assert [path.name for path in tmp_path.glob("lake/**/*")] == ["runs", "mine.csv"]


def test_a_second_export_replaces_the_first_beside_files_of_somebody_else(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    world.book()
    installation.loaded(api)
    (tmp_path / "lake" / "orders").mkdir(parents=True)
    for _ in range(2):
        assert installation.command("models", "--to", str(tmp_path / "lake")).returncode == 0
    assert (tmp_path / "lake" / "orders").is_dir()


MANIFEST_OF_0_1 = '{"built_at": "2026-11-28T09:00:00Z", "engine": "duckdb", "master": null, "rows": {"pickups": 3}}'


def test_a_manifest_of_an_older_version_vouches_for_the_views_that_it_names() -> None:
    """Version 0.1.0 did not have the view `later`, so a folder of that name is somebody else's."""
    assert check_folder("there", ["_built.json", "pickups"], MANIFEST_OF_0_1, ["pickups"])
    assert not check_folder("there", ["_built.json", "pickups"], MANIFEST_OF_0_1, ["pickups", "later"])
    with pytest.raises(Exception, match="there/later was not written by an earlier export"):
        check_folder("there", ["_built.json", "later"], MANIFEST_OF_0_1, ["pickups", "later"])
    with pytest.raises(Exception, match=r"there/_built\.json was not written by an earlier export"):
        check_folder("there", ["_built.json"], '{"of": "somebody else"}', ["pickups"])


@pytest.mark.parametrize(("name", "content"), [("uv.lock", "version = 1\n"), ("uv.holder", "mine\n")])
def test_a_file_with_the_name_of_the_warehouses_lock_stays_as_it_was(
    installation: Installation, world: World, api: Sandbox, name: str, content: str
) -> None:
    """Acquiring a lock empties its file: a warehouse `uv.duckdb` emptied the `uv.lock` beside it."""
    world.book()
    (installation.folder / name).write_text(content)

    with nothing_is_sent_to(api):
        done = installation.command("run", api=api, DESTINATION__DUCKDB__CREDENTIALS="uv.duckdb")

    assert done.returncode == 3
    assert f"{installation.folder / name} was not created by this program" in done.stderr
    assert (installation.folder / name).read_text() == content


def test_a_link_in_the_place_of_the_holder_file_is_not_followed(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    """In a folder that several users may write to, one of them could name any file that this user can create."""
    world.book()
    installation.warehouse.parent.mkdir()
    installation.warehouse.with_suffix(".holder").symlink_to(tmp_path / "elsewhere")

    installation.run(api)

    assert not (tmp_path / "elsewhere").exists()


def test_a_link_in_the_place_of_the_lock_is_named(installation: Installation, api: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch(0o644)
    installation.warehouse.parent.mkdir()
    lock = installation.warehouse.with_suffix(".lock")
    lock.symlink_to(tmp_path / "elsewhere")

    with nothing_is_sent_to(api):
        done = installation.command("run", api=api)

    assert done.returncode == 6
    assert f"{lock}: " in done.stderr
    assert "The lock file is a link, which another user may have made. Remove it." in done.stderr
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o644


def test_the_demo_removes_only_what_an_earlier_demo_wrote(installation: Installation) -> None:
    folder = installation.folder / "data" / "demo"
    (folder / ".dlt-pipelines" / "old").mkdir(parents=True)
    (folder / "mine.csv").write_text("id\n1\n")

    assert installation.command("demo", "--pickups", "20").returncode == 0

    assert (folder / "mine.csv").read_text() == "id\n1\n"
    assert not (folder / ".dlt-pipelines" / "old").exists()


def test_schedule_files_and_a_new_project_never_replace_a_file(installation: Installation, tmp_path: Path) -> None:
    for name in ("sendcloud-pickups.service", ".gitignore"):
        (tmp_path / name).write_text("mine\n")

    assert installation.command("schedule", "systemd", "--to", str(tmp_path)).returncode == 6
    assert installation.command("init", str(tmp_path)).returncode == 0

    assert (tmp_path / "sendcloud-pickups.service").read_text() == "mine\n"
    assert (tmp_path / ".gitignore").read_text() == "mine\n"
