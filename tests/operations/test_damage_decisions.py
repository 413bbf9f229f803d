"""Tests what a run does about a damaged warehouse if a person must decide, and what `pickups restore` then does."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from dlt.common.storages import load_package

from sources.sendcloud.sandbox import Sandbox, World
from tests.operations.test_damage import go_on
from tests.operations.test_damage import shop as shop
from tests.support.cases import quick
from tests.support.damages import (
    BLOCK,
    HEADERS,
    blocks_of,
    remove,
    replace_with_an_empty_database,
    truncate,
    write_at,
)
from tests.support.installation import Installation, rows_of

COMPARE = "To compare the copies and decide, run: pickups restore"
RESTORE_BACKUP = (
    "To restore the newest file that pickups backup made, run: pickups restore --from FILE. Without a backup,"
)
COUNT = "select count(*) as n from sendcloud.pickups"


def no_published_copy(shop: Installation) -> str:
    shop.published.unlink()
    return "there is no published copy"


def damaged_copy(shop: Installation) -> str:
    """The damage is inside the file, so only reading the table shows it."""
    for block in blocks_of(shop.published, "sendcloud.pickups"):
        write_at(shop.published, HEADERS + block * BLOCK, bytes(BLOCK))
    return "the published copy can't be read either (IO Error: Corrupt database file"


def log_of_a_killed_run(shop: Installation) -> str:
    shop.warehouse.with_name("warehouse.duckdb.wal").write_bytes(b"rows of a killed run")
    return "warehouse.duckdb.wal may contain rows that were never published"


def other_accounts(shop: Installation) -> str:
    with duckdb.connect(str(shop.published)) as connection:
        for table in ("pickups", "pickup_runs"):
            connection.execute(f"update sendcloud.{table} set account = 'other-shop'")
    return "contains other-shop, but no account that is configured here"


def somebody_elses_file(shop: Installation) -> str:
    shop.published.unlink()
    with duckdb.connect(str(shop.published)) as connection:
        connection.execute("create table orders as select 1 as id")
    return "is not a copy of it"


REASONS = [damaged_copy, log_of_a_killed_run, no_published_copy, other_accounts, somebody_elses_file]


PAIRS = [(truncate, reason) for reason in REASONS] + [(Path.unlink, reason) for reason in REASONS]
PAIRS.remove((Path.unlink, no_published_copy))  # a project without any file is a new one
PAIRS.remove((Path.unlink, somebody_elses_file))  # exit 3, as in tests/safety/test_ownership_files.py


@pytest.mark.parametrize(("damage", "reason"), quick(PAIRS, only=(0, 1)))
def test_a_run_changes_nothing_if_a_person_must_decide(
    shop: Installation, api: Sandbox, damage: Callable[[Path], None], reason: Callable[[Installation], str]
) -> None:
    evidence = reason(shop)
    damage(shop.warehouse)
    before = {path.name: path.read_bytes() for path in shop.warehouse.parent.glob("*.duckdb*")}

    done = shop.command("run", api=api)

    assert done.returncode == 6
    told = done.stderr.splitlines()[-1]
    assert evidence in told
    can_compare = reason in (log_of_a_killed_run, other_accounts)
    assert f"Nothing was changed. {COMPARE if can_compare else RESTORE_BACKUP}" in told
    assert {path.name: path.read_bytes() for path in shop.warehouse.parent.glob("*.duckdb*")} == before
    assert api.requests == []


@pytest.mark.parametrize("hours_ahead", quick([0, 24], only=(1,)))
def test_a_run_does_not_take_a_copy_that_is_older_than_what_the_warehouse_shows(
    shop: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, hours_ahead: int
) -> None:
    """A run loaded pickup 7 and could not publish it, maybe while this machine's clock was ahead.

    A block that holds another table is damaged later.
    """
    older = shop.published.read_bytes()
    go_on(world)
    with monkeypatch.context() as patched:
        patched.setattr(load_package, "increasing_precise_time", lambda: time.time() + hours_ahead * 3600)
        shop.run(api)
    with duckdb.connect(str(shop.warehouse)) as connection:
        later = "update sendcloud.pickup_runs set started_at = started_at + to_hours($hours) where rows_new = 1"
        connection.execute(later, {"hours": hours_ahead})
    shop.published.write_bytes(older)
    (block,) = blocks_of(shop.warehouse, "sendcloud.pickup_states_recorded")[:1]
    write_at(shop.warehouse, HEADERS + block * BLOCK, bytes(BLOCK))

    done = shop.command("run", api=api)

    assert done.returncode == 6
    assert "it contains work (loads: 1) that the published copy lacks" in done.stderr
    assert "pickups restore" in done.stderr
    assert shop.published.read_bytes() == older


def test_work_of_a_run_whose_clock_was_ahead_counts_too(shop: Installation, world: World, api: Sandbox) -> None:
    """The ids of its loads lie in the future, so a clock can't tell them from the loads of this run."""
    older = shop.published.read_bytes()
    go_on(world)
    shop.run(api)
    shop.published.write_bytes(older)
    with duckdb.connect(str(shop.warehouse)) as connection:
        loads = "select max(load_id) from sendcloud._dlt_loads"
        connection.execute(f"update sendcloud._dlt_loads set load_id = '1935810000.5' where load_id = ({loads})")
        connection.execute("update sendcloud.pickup_runs set started_at = '2031-05-05' where run_number = 2")
    (block,) = blocks_of(shop.warehouse, "sendcloud.pickup_states_recorded")[:1]
    write_at(shop.warehouse, HEADERS + block * BLOCK, bytes(BLOCK))

    done = shop.command("run", api=api)

    assert done.returncode == 6
    assert "it contains work (loads: 1) that the published copy lacks" in done.stderr
    assert shop.published.read_bytes() == older


