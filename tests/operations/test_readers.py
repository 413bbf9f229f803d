"""Tests that readers and runs never block each other, and that readers never see part of a run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from pipelines import atomic_file
from pipelines.atomic_file import remove_leftovers
from pipelines.destinations.duckdb.backend import DuckDBBackend
from pipelines.destinations.duckdb.publish import publish
from pipelines.destinations.file_lock import exclusive_lock
from pipelines.errors import RunInProgress
from pipelines.warehouse import read
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import Installation, as_rows, rows_of

RUNS_BESIDE_READERS = int(os.environ.get("RUNS_BESIDE_READERS", "10"))
# The counts of pickups, receipts and states come from separate tables. The last number counts pickups that differ
# from their last state.
LOOK = """
    select (select count(*) from sendcloud.pickups),
           (select sum(rows_new) from sendcloud.pickup_runs),
           (select sum(rows_changed) from sendcloud.pickup_runs),
           (select count(*) from sendcloud.pickup_status_history),
           (select count(*) from analytics.pickups),
           (select count(*) from sendcloud.pickups as p where p.pickup_status is distinct from (
               select arg_max(h.pickup_status, h.observed_at)
               from sendcloud.pickup_status_history as h where h.account = p.account and h.id = p.id))
"""
READER = f"""
import duckdb, select, sys
path, keeps_open = sys.argv[1], sys.argv[2] == "keeps it open"
def opened():
    return duckdb.connect(path, read_only=True, config={{"threads": 1}})
connection, looks, states = opened(), 0, set()
while not select.select([sys.stdin], [], [], 0.1)[0]:
    if not keeps_open:
        connection.close()
        connection = opened()
    seen = connection.execute({LOOK!r}).fetchone()
    pickups, new, changed, told, shown, torn = seen
    assert pickups == new == shown and told == new + changed and torn == 0, seen
    looks += 1
    states.add(seen)
    if looks == 1: print("reading", flush=True)
print(looks, len(states))
"""


@contextmanager
def start_reader(published: Path, how: str) -> Iterator[list[int]]:
    """Starts a process that queries the published file until the block ends, and fails if it sees part of a run.

    After the block, the yielded list holds the number of queries and the number of different results.
    """
    looked: list[int] = []
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(published), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert reader.stdout
        assert reader.stdout.readline() == "reading\n"
        yield looked
        said, complaint = reader.communicate("stop\n", timeout=30)
        assert (reader.returncode, complaint) == (0, "")
        looked.extend(map(int, said.split()))
    finally:
        reader.kill()
        reader.communicate()


@pytest.mark.slow
def test_readers_and_runs_never_block_each_other_and_readers_never_see_part_of_a_run(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """Ten runs (two hundred in `make soak`), of which four in five find changes, have two concurrent readers.

    One reader opens the file for each query, and the other keeps it open.
    """
    booked = [world.book()]
    installation.loaded(api)

    with (
        start_reader(installation.published, "opens it again") as again,
        start_reader(installation.published, "keeps it open") as kept,
    ):
        for number in range(RUNS_BESIDE_READERS):
            world.advance(minutes=15)
            if number % 5:
                booked.append(world.book())
            if number % 5 == 3:
                world.cancel(booked[number // 2])
            assert installation.run(api).outcome == "succeeded"

    assert installation.pickups() == as_rows(world.records())
    assert again[0] >= again[1] > 1
    assert kept[0] > kept[1] == 1


@pytest.mark.slow
def test_a_reader_that_keeps_the_file_open_still_sees_the_old_content(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.loaded(api)
    count = "select count(*) as n from sendcloud.pickups"

    with duckdb.connect(str(installation.published), read_only=True) as kept_open:
        world.book()
        script = f"""
import duckdb
print(duckdb.connect({str(installation.published)!r}, read_only=True).execute({count!r}).fetchone()[0])
"""
        installation.begin("run", api=api).communicate(timeout=60)
        in_another_process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert kept_open.execute(count).fetchone() == (1,)
    assert in_another_process.stdout == "2\n"


def test_the_published_file_is_replaced_and_never_modified(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.loaded(api)
    before = installation.published.read_bytes()

    with installation.published.open("rb") as kept_open:
        world.book()
        installation.run(api)
        assert kept_open.read() == before
    assert installation.published.read_bytes() != before
    assert [p.name for p in installation.published.parent.iterdir() if p.name.endswith(".new")] == []


def test_the_published_file_is_complete_even_if_the_warehouse_has_a_log_beside_it(tmp_path: Path) -> None:
    """A killed writer leaves a `.wal` file beside the warehouse. A copy of the warehouse alone would lack its rows."""
    warehouse, published = tmp_path / "w.duckdb", tmp_path / "p.duckdb"
    die = f"""
