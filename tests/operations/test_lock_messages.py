"""Tests what a command says if it can't get the lock, which depends on the command and on who holds the lock."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.destinations.file_lock import exclusive_lock
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import REPOSITORY, Installation

WITH_WAIT = [["accounts", "list"], ["accounts", "remove", "default", "--yes"], ["forget", "JVGL1", "--yes"]]


@pytest.fixture
def shop(installation: Installation, world: World, api: Sandbox) -> Installation:
    world.book()
    return installation.loaded(api)


@contextmanager
def another_program_holds(lock: Path) -> Iterator[None]:
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def kill_a_holder(warehouse: Path) -> str:
    """Kills a process that holds the lock, and returns the process id, which is in the holder file."""
    hold = f"""
import os, signal
from pathlib import Path
from pipelines.destinations.file_lock import exclusive_lock
with exclusive_lock(Path({str(warehouse)!r})):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", hold], cwd=REPOSITORY, check=False)
    assert killed.returncode == -9
    _, pid, *_ = warehouse.with_suffix(".holder").read_text().split()
    return pid


def test_a_killed_run_is_not_taken_for_the_holder_of_a_lock(shop: Installation, api: Sandbox) -> None:
    killed = kill_a_holder(shop.warehouse)
    lock = shop.warehouse.with_suffix(".lock")

    with another_program_holds(lock):
        done = shop.command("run", api=api)

    assert done.returncode == 5
    assert f"The lock {lock} is held, but no run is recorded as its holder. This run did nothing." in done.stderr
    assert f"process {killed}" not in done.stderr


def test_the_id_of_a_killed_run_may_now_be_that_of_another_process(shop: Installation, api: Sandbox) -> None:
    """This process is alive, but does not hold the lock."""
    shop.warehouse.with_suffix(".holder").write_text(f"process {os.getpid()} since 2026-01-01 00:00:00 UTC")

    with another_program_holds(shop.warehouse.with_suffix(".lock")):
        done = shop.command("run", api=api)

    assert "no run is recorded as its holder" in done.stderr


@pytest.mark.parametrize("words", [*WITH_WAIT, ["restore", "--yes"]], ids=" ".join)
def test_a_command_whose_work_no_run_does_says_when_to_try_again(shop: Installation, words: list[str]) -> None:
    before = shop.warehouse.read_bytes()

    with exclusive_lock(shop.warehouse):
        done = shop.command(*words)

    assert done.returncode == 5
    option = ", or use --wait SECONDS" if words in WITH_WAIT else ""
    assert done.stderr.startswith(f"pickups: Another run is under way (process {os.getpid()} since 20")
    assert done.stderr.endswith(
        f"Nothing was changed. Wait until that run has ended, then run the command again{option}.\n"
    )
    assert shop.warehouse.read_bytes() == before


def test_a_command_that_does_not_know_the_holder_changes_nothing(shop: Installation) -> None:
    lock = shop.warehouse.with_suffix(".lock")

    with another_program_holds(lock):
        done = shop.command("restore", "--yes")

    assert done.stderr == (
        f"pickups: The lock {lock} is held, but no run is recorded as its holder. Nothing was changed. If this happens "
        f"again, find the program that holds the lock: fuser -v {lock}\n"
    )


def test_check_says_that_it_did_not_examine_the_files(shop: Installation, api: Sandbox) -> None:
    lock = shop.warehouse.with_suffix(".lock")
    with exclusive_lock(shop.warehouse):
        beside_a_run = shop.command("check", api=api)
    with another_program_holds(lock):
        beside_a_program = shop.command("check", api=api)

    assert (beside_a_run.returncode, beside_a_program.returncode) == (0, 0)
    assert "The files were not examined. To examine them, wait until that run has ended" in beside_a_run.stdout
    (line,) = [line for line in beside_a_program.stdout.splitlines() if str(lock) in line]
    assert line.startswith(f"warning warehouse  The lock {lock} is held, but no run is recorded as its holder. The ")


def test_status_says_which_command_was_killed_until_the_next_run(shop: Installation, api: Sandbox) -> None:
    killed = kill_a_holder(shop.warehouse)

    after_the_kill = shop.command("status").stdout
    in_json = shop.command("status", "--json").stdout
    shop.run(api)
    after_a_run = shop.command("status").stdout

    assert after_the_kill.startswith(f"A command was killed while it held the lock (process {killed} since 20")
    assert "If it was a run, the next run continues its work." in " ".join(after_the_kill.split())
    assert "killed" not in in_json
    assert after_a_run.startswith("account default")


def test_status_says_that_a_command_is_under_way(shop: Installation) -> None:
    with exclusive_lock(shop.warehouse):
        done = shop.command("status")

    assert done.stdout.startswith(f"A command is under way (process {os.getpid()} since 20")
    assert done.returncode == 0


def test_status_says_so_too_if_dlt_must_find_the_warehouse(shop: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = kill_a_holder(shop.warehouse)
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS__DATABASE", "data/warehouse.duckdb")

    assert f"held the lock (process {killed} since 20" in shop.command("status").stdout
