"""Back up, restore, move: as pipelines/README.md says it, word by word."""

from __future__ import annotations

import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.cases import quick
from tests.support.installation import REPOSITORY, Installation, as_rows

README = (REPOSITORY / "pipelines" / "README.md").read_text()
SECTION = README.split("\n## Back up, restore, move\n")[1].split("\n## ")[0]
BACK_UP, RESTORE, REPLACE = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)


@pytest.fixture
def shop(installation: Installation, world: World, api: Sandbox) -> Installation:
    """Twelve pickups, one a day, the last still open; loaded, and backed up by the README's own command."""
    for days in range(12, 0, -1):
        world.book(created_at=world.clock - timedelta(days=days))
    installation.run(api, page_size=5)
    shell(BACK_UP, installation.folder)
    return installation


def shell(commands: str, folder: Path) -> None:
    subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=folder, check=True, timeout=30)


def a_week_of_changes(world: World, api: Sandbox, installation: Installation) -> None:
    """One run that the backup doesn't know of, and changes that no run has seen."""
    world.advance(hours=5)
    world.cancel(world.records()[0]["id"])
    world.book()
    installation.run(api, page_size=5)
    world.advance(hours=5)
    world.cancel(world.records()[1]["id"])
    world.book()


@pytest.mark.parametrize("lost", quick(["the folder", "nothing", "the file, and a log of it is left"]))
def test_a_backup_put_back_is_read_on_from_where_it_stood(
    shop: Installation, world: World, api: Sandbox, lost: str
) -> None:
    a_week_of_changes(world, api, shop)
    if lost == "the folder":
        subprocess.run(["rm", "-r", str(shop.folder / "data")], check=True)
    elif lost != "nothing":
        shop.warehouse.write_bytes(shop.warehouse.read_bytes()[:5000])
        shop.warehouse.with_name("warehouse.duckdb.wal").write_bytes(b"of another file" * 100)

    shell(RESTORE, shop.folder)
    asked = len(api.requests)
    receipt = shop.run(api, page_size=5)

    assert shop.pickups() == as_rows(world.records())
    assert (receipt.rows_new, receipt.is_first_read) == (2, False)
    assert len(api.requests) - asked <= 3  # 14 pickups; not all of them, for the file remembers


@pytest.mark.slow
def test_the_published_file_may_be_copied_while_a_run_replaces_it(
    shop: Installation, world: World, api: Sandbox
) -> None:
    """What is copied is one whole file, the old or the new: it is never written to, only replaced."""
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
@pytest.mark.parametrize("by", quick(["the message", "the README"]))
def test_the_published_file_takes_the_place_of_a_damaged_warehouse(
    shop: Installation, world: World, api: Sandbox, by: str
) -> None:
    """With what the API no longer lists, and with every receipt: nothing tells anyone to delete the last copy."""
    world.remove(gone := world.records()[-1]["id"])
    a_week_of_changes(world, api, shop)
    shop.warehouse.write_bytes(shop.warehouse.read_bytes()[:5000])

    failed = shop.command("run", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="5")
    assert failed.returncode == 6
    assert "move it away" not in failed.stderr
    shell(failed.stderr.split("published copy: ")[1] if by == "the message" else REPLACE, shop.folder)
    shop.run(api, page_size=5)

    rows = shop.pickups()
    assert [row for row in rows if row["id"] != gone] == as_rows(world.records())
    assert gone in {row["id"] for row in rows}
    assert shop.rows("select count(*) as n from sendcloud.pickup_runs") == [{"n": 3}]
    assert shop.warehouse.with_name("warehouse.duckdb.damaged").stat().st_size == 5000
