"""Tests runs on file systems on which the published file shares its disk blocks with the warehouse."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from pipelines.atomic_file import FICLONE
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.both_ways import ordinary, quick
from tests.support.installation import Installation

MEGABYTE = 2**20


@pytest.fixture(params=["xfs", "btrfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Mounts a new file system of 400 MB, which takes little space because its image is sparse."""
    kind = str(request.param)
    image, folder = tmp_path / "image", tmp_path / "disk"
    if not shutil.which(f"mkfs.{kind}") or not hasattr(os, "getuid") or os.getuid() != 0:
        pytest.skip(f"only root can mount a file system, and mkfs.{kind} must be installed")
    with image.open("wb") as file:
        file.truncate(400 * MEGABYTE)
    folder.mkdir()
    subprocess.run([f"mkfs.{kind}", "-q", image], check=True, capture_output=True)
    if (mounted := subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True, text=True)).returncode:
        pytest.skip(f"this machine can't mount {kind}: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def used_bytes(folder: Path) -> int:
    subprocess.run(["sync", "-f", folder], check=True)
    return shutil.disk_usage(folder).used


@pytest.fixture
def shared(installation: Installation) -> Installation:
    (installation.folder / ".dlt" / "config.toml").write_text("[publish]\nshare_blocks = true\n")
    return installation


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't clone files")
def test_every_run_that_publishes_asks_for_a_clone_and_copies_if_the_file_system_refuses(
    shared: Installation, monkeypatch: pytest.MonkeyPatch, world: World, api: Sandbox
) -> None:
    asked: list[int] = []

    def ioctl(_copy: int, request: int, _file: int) -> int:
        asked.append(request)
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("fcntl.ioctl", ioctl)
    for _ in range(12):
        world.advance(minutes=20)
        world.book()
    ordinary(shared, api)
    done = quick(shared, api)

    assert done
    assert done.receipts[0].is_quick
    assert asked == [FICLONE, FICLONE]
    assert shared.rows("select count(*) as runs from sendcloud.pickup_runs") == [{"runs": 2}]


@pytest.mark.slow
def test_the_published_file_shares_its_blocks_with_the_warehouse_and_stays_as_it_is(
    disk: Path, monkeypatch: pytest.MonkeyPatch, world: World, api: Sandbox
) -> None:
    (disk / ".dlt").mkdir()
    (disk / ".dlt" / "config.toml").write_text("[publish]\nshare_blocks = true\n")
    installation = Installation(disk, monkeypatch)
    for _ in range(12):
        world.advance(minutes=20)
        world.book()
    installation.loaded(api)
    with duckdb.connect(str(installation.warehouse)) as connection:  # 24 MB that can't be compressed
        connection.execute("create table sendcloud.filler as select hash(range) as number from range(3_000_000)")
    before = used_bytes(disk)

    ordinary(installation, api)
    done = quick(installation, api)

    assert done
    assert done.receipts[0].is_quick
    published = installation.published.read_bytes()
    assert len(published) > 20 * MEGABYTE
    assert used_bytes(disk) - before < 5 * MEGABYTE
    with duckdb.connect(str(installation.warehouse)) as connection:
        connection.execute("update sendcloud.filler set number = hash(number)")
        connection.execute("checkpoint")
    assert installation.published.read_bytes() == published
    assert used_bytes(disk) - before > 15 * MEGABYTE
    assert installation.rows("select count(*) as pickups from sendcloud.pickups") == [{"pickups": 12}]