def test_damage_in_rows_that_no_run_reads_is_never_published(shop: Installation, world: World, api: Sandbox) -> None:
    """DuckDB verifies a block only when it reads it, so a copy of the file would carry the damage along."""
    with duckdb.connect(str(shop.warehouse)) as connection:
        connection.execute("create table sendcloud.notes as select range as id, md5(range::text) as t from range(9000)")
    shop.run(api)
    (block, *_) = blocks_of(shop.warehouse, "sendcloud.notes")
    write_at(shop.warehouse, HEADERS + block * BLOCK, bytes(BLOCK))
    go_on(world)

    done = shop.command("run", api=api)

    assert done.returncode == 0, done.stderr
    assert "was replaced with the published copy" in done.stderr
    for file in (shop.warehouse, shop.published):
        assert rows_of(file, "select sum(id)::bigint as total, count(t) as n from sendcloud.notes") == [
            {"total": 8999 * 9000 // 2, "n": 9000}
        ]
        assert rows_of(file, COUNT) == [{"n": 7}]


def test_a_file_that_another_program_holds_is_not_taken_for_damaged(shop: Installation, api: Sandbox) -> None:
    hold = f"import duckdb, sys; c = duckdb.connect({str(shop.warehouse)!r}); print(flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout
        holder.stdout.readline()
        done = shop.command("run", api=api)
    finally:
        holder.communicate()

    assert done.returncode == 6
    assert "Could not set lock" in done.stderr
    assert [path.name for path in shop.warehouse.parent.glob("*damaged*")] == []


def test_a_second_damage_overwrites_no_earlier_file(shop: Installation) -> None:
    for size in (100, 200, 300):
        shop.warehouse.write_bytes(b"x" * size)
        assert shop.command("restore", "--yes").returncode == 0

    assert sorted(path.stat().st_size for path in shop.warehouse.parent.glob("*.damaged-*")) == [100, 200, 300]


def test_restore_says_what_would_be_lost_and_changes_nothing_without_consent(
    shop: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    backup = Path(shutil.copy(shop.published, tmp_path / "pickups-of-monday.duckdb"))
    go_on(world)
    shop.run(api)
    before = shop.warehouse.read_bytes()

    asked = shop.command("restore", "--from", str(backup))

    assert asked.returncode == 2
    assert shop.warehouse.read_bytes() == before
    for part in (
        "7 pickups of default, newest good run ",
        "6 pickups of default, newest good run ",
        "1 rows of sendcloud.pickups that the copy lacks",
        "2 rows of sendcloud.pickup_status_history that the copy lacks",
        "1 rows of sendcloud.pickup_runs that the copy lacks",
    ):
        assert part in asked.stdout

    done = shop.command("restore", "--from", str(backup), "--yes")

    assert done.returncode == 0, done.stderr
    (kept,) = shop.warehouse.parent.glob("warehouse.duckdb.replaced-*")
    assert kept.read_bytes() == before
    assert rows_of(shop.warehouse, COUNT) == [{"n": 6}]
    assert shop.run(api).rows_new == 1
    assert shop.rows(COUNT) == [{"n": 7}]


@pytest.mark.parametrize("reason", quick([log_of_a_killed_run, other_accounts]))
def test_restore_does_what_a_run_leaves_to_a_person(
    shop: Installation, api: Sandbox, reason: Callable[[Installation], str]
) -> None:
    reason(shop)
    truncate(shop.warehouse)

    done = shop.command("restore", "--yes")

    assert done.returncode == 0, done.stderr
    assert "damaged (IO Error: Could not read enough bytes" in done.stdout
    assert ("lost       any rows that a killed run left in" in done.stdout) == (reason is log_of_a_killed_run)
    assert shop.run(api).outcome == "succeeded"
    assert rows_of(shop.warehouse, COUNT) == [{"n": 6 if reason is log_of_a_killed_run else 11}]


@pytest.mark.parametrize("reason", [damaged_copy, no_published_copy])
def test_restore_needs_no_published_file_if_the_warehouse_is_intact(
    shop: Installation, reason: Callable[[Installation], str]
) -> None:
    reason(shop)
    before = shop.warehouse.read_bytes()

    done = shop.command("restore", "--yes")

    assert done.returncode == 6
    evidence = "it is damaged (IO Error: Corrupt" if reason is damaged_copy else "there is no such file. "
    assert f"{shop.published}: {evidence}" in done.stderr
    assert f"Nothing was changed. The warehouse {shop.warehouse} is intact (6 pickups of default, " in done.stderr
    assert done.stderr.endswith("UTC). To publish it again, run: pickups run\n")
    assert shop.warehouse.read_bytes() == before


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (truncate, "can't be read either"),
        (remove, "is missing"),
        (replace_with_an_empty_database, "contains no pickups"),
    ],
)
def test_restore_names_the_way_that_is_left_if_both_files_are_lost(
    shop: Installation, damage: Callable[[Path], None], problem: str
) -> None:
    damaged_copy(shop)
    damage(shop.warehouse)

    done = shop.command("restore", "--yes")

    assert done.returncode == 6
    assert f"The warehouse {shop.warehouse} {problem}. {RESTORE_BACKUP}" in done.stderr
    assert done.stderr.endswith("pickups that the API no longer lists are then lost.\n")


def test_a_damaged_backup_is_not_restored(shop: Installation, tmp_path: Path) -> None:
    backup = Path(shutil.copy(shop.published, tmp_path / "pickups-of-monday.duckdb"))
    truncate(backup)

    done = shop.command("restore", "--from", str(backup), "--yes")

    assert done.returncode == 6
    assert f"{backup}: it is damaged (IO Error: Could not read enough bytes" in done.stderr
    assert done.stderr.endswith("Nothing was changed. Use another copy, such as an earlier backup.\n")


def test_a_folder_in_the_warehouses_place_is_left_to_a_person(shop: Installation, api: Sandbox) -> None:
    shop.warehouse.unlink()
    shop.warehouse.mkdir()

    done = shop.command("run", api=api)

    assert done.returncode == 6
    assert "a folder can't be a warehouse" in done.stderr
    assert shop.warehouse.is_dir()
