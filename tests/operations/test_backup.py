"""Tests `pickups backup`, and runs the commands of docs/how-to/back-up.md word for word."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from pipelines.destinations.duckdb import copies
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.cases import quick
from tests.support.damages import truncate, zero_the_blocks_of_pickups
from tests.support.installation import REPOSITORY, Installation, as_rows, rows_of

PAGE = (REPOSITORY / "docs" / "how-to" / "back-up.md").read_text()
BACK_UP, RESTORE = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
NAME = re.compile(r"pickups-\d{8}T\d{6}Z\.duckdb")


@pytest.fixture
def shop(installation: Installation, world: World, api: Sandbox) -> Installation:
    """Returns an installation that has loaded twelve pickups, one per day, of which the last is open."""
    for days in range(12, 0, -1):
        world.book(created_at=world.clock - timedelta(days=days))
    installation.loaded(api, page_size=5)
    return installation


def run_shell(commands: str, folder: Path) -> None:
    """Runs the commands with a program `pickups` that is this interpreter's."""
    program = folder.parent / "bin" / "pickups"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m pipelines "$@"\n')
    program.chmod(0o755)
    variables = {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        check=True,
        timeout=120,
        env={**os.environ, **variables, "DLT_PROJECT_DIR": str(folder)},
    )


def make_changes_after_backup(world: World, api: Sandbox, installation: Installation) -> None:
    """Makes changes that only a run after the backup has read, and changes that no run has read."""
    world.advance(hours=5)
    world.cancel(world.records()[0]["id"])
    world.book()
    installation.run(api, page_size=5)
    world.advance(hours=5)
    world.cancel(world.records()[1]["id"])
    world.book()


@pytest.mark.slow
@pytest.mark.parametrize("lost", quick(["the folder", "nothing", "the file, but not its log"]))
def test_the_next_run_continues_from_a_restored_backup(
    shop: Installation, world: World, api: Sandbox, lost: str
) -> None:
    run_shell(BACK_UP, shop.folder)
    make_changes_after_backup(world, api, shop)
    if lost == "the folder":
        shutil.rmtree(shop.folder / "data")
    elif lost != "nothing":
        shop.warehouse.write_bytes(shop.warehouse.read_bytes()[:5000])
        shop.warehouse.with_name("warehouse.duckdb.wal").write_bytes(b"of another file" * 100)

    run_shell(RESTORE, shop.folder)
    asked = len(api.requests)
    receipt = shop.run(api, page_size=5)

    assert shop.pickups() == as_rows(world.records())
    assert (receipt.rows_new, receipt.is_first_read) == (2, False)
    assert len(api.requests) - asked <= 3  # not all 14 pickups, because the file holds the frontier


def test_a_backup_is_counted_and_only_the_newest_are_kept(shop: Installation, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    others = folder / "pickups-20200101T000000Z.duckdb", folder / "pickups-notes.duckdb", folder / "notes.txt"
    folder.mkdir()
    for other in others[1:]:
        other.write_text("of the person's own")
    with duckdb.connect(str(others[0])) as connection:  # has such a name, but is no backup
        connection.execute("create table orders as select 1 as id")
    old = [folder / f"pickups-2026010{day}T000000Z.duckdb" for day in (1, 2, 3)]
    for path in old:
        shutil.copy(shop.published, path)

    done = shop.command("backup", "--to", str(folder), "--keep", "2")

    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    path = Path(first.split(": ")[0])
    assert NAME.fullmatch(path.name)
    assert "12 pickups of default, newest good run 20" in first
    assert rest == [f"removed {old[1]}", f"removed {old[0]}"]
    assert sorted(folder.iterdir()) == sorted([path, old[2], *others])
    assert rows_of(path, "select count(*) as n from analytics.pickups") == [{"n": 12}]


def test_a_copy_of_another_warehouse_is_refused(shop: Installation, api: Sandbox, tmp_path: Path) -> None:
    """Both projects call their account `default`, so only the mark tells the warehouses apart."""
    other = Installation(tmp_path / "other", shop.monkeypatch)
    (other.folder / ".dlt").mkdir(parents=True)
    other.run(api)
    before = shop.warehouse.read_bytes()

    done = shop.command("restore", "--from", str(other.published), "--yes")

    assert done.returncode == 6
    assert f"it is a copy of another warehouse, {other.warehouse} (created 20" in done.stderr
    assert shop.warehouse.read_bytes() == before

    aside = [path.rename(path.with_suffix(".aside")) for path in (shop.warehouse, shop.published)]
    assert shop.command("restore", "--from", str(other.published), "--yes").returncode == 0
    assert aside[0].read_bytes() == before


@pytest.mark.parametrize("damage", [truncate, zero_the_blocks_of_pickups])
def test_a_damaged_published_file_is_no_backup_and_removes_none(
    shop: Installation, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """The message names the published file, and not the hidden copy that was read."""
    earlier = shutil.copy(shop.published, tmp_path / "pickups-20260101T000000Z.duckdb")
    damage(shop.published)

    done = shop.command("backup", "--to", str(tmp_path), "--keep", "1")

    assert done.returncode == 6
    assert f"{shop.published}: it is damaged (IO Error: " in done.stderr
    assert ".new" not in done.stderr
    assert done.stderr.endswith(
        "No backup was made. To replace a damaged published file with a copy of the warehouse, run: pickups run\n"
    )
    assert list(tmp_path.glob("*.duckdb*")) == [earlier]


def test_without_published_pickups_there_is_nothing_to_back_up(installation: Installation, tmp_path: Path) -> None:
    assert installation.command("backup", "--to", str(tmp_path / "backups")).returncode == 3
    assert not (tmp_path / "backups").exists()


@pytest.mark.parametrize(
    ("destination", "instead"), [("postgres", "with pg_dump, and restore it with pg_restore"), ("delta", "time travel")]
)
def test_on_a_server_or_a_lake_the_commands_say_what_to_use_instead(
    installation: Installation, destination: str, instead: str
) -> None:
    for words in (["backup", "--to", "backups"], ["restore", "--yes"]):
        done = installation.command(*words, PIPELINE__DESTINATION=destination)

        assert done.returncode == 3
        assert f"is {destination!r}, but this command copies only DuckDB files" in done.stderr
        assert instead in done.stderr


@pytest.mark.slow
def test_a_backup_can_be_made_during_a_run(shop: Installation, world: World, api: Sandbox, tmp_path: Path) -> None:
    made: list[int] = []

    def back_up(_api: Sandbox, _number: int) -> None:
        made.append(copies.make_backup(shop.published, tmp_path / str(len(made)), None).contents.pickups)

    api.on_request = back_up
    world.book()
    shop.run(api)

    assert made[0] == 12
    assert len(shop.pickups()) == 13


@pytest.mark.slow
def test_the_published_file_can_be_copied_while_a_run_replaces_it(
    shop: Installation, world: World, api: Sandbox
) -> None:
    """The copy is the complete old or new file, because a run replaces the file and never modifies it."""
    with shop.published.open("rb") as being_copied:
        world.book()
        shop.run(api)
        copy = shop.folder / "copy.duckdb"
        copy.write_bytes(being_copied.read())

    moved = Installation(shop.folder.parent / "elsewhere", shop.monkeypatch)
    (moved.folder / ".dlt").mkdir(parents=True)
    moved.published.parent.mkdir()
    moved.published.write_bytes(copy.read_bytes())  # as on another machine, the first run takes it as its warehouse
    moved.run(api)
    assert moved.pickups() == as_rows(world.records())