import duckdb, os
c = duckdb.connect({str(warehouse)!r})
c.execute("set checkpoint_threshold = '1GB'")
c.execute("create table t as select 42 as answer")
os._exit(9)
"""
    subprocess.run([sys.executable, "-c", die], check=False)
    assert warehouse.with_name("w.duckdb.wal").exists()

    DuckDBBackend(warehouse, published, published).publish()

    assert rows_of(published, "select answer from t") == [{"answer": 42}]


def test_incomplete_copies_of_a_killed_run_are_removed_and_nothing_else(tmp_path: Path) -> None:
    published = tmp_path / "pickups.duckdb"
    for name in ("pickups.duckdb", ".pickups.duckdb.abc.new", "other.new", ".other.duckdb.x.new"):
        (tmp_path / name).write_text("x")

    remove_leftovers(published)

    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.duckdb.x.new", "other.new", "pickups.duckdb"]


def test_the_published_file_has_the_permissions_of_the_warehouse(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.run(api)

    assert installation.published.stat().st_mode & 0o777 == installation.warehouse.stat().st_mode & 0o777


def test_the_lock_is_released_if_its_holder_is_killed(tmp_path: Path) -> None:
    warehouse = tmp_path / "data" / "warehouse.duckdb"
    hold = f"""
import time
from pathlib import Path
from pipelines.destinations.file_lock import exclusive_lock
with exclusive_lock(Path({str(warehouse)!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(RunInProgress, match=rf"process {holder.pid} since 20"), exclusive_lock(warehouse):
        pass

    holder.kill()
    holder.communicate()

    with exclusive_lock(warehouse):
        pass
    with exclusive_lock(warehouse):
        pass


def test_a_run_can_wait_until_another_run_ends(installation: Installation, world: World, api: Sandbox) -> None:
    world.book()
    with exclusive_lock(installation.warehouse):
        assert installation.process("run", api=api).returncode == 5
        waiting = installation.begin("run", "--wait", "60", api=api)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(3)
        assert api.requests == []

    waiting.communicate(60)
    assert waiting.returncode == 0
    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_the_published_file_can_be_read_during_a_run(installation: Installation, world: World, api: Sandbox) -> None:
    world.book()
    installation.loaded(api)
    read_in_the_middle: list[int] = []

    def look(_api: Sandbox, _number: int) -> None:
        read_in_the_middle.append(len(installation.pickups()))

    api.on_request = look
    world.book()
    installation.begin("run", api=api).communicate(timeout=60)

    assert read_in_the_middle == [1]
    assert len(installation.pickups()) == 2


def test_the_published_file_can_be_read_while_a_run_replaces_it(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is read just before and just after the new file replaces the old one."""
    world.book()
    installation.loaded(api)
    replace, rows = Path.replace, []

    def look_around(fresh: Path, published: Path) -> None:
        rows.append(len(read("pickups", published)))
        replace(fresh, published)
        rows.append(len(read("pickups", published)))

    world.book()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", look_around)
        installation.run(api)

    assert rows == [1, 2]


@contextmanager
def simulate_windows(installation: Installation, held_for: int) -> Iterator[None]:
    """Refuses `held_for` times to replace the published file, as Windows does while a program has it open."""
    replace, refused = Path.replace, iter(range(held_for))

    def as_there(fresh: Path, target: Path) -> None:
        if target == installation.published and next(refused, None) is not None:
            error = PermissionError(13, "Access is denied")
            error.winerror = 5  # type: ignore[attr-defined]
            raise error
        replace(fresh, target)

    with installation.monkeypatch.context() as patched:
        patched.setattr(Path, "replace", as_there)
        patched.setattr(atomic_file, "RETRY_DELAYS_SECONDS", (0, 0))
        yield


def test_if_an_open_file_cannot_be_replaced_the_run_says_so_and_the_old_file_stays(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.loaded(api)
    before = installation.published.read_bytes()
    world.book()

    with simulate_windows(installation, held_for=3):
        done = installation.command("run", api=api)

    assert done.returncode == 6
    told = done.stderr.splitlines()[-1]
    assert told.startswith(f"pickups: The destination failed: {installation.published}: the file can't be replaced")
    for part in ("a program has it open (Access is denied)", "pipelines.warehouse.read", "the next run publishes"):
        assert part in told
    assert "The pickups are loaded; the published file is unchanged." in told
    assert installation.published.read_bytes() == before
    assert [path.name for path in installation.published.parent.iterdir() if path.name.endswith(".new")] == []
    last = rows_of(installation.warehouse, "from sendcloud.pickup_runs order by started_at desc limit 1")[0]
    assert (last["outcome"], last["rows_new"]) == ("failed", 1)
    assert "a program has it open" in last["error"]

    assert installation.run(api).outcome == "succeeded"
    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_publishing_waits_for_a_reader_that_closes_the_file_soon(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()

    with simulate_windows(installation, held_for=2):
        assert installation.run(api).outcome == "succeeded"

    assert installation.pickups() == as_rows(world.records())


def test_a_file_that_cannot_be_replaced_for_another_reason_is_not_reported_as_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_fresh: Path, _target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    duckdb.connect(str(tmp_path / "w.duckdb")).close()
    monkeypatch.setattr(Path, "replace", refuse)

    with (
        (tmp_path / "w.duckdb").open("rb", buffering=0) as warehouse,
        pytest.raises(PermissionError, match="Operation not permitted"),
    ):
        publish(warehouse, tmp_path / "p.duckdb")
