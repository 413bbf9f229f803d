"""Runs the commands of docs/how-to/recover.md word for word: back up, restore, replace a damaged warehouse."""

from __future__ import annotations

import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.cases import quick
from tests.support.installation import REPOSITORY, Installation, as_rows

PAGE = (REPOSITORY / "docs" / "how-to" / "recover.md").read_text()
BACK_UP, RESTORE, REPLACE = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def shop(installation: Installation, world: World, api: Sandbox) -> Installation:
    """Returns an installation that has loaded twelve pickups, one per day, of which the last is open.

    The command of the page has backed it up.
    """
    for days in range(12, 0, -1):
        world.book(created_at=world.clock - timedelta(days=days))
    installation.run(api, page_size=5)
    run_shell(BACK_UP, installation.folder)
    return installation


def run_shell(commands: str, folder: Path) -> None:
    subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=folder, check=True, timeout=30)


def make_changes_after_backup(world: World, api: Sandbox, installation: Installation) -> None:
    """Makes changes that only a run after the backup has read, and changes that no run has read."""
    world.advance(hours=5)
    world.cancel(world.records()[0]["id"])
    world.book()
    installation.run(api, page_size=5)
    world.advance(hours=5)
    world.cancel(world.records()[1]["id"])
    world.book()


@pytest.mark.parametrize("lost", quick(["the folder", "nothing", "the file, but not its log"]))
def test_the_next_run_continues_from_a_restored_backup(
    shop: Installation, world: World, api: Sandbox, lost: str
) -> None:
    make_changes_after_backup(world, api, shop)
    if lost == "the folder":
        subprocess.run(["rm", "-r", str(shop.folder / "data")], check=True)
    elif lost != "nothing":
        shop.warehouse.write_bytes(shop.warehouse.read_bytes()[:5000])
        shop.warehouse.with_name("warehouse.duckdb.wal").write_bytes(b"of another file" * 100)

    run_shell(RESTORE, shop.folder)
    asked = len(api.requests)
    receipt = shop.run(api, page_size=5)

    assert shop.pickups() == as_rows(world.records())
    assert (receipt.rows_new, receipt.is_first_read) == (2, False)
    assert len(api.requests) - asked <= 3  # not all 14 pickups, because the file holds the frontier


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
    moved.warehouse.parent.mkdir()
    moved.warehouse.write_bytes(copy.read_bytes())
    moved.run(api)
    assert moved.pickups() == as_rows(world.records())


@pytest.mark.slow
@pytest.mark.parametrize("by", quick(["the message", "the page"]))
def test_the_published_file_can_replace_a_damaged_warehouse(
    shop: Installation, world: World, api: Sandbox, by: str
) -> None:
    """The published file holds every receipt, and pickups that the API no longer lists.

    The error message never tells the user to delete the last copy.
    """
    world.remove(gone := world.records()[-1]["id"])
    make_changes_after_backup(world, api, shop)
    shop.warehouse.write_bytes(shop.warehouse.read_bytes()[:5000])

    failed = shop.command("run", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="5")
    assert failed.returncode == 6
    assert "move it away" not in failed.stderr
    run_shell(failed.stderr.split("published copy: ")[1] if by == "the message" else REPLACE, shop.folder)
    shop.run(api, page_size=5)

    rows = shop.pickups()
    assert [row for row in rows if row["id"] != gone] == as_rows(world.records())
    assert gone in {row["id"] for row in rows}
    assert shop.rows("select count(*) as n from sendcloud.pickup_runs") == [{"n": 3}]
    assert shop.warehouse.with_name("warehouse.duckdb.damaged").stat().st_size == 5000
