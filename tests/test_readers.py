"""Readers never block a run, a run never blocks readers, and they never see half of one."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from pipelines.errors import AnotherRun
from pipelines.lock import one_run_at_a_time
from pipelines.publish import publish, sweep_leftovers
from sources.sendcloud.sandbox import Sandbox, World
from tests.installation import Installation, as_rows, rows_of

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
READER = """
import duckdb, sys, time
seen = 0
while True:
    with duckdb.connect(sys.argv[1], read_only=True) as c:
        rows, said = c.execute(
            "select (select count(*) from sendcloud.pickups), sum(rows_new) from sendcloud.pickup_runs"
        ).fetchone()
    assert rows == said, (rows, said)
    seen += 1
    if seen == 1: print("reading", flush=True)
"""


@contextmanager
def a_reader_that_never_stops(published: Path) -> Iterator[subprocess.Popen[str]]:
    """Opens the published file again and again, and dies when pickups and receipts don't belong together."""
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(published)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert reader.stdout
    assert reader.stdout.readline() == "reading\n"
    try:
        yield reader
        assert reader.poll() is None, reader.stderr and reader.stderr.read()
    finally:
        reader.kill()
        reader.communicate()


def test_runs_succeed_beside_a_reader_and_the_reader_never_sees_half_of_one(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.run(api)

    with a_reader_that_never_stops(installation.published):
        for _ in range(5):
            world.book()
            assert installation.run(api).outcome == "succeeded"

    assert installation.pickups() == as_rows(world.records())


def test_a_reader_that_keeps_the_file_open_goes_on_reading_the_old_one(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.run(api)
    count = "select count(*) as n from sendcloud.pickups"

    with duckdb.connect(str(installation.published), read_only=True) as kept_open:
        world.book()
        script = f"""
import duckdb
print(duckdb.connect({str(installation.published)!r}, read_only=True).execute({count!r}).fetchone()[0])
"""
        installation.process("run", api=api)
        in_another_process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert kept_open.execute(count).fetchone() == (1,)
    assert in_another_process.stdout == "2\n"


def test_the_published_file_is_replaced_and_never_written_into(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.run(api)
    before = installation.published.read_bytes()

    with installation.published.open("rb") as kept_open:
        world.book()
        installation.run(api)
        assert kept_open.read() == before
    assert installation.published.read_bytes() != before
    assert [p.name for p in installation.published.parent.iterdir() if p.name.endswith(".new")] == []


def test_what_is_published_is_whole_even_when_the_warehouse_was_left_with_a_log(tmp_path: Path) -> None:
    """A killed writer leaves a `.wal` beside the file; a plain copy of the file alone would miss it."""
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

    publish(warehouse, published)

    assert rows_of(published, "select answer from t") == [{"answer": 42}]


def test_half_made_copies_of_a_killed_run_are_swept_up_and_nothing_else(tmp_path: Path) -> None:
    published = tmp_path / "pickups.duckdb"
    for name in ("pickups.duckdb", ".pickups.duckdb.abc.new", "other.new", ".other.duckdb.x.new"):
        (tmp_path / name).write_text("x")

    sweep_leftovers(published)

    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.duckdb.x.new", "other.new", "pickups.duckdb"]


def test_a_file_that_others_may_read_stays_one_that_others_may_read(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.run(api)

    assert installation.published.stat().st_mode & 0o777 == installation.warehouse.stat().st_mode & 0o777


def test_the_lock_is_free_again_when_its_holder_was_killed(tmp_path: Path) -> None:
    warehouse = tmp_path / "data" / "warehouse.duckdb"
    hold = f"""
import time
from pathlib import Path
from pipelines.lock import one_run_at_a_time
with one_run_at_a_time(Path({str(warehouse)!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(AnotherRun, match=rf"process {holder.pid} since 20"), one_run_at_a_time(warehouse):
        pass

    holder.kill()
    holder.wait()

    with one_run_at_a_time(warehouse):
        pass
    with one_run_at_a_time(warehouse):
        pass


def test_a_run_may_wait_for_another_one_to_end(installation: Installation, world: World, api: Sandbox) -> None:
    world.book()
    with one_run_at_a_time(installation.warehouse):
        assert installation.process("run", api=api).returncode == 5
        ended: list[int] = []
        waiting = threading.Thread(
            target=lambda: ended.append(installation.process("run", "--wait", "60", api=api).returncode)
        )
        waiting.start()
        waiting.join(3)
        assert (ended, api.requests) == ([], [])
    waiting.join()

    assert ended == [0]
    assert installation.pickups() == as_rows(world.records())


def test_reading_works_while_a_run_is_under_way(installation: Installation, world: World, api: Sandbox) -> None:
    world.book()
    installation.run(api)
    read_in_the_middle: list[int] = []

    def look(_api: Sandbox, _number: int) -> None:
        read_in_the_middle.append(len(installation.pickups()))

    api.on_request = look
    world.book()
    running = threading.Thread(target=installation.process, args=("run",), kwargs={"api": api})
    running.start()
    running.join()

    assert read_in_the_middle == [1]
    assert len(installation.pickups()) == 2
