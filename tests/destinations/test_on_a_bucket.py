"""A lake in a bucket: what is not as in a folder. moto stands for S3 (support/bucket.py); Google, Azure: untried."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import AnotherRun, DestinationFailed
from pipelines.warehouse import read
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.bucket import BUCKET, bucket_server, downloaded, filesystem, settings_of
from tests.support.cases import quick
from tests.support.copies import copied_from_lake
from tests.support.destinations import read_by_people
from tests.support.installation import Installation, as_rows, rows_of
from tests.support.worlds import NOW

pytest.importorskip("moto", reason="what stands for a bucket is of the engines' environment: make test-engines has it")
pytest.importorskip("s3fs", reason="a bucket's file system is an extra: make test-engines has it")

pytestmark = pytest.mark.engines
PICKUPS = "select * exclude (_dlt_load_id) from sendcloud.pickups order by account, id"
HISTORY = "select * from sendcloud.pickup_status_history order by all"
RUNS = "select * from sendcloud.pickup_runs order by run_id"
FOLDER = "our/pickups"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with bucket_server() as address:
        yield address


@pytest.fixture
def bucket(server: str, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty one, in the environment; the server's address."""
    for name, value in {**settings_of(server, FOLDER), "DLT_PROJECT_DIR": str(installation.folder)}.items():
        monkeypatch.setenv(name, value)
    yield server
    if (there := filesystem(server)).exists(f"{BUCKET}/our"):
        there.rm(f"{BUCKET}/our", recursive=True)


def in_it(bucket: str, tmp_path: Path, query: str = PICKUPS) -> list[dict[str, Any]]:
    lake = downloaded(bucket, FOLDER, tmp_path / f"lake-{time.monotonic_ns()}")
    return rows_of(copied_from_lake(lake, lake.with_suffix(".duckdb")), query)


def locks_of(bucket: str) -> list[str]:
    found: list[str] = filesystem(bucket).glob(f"{BUCKET}/{FOLDER}/sendcloud_of_default.lock.*")
    return found


@pytest.fixture
def place(installation: Installation, bucket: str) -> Any:  # noqa: ARG001  # it is in the environment
    """The lake, in this process, whose locks are void after two seconds."""
    from pipelines import bucket_lock, lake
    from pipelines.project import inside

    installation.monkeypatch.setattr(bucket_lock.TransactionalFile, "LOCK_TTL_SECONDS", 2.0)
    with inside(installation.folder):
        return lake.lake()


def test_a_second_run_brings_what_is_new_and_a_late_cancellation(
    installation: Installation, world: World, api: Sandbox, bucket: str, tmp_path: Path
) -> None:
    pickup = world.book()
    assert installation.run(api).rows_new == 1
    world.advance(hours=1)
    world.change(pickup, pickup_status="Cancelled", cancelled_at=world.clock)
    world.book()

    receipt = installation.run(api)

    assert (receipt.rows_new, receipt.rows_changed, receipt.rows_cancelled, receipt.checks_failed) == (1, 1, 1, {})
    assert in_it(bucket, tmp_path) == as_rows(world.records())
    pickups, runs = read("pickups"), read("runs")
    assert pickups.set_index("pickup_id")["is_cancelled"].to_dict() == {pickup: True, pickup + 1: False}
    assert len(runs) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("bucket")
def test_people_read_it_as_they_read_a_file(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines import models

    names = [path.stem for path in models.views() if path.stem != "runs"]
    some = {"carriers": ["dhl", "ups"]}
    with serve(World.seeded(300, seed=9, until=NOW)) as api:
        installation.run(api)
        here = {name: read_by_people(name, some) for name in names}
        (account,) = json.loads(installation.command("status", "--json").stdout)
        monkeypatch.setenv("PIPELINE__DESTINATION", "duckdb")
        installation.run(api)
        there = {name: read_by_people(name, some) for name in names}

    assert account["pickups"] == 300
    for name in names:
        assert here[name] == there[name], name


@pytest.mark.usefixtures("bucket")
def test_a_file_of_rows_is_asked_after_once(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB does it dozens of times a query, each some milliseconds away."""
    from s3fs import S3FileSystem

    asked: list[str] = []
    call = S3FileSystem._call_s3

    async def counted(self: Any, method: str, *args: Any, **options: Any) -> Any:
        if method == "head_object" and options.get("Key", "").endswith(".parquet"):
            asked.append(options["Key"])
        return await call(self, method, *args, **options)

    world.book()
    installation.run(api)
    monkeypatch.setattr(S3FileSystem, "_call_s3", counted)

    assert len(read("pickups")) == 1
    assert len(asked) == len(set(asked)) > 0


@pytest.mark.slow
def test_views_that_were_built_are_read_from_the_bucket(
    installation: Installation, world: World, api: Sandbox, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Spark they are written there; a copy of what DuckDB builds stands for it."""
    world.book()
    installation.run(api)
    assert installation.command("models", "--to", str(tmp_path / "built")).returncode == 0
    filesystem(bucket).put(str(tmp_path / "built"), f"{BUCKET}/{FOLDER}/analytics", recursive=True)
    world.book()
    installation.run(api)

    assert len(read("pickups")) == 2
    monkeypatch.setenv("PUBLISH__VIEWS", "built")
    assert len(read("pickups")) == 1


def test_the_same_account_on_two_machines_is_loaded_once(
    installation: Installation, world: World, api: Sandbox, bucket: str
) -> None:
    world.book()
    api.fault(faults.slow(8), times=1)
    first = installation.begin("run", api=api)
    try:
        while not filesystem(bucket).glob(f"{BUCKET}/{FOLDER}/sendcloud_of_default.lock.*"):
            assert first.poll() is None
        second = installation.process("run", api=api)
    finally:
        first.communicate(timeout=60)

    assert (first.returncode, second.returncode) == (0, 5), second.stderr
    assert "Another run is under way (of account 'default', process " in second.stderr
    assert not filesystem(bucket).glob(f"{BUCKET}/{FOLDER}/sendcloud_of_default.lock*")


def test_a_run_that_was_taken_for_dead_while_it_read_writes_nothing_more(
    installation: Installation, world: World, api: Sandbox, bucket: str, tmp_path: Path
) -> None:
    world.book()
    installation.run(api)
    before, receipts = in_it(bucket, tmp_path), len(read("runs"))
    world.book()
    asked, gone = threading.Event(), threading.Event()
    api.on_request = lambda *_: asked.set() or gone.wait(60)
    held_up = installation.begin("run", api=api)
    assert asked.wait(60)  # it has the lock by then: without one it asks for nothing
    (lock,) = locks_of(bucket)
    filesystem(bucket).rm(lock)
    gone.set()
    _, said = held_up.communicate(timeout=60)

    assert held_up.returncode == 6, said
    assert "was taken for dead" in said
    assert (in_it(bucket, tmp_path), len(read("runs"))) == (before, receipts)


@pytest.mark.parametrize("instant", quick(["entering normalise", "entering load"], only=(1,)))
def test_a_run_that_was_held_up_brings_nothing_old_over_what_another_brought(
    installation: Installation, world: World, api: Sandbox, bucket: str, tmp_path: Path, instant: str
) -> None:
    """Real processes: the first stands still with rows that it has read, for longer than its lock is good."""
    pickup = world.book()
    installation.run(api)
    world.change(pickup, tracking_number="PRG7")
    installation.monkeypatch.setenv("TESTED_LOCK_SECONDS", "8")
    held_up = installation.begin("stop", instant, "1", "run", api=api, module="tests.support.instants")
    assert held_up.stdout.readline() == "arrived\n", held_up.communicate(timeout=60)
    world.change(pickup, pickup_status="Cancelled", cancelled_at=world.clock)
    world.book()

    installation.monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "another-machine"))
    other = installation.begin("tell", "-", "0", "run", "--wait", "30", api=api, module="tests.support.instants")
    _, said_by_other = other.communicate(timeout=120)
    there = [in_it(bucket, tmp_path, query) for query in (PICKUPS, HISTORY, RUNS)]
    held_up.send_signal(signal.SIGCONT)
    _, said = held_up.communicate(timeout=60)

    assert other.returncode == 0, said_by_other
    assert there[0] == as_rows(world.records())
    assert [in_it(bucket, tmp_path, query) for query in (PICKUPS, HISTORY, RUNS)] == there
    assert held_up.returncode == 6, said
    assert "was taken for dead" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert not locks_of(bucket)


def test_a_lock_that_was_taken_away_is_not_made_anew(place: Any, bucket: str) -> None:
    with place.locked(["default"], 0):
        place.make_sure_of_lock()
        filesystem(bucket).rm(locks_of(bucket)[0])
        time.sleep(1.5)
        assert not locks_of(bucket)
        with pytest.raises(DestinationFailed, match="was taken for dead"):
            place.make_sure_of_lock()


def test_a_lock_that_is_anothers_is_left_to_it(place: Any, bucket: str) -> None:
    with place.locked(["default"], 0):
        (lock,) = locks_of(bucket)
        filesystem(bucket).pipe_file(lock, b"of another")
        time.sleep(1.5)
        with pytest.raises(DestinationFailed, match="was taken for dead"):
            place.make_sure_of_lock()

    assert filesystem(bucket).cat_file(lock) == b"of another"


def test_a_lock_is_lost_for_good_when_a_machine_slept_on_it(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock on the wall alone, and though nobody came to take it: the file is there, and its own."""
    from pipelines import bucket_lock

    with place.locked(["default"], 0):
        with monkeypatch.context() as patched:
            patched.setattr(bucket_lock, "_now", lambda: (time.time() + 60, time.monotonic()))
            with pytest.raises(DestinationFailed, match="was taken for dead"):
                place.make_sure_of_lock()
        with pytest.raises(DestinationFailed, match="was taken for dead"):
            place.make_sure_of_lock()
    with place.locked(["default"], 0):
        place.make_sure_of_lock()


def test_a_renewal_that_came_too_late_is_taken_back(place: Any, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held up between the question and the writing, where a store knows no condition."""
    from pipelines import bucket_lock

    def late(lock: Any) -> None:
        time.sleep(2.5)
        lock._fs.pipe_file(lock.lock_path, lock._token)

    monkeypatch.setattr(bucket_lock.BucketLock, "_write_again", late)
    with place.locked(["default"], 0):
        time.sleep(3.8)
        assert not locks_of(bucket)
        with pytest.raises(DestinationFailed, match="was taken for dead"):
            place.make_sure_of_lock()


def test_what_was_deleted_since_it_was_asked_for_stays_deleted(
    place: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for, another clears it away, and then comes the writing."""
    theirs = place.tables.filesystem
    info = theirs.info

    def deleted_then(path: str) -> Any:
        found = info(path)
        filesystem(bucket).rm(path)
        return found

    with place.locked(["default"], 0):
        monkeypatch.setattr(theirs, "info", deleted_then)
        time.sleep(1.5)
        assert not locks_of(bucket)


def test_who_waits_is_not_taken_for_dead(place: Any, installation: Installation) -> None:
    """It would lose its place in the line, or come before those who came since."""
    from pipelines import lake
    from pipelines.project import inside

    with inside(installation.folder):
        waiting = lake.lake()
    got = []

    def wait() -> None:
        with waiting.locked(["default"], 30):
            waiting.make_sure_of_lock()
            got.append(True)

    thread = threading.Thread(target=wait)
    with place.locked(["default"], 0):
        thread.start()
        time.sleep(4)
        assert not got
    thread.join(10)
    assert got


@pytest.mark.slow
def test_two_machines_load_different_accounts_at_the_same_time(
    installation: Installation, bucket: str, tmp_path: Path
) -> None:
    worlds = {name: World.seeded(100, seed=seed, until=NOW) for seed, name in enumerate(("north", "South-2"))}
    with serve(worlds["north"]) as north, serve(worlds["South-2"]) as south:
        running = [
            installation.begin("run", api=api, account=name, page_size=20, pages_per_package=2)
            for name, api in {"north": north, "South-2": south}.items()
        ]
        for process in running:
            said, wrong = process.communicate(timeout=300)
            assert process.returncode == 0, said + wrong

    expected = [row for name, world in worlds.items() for row in as_rows(world.records(), name)]
    assert in_it(bucket, tmp_path) == sorted(expected, key=lambda row: (row["account"], row["id"]))


@pytest.mark.usefixtures("bucket")
def test_the_lock_of_a_machine_that_died_is_void_after_a_while(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a minute; two seconds here."""
    from pipelines import bucket_lock, lake
    from pipelines.project import inside

    with inside(installation.folder):
        mine, theirs = lake.lake(), lake.lake()
    monkeypatch.setattr(bucket_lock.TransactionalFile, "LOCK_TTL_SECONDS", 2.0)
    monkeypatch.setattr(bucket_lock.BucketLock, "_start_heartbeat", lambda _: None)
    with ExitStack() as dead:
        dead.enter_context(theirs.locked(["default"], 0))
        with pytest.raises(AnotherRun), mine.locked(["default"], 0):
            pass
        time.sleep(3.1)
        with mine.locked(["default"], 0):
            pass
        dead.pop_all()


@pytest.mark.usefixtures("bucket")
def test_the_lock_of_one_that_lives_is_renewed(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third of the time after which it would be void."""
    from pipelines import bucket_lock, lake
    from pipelines.project import inside

    with inside(installation.folder):
        mine, theirs = lake.lake(), lake.lake()
    monkeypatch.setattr(bucket_lock.TransactionalFile, "LOCK_TTL_SECONDS", 3.0)
    with theirs.locked(["default"], 0):
        time.sleep(5)
        with pytest.raises(AnotherRun), mine.locked(["default"], 0):
            pass


@pytest.mark.slow
def test_a_run_that_was_killed_is_put_right_by_the_next(
    installation: Installation, world: World, api: Sandbox, bucket: str, tmp_path: Path
) -> None:
    """Which waits until the dead one's lock is void."""
    pickup = world.book()
    installation.run(api)
    world.change(pickup, pickup_status="Cancelled", cancelled_at=world.clock)
    world.book()
    api.fault(faults.slow(20), times=1)
    killed = installation.begin("run", api=api)
    while not filesystem(bucket).glob(f"{BUCKET}/{FOLDER}/sendcloud_of_default.lock.*"):
        assert killed.poll() is None
    killed.kill()
    killed.communicate(timeout=60)

    at_once = installation.process("run", api=api)
    later = installation.process("run", "--wait", "60", api=api)

    assert (at_once.returncode, later.returncode) == (5, 0), later.stderr
    assert in_it(bucket, tmp_path) == as_rows(world.records())


@pytest.mark.usefixtures("bucket")
def test_a_clock_that_is_ahead_of_the_buckets_is_told(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that it has just taken looks old to such a machine, and everybody's would."""
    from pipelines import bucket_lock, lake
    from pipelines.project import inside

    with inside(installation.folder):
        place = lake.lake()
    monkeypatch.setattr(bucket_lock.TransactionalFile, "LOCK_TTL_SECONDS", -60.0)

    with pytest.raises(DestinationFailed, match="clock"), place.locked(["default"], 0):
        pass


def test_a_bucket_that_does_not_answer_is_told_in_a_line(
    installation: Installation, world: World, api: Sandbox, bucket: str
) -> None:
    world.book()
    nobody = bucket.rsplit(":", 1)[0] + ":9"  # no server listens there

    done = installation.process("run", api=api, DESTINATION__FILESYSTEM__CREDENTIALS__ENDPOINT_URL=nobody)

    assert done.returncode == 6, done.stderr
    assert "s3://lake/our/pickups" in done.stderr
    assert "its-secret" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
