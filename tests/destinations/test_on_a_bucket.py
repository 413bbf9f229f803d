"""Features of a lake in a bucket. moto replaces S3 (support/bucket.py). Google and Azure were never tested."""

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

from pipelines.destinations.schemas import DEFAULT_NAMES
from pipelines.errors import DestinationError, RunInProgress
from pipelines.warehouse import read
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.bucket import BUCKET, bucket_server, downloaded, filesystem, settings_of
from tests.support.cases import quick
from tests.support.copies import copied_from_lake
from tests.support.destinations import read_by_people
from tests.support.installation import Installation, as_rows, rows_of
from tests.support.worlds import NOW

pytest.importorskip("moto", reason="moto is not installed; make test-engines installs it")
pytest.importorskip("s3fs", reason="s3fs is not installed; make test-engines installs it")

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
    """Configures an empty bucket in the environment and yields the address of its server."""
    for name, value in {**settings_of(server, FOLDER), "DLT_PROJECT_DIR": str(installation.folder)}.items():
        monkeypatch.setenv(name, value)
    yield server
    if (there := filesystem(server)).exists(f"{BUCKET}/our"):
        there.rm(f"{BUCKET}/our", recursive=True)


def rows_in_lake(bucket: str, tmp_path: Path, query: str = PICKUPS) -> list[dict[str, Any]]:
    """Returns the result of the query over a copy of the lake."""
    lake = downloaded(bucket, FOLDER, tmp_path / f"lake-{time.monotonic_ns()}")
    return rows_of(copied_from_lake(lake, lake.with_suffix(".duckdb")), query)


def lock_files(bucket: str) -> list[str]:
    found: list[str] = filesystem(bucket).glob(f"{BUCKET}/{FOLDER}/sendcloud_of_default.lock.*")
    return found


@pytest.fixture
def lake_backend(installation: Installation, bucket: str) -> Any:  # noqa: ARG001  # configures the environment
    """Returns the backend of the lake, in this process. Its locks expire after two seconds."""
    from pipelines.config.project import project_context
    from pipelines.destinations.delta import backend, object_lock

    installation.monkeypatch.setattr(object_lock.TransactionalFile, "LOCK_TTL_SECONDS", 2.0)
    with project_context(installation.folder):
        return backend.delta_backend(DEFAULT_NAMES)


def test_second_run_loads_a_new_pickup_and_a_late_cancellation(
    installation: Installation, world: World, api: Sandbox, bucket: str, tmp_path: Path
) -> None:
    pickup = world.book()
    assert installation.run(api).rows_new == 1
    world.advance(hours=1)
    world.change(pickup, pickup_status="Cancelled", cancelled_at=world.clock)
    world.book()

    receipt = installation.run(api)

    assert (receipt.rows_new, receipt.rows_changed, receipt.rows_cancelled, receipt.checks_failed) == (1, 1, 1, {})
    assert rows_in_lake(bucket, tmp_path) == as_rows(world.records())
    pickups, runs = read("pickups"), read("runs")
    assert pickups.set_index("pickup_id")["is_cancelled"].to_dict() == {pickup: True, pickup + 1: False}
    assert len(runs) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("bucket")
def test_views_of_a_bucket_equal_the_views_of_a_duckdb_file(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.analytics.views import view_files

    names = [path.stem for path in view_files() if path.stem != "runs"]
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
def test_read_requests_the_metadata_of_each_data_file_once(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB asks for the metadata dozens of times per query, and each request would take some milliseconds."""
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
def test_exported_views_are_read_from_the_bucket(
    installation: Installation, world: World, api: Sandbox, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spark would export the views into the bucket. Here, a copy of DuckDB's export replaces them."""
    world.book()
    installation.run(api)
    assert installation.command("models", "--to", str(tmp_path / "built")).returncode == 0
    filesystem(bucket).put(str(tmp_path / "built"), f"{BUCKET}/{FOLDER}/analytics", recursive=True)
    world.book()
    installation.run(api)

    assert len(read("pickups")) == 2
    monkeypatch.setenv("PUBLISH__VIEWS", "built")
    assert len(read("pickups")) == 1


def test_second_machine_cannot_load_an_account_while_the_first_loads_it(
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
    assert "Another run is under way (account 'default', process " in second.stderr
    assert not filesystem(bucket).glob(f"{BUCKET}/{FOLDER}/sendcloud_of_default.lock*")


def test_run_that_loses_its_lock_while_it_reads_writes_nothing(
    installation: Installation, world: World, api: Sandbox, bucket: str, tmp_path: Path
) -> None:
    world.book()
    installation.run(api)
    before, receipts = rows_in_lake(bucket, tmp_path), len(read("runs"))
    world.book()
    asked, gone = threading.Event(), threading.Event()
    api.on_request = lambda *_: asked.set() or gone.wait(60)
    held_up = installation.begin("run", api=api)
    assert asked.wait(60)  # the run holds its lock by now, because it requests nothing without a lock
    (lock,) = lock_files(bucket)
    filesystem(bucket).rm(lock)
    gone.set()
    _, said = held_up.communicate(timeout=60)

    assert held_up.returncode == 6, said
    assert "was presumed dead" in said
    assert (rows_in_lake(bucket, tmp_path), len(read("runs"))) == (before, receipts)


@pytest.mark.parametrize("instant", quick(["entering normalise", "entering load"], only=(1,)))
def test_resumed_run_does_not_overwrite_newer_rows_of_another_run(
    installation: Installation, world: World, api: Sandbox, bucket: str, tmp_path: Path, instant: str
) -> None:
    """A real process is stopped after it has read rows, until its lock has expired."""
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
    there = [rows_in_lake(bucket, tmp_path, query) for query in (PICKUPS, HISTORY, RUNS)]
    held_up.send_signal(signal.SIGCONT)
    _, said = held_up.communicate(timeout=60)

    assert other.returncode == 0, said_by_other
    assert there[0] == as_rows(world.records())
    assert [rows_in_lake(bucket, tmp_path, query) for query in (PICKUPS, HISTORY, RUNS)] == there
    assert held_up.returncode == 6, said
    assert "was presumed dead" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert not lock_files(bucket)


def test_deleted_lock_is_not_recreated_and_counts_as_lost(lake_backend: Any, bucket: str) -> None:
    with lake_backend.lock(["default"], 0):
        lake_backend.check_lock()
        filesystem(bucket).rm(lock_files(bucket)[0])
        time.sleep(1.5)
        assert not lock_files(bucket)
        with pytest.raises(DestinationError, match="was presumed dead"):
            lake_backend.check_lock()


def test_lock_that_now_belongs_to_another_run_is_left_unchanged(lake_backend: Any, bucket: str) -> None:
    with lake_backend.lock(["default"], 0):
        (lock,) = lock_files(bucket)
        filesystem(bucket).pipe_file(lock, b"of another")
        time.sleep(1.5)
        with pytest.raises(DestinationError, match="was presumed dead"):
            lake_backend.check_lock()

    assert filesystem(bucket).cat_file(lock) == b"of another"


def test_lock_is_lost_permanently_if_the_machine_slept_too_long(
    lake_backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the wall clock shows the sleep. The lock is lost although its file still exists and belongs to the run."""
    from pipelines.destinations.delta import object_lock

    with lake_backend.lock(["default"], 0):
        with monkeypatch.context() as patched:
            patched.setattr(object_lock, "_clocks", lambda: (time.time() + 60, time.monotonic()))
            with pytest.raises(DestinationError, match="was presumed dead"):
                lake_backend.check_lock()
        with pytest.raises(DestinationError, match="was presumed dead"):
            lake_backend.check_lock()
    with lake_backend.lock(["default"], 0):
        lake_backend.check_lock()


def test_renewal_that_comes_too_late_is_undone(lake_backend: Any, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is suspended between the check and the write, and the store does not support conditional writes."""
    from pipelines.destinations.delta import object_lock

    def late(lock: Any) -> None:
        time.sleep(2.5)
        lock._fs.pipe_file(lock.lock_path, lock._token)

    monkeypatch.setattr(object_lock.ObjectLock, "_rewrite", late)
    with lake_backend.lock(["default"], 0):
        time.sleep(3.8)
        assert not lock_files(bucket)
        with pytest.raises(DestinationError, match="was presumed dead"):
            lake_backend.check_lock()


def test_lock_deleted_between_the_check_and_the_renewal_stays_deleted(
    lake_backend: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run checks its lock file, another run deletes the file, and then the first run tries to rewrite it."""
    theirs = lake_backend.tables.filesystem
    info = theirs.info

    def deleted_then(path: str) -> Any:
        found = info(path)
        filesystem(bucket).rm(path)
        return found

    with lake_backend.lock(["default"], 0):
        monkeypatch.setattr(theirs, "info", deleted_then)
        time.sleep(1.5)
        assert not lock_files(bucket)


def test_waiting_run_renews_its_lock(lake_backend: Any, installation: Installation) -> None:
    """Without renewals, the run would lose its place in the queue, or precede runs that joined the queue later."""
    from pipelines.config.project import project_context
    from pipelines.destinations.delta import backend, object_lock

    # two seconds would not do: on a busy machine the bucket's stand-in has answered later (2026-11)
    installation.monkeypatch.setattr(object_lock.TransactionalFile, "LOCK_TTL_SECONDS", 6.0)
    with project_context(installation.folder):
        waiting = backend.delta_backend(DEFAULT_NAMES)
    got = []

    def wait() -> None:
        with waiting.lock(["default"], 30):
            waiting.check_lock()
            got.append(True)

    thread = threading.Thread(target=wait)
    with lake_backend.lock(["default"], 0):
        thread.start()
        time.sleep(8)
        assert not got
    thread.join(10)
    assert got


@pytest.mark.slow
def test_two_machines_load_different_accounts_concurrently(
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
    assert rows_in_lake(bucket, tmp_path) == sorted(expected, key=lambda row: (row["account"], row["id"]))


@pytest.mark.usefixtures("bucket")
def test_lock_of_a_crashed_machine_expires(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks expire after half a minute, but in this test after two seconds."""
    from pipelines.config.project import project_context
    from pipelines.destinations.delta import backend, object_lock

    with project_context(installation.folder):
        mine, theirs = backend.delta_backend(DEFAULT_NAMES), backend.delta_backend(DEFAULT_NAMES)
    monkeypatch.setattr(object_lock.TransactionalFile, "LOCK_TTL_SECONDS", 2.0)
    monkeypatch.setattr(object_lock.ObjectLock, "_start_heartbeat", lambda _: None)
    with ExitStack() as dead:
        dead.enter_context(theirs.lock(["default"], 0))
        with pytest.raises(RunInProgress), mine.lock(["default"], 0):
            pass
        time.sleep(3.1)
        with mine.lock(["default"], 0):
            pass
        dead.pop_all()


@pytest.mark.usefixtures("bucket")
def test_lock_of_a_live_run_is_renewed(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run renews its lock three times within the time after which the lock would expire."""
    from pipelines.config.project import project_context
    from pipelines.destinations.delta import backend, object_lock

    with project_context(installation.folder):
        mine, theirs = backend.delta_backend(DEFAULT_NAMES), backend.delta_backend(DEFAULT_NAMES)
    monkeypatch.setattr(object_lock.TransactionalFile, "LOCK_TTL_SECONDS", 6.0)
    with theirs.lock(["default"], 0):
        time.sleep(8)
        with pytest.raises(RunInProgress), mine.lock(["default"], 0):
            pass


@pytest.mark.slow
def test_next_run_recovers_from_a_killed_run(
    installation: Installation, world: World, api: Sandbox, bucket: str, tmp_path: Path
) -> None:
    """The next run waits until the lock of the killed run expires."""
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
    assert rows_in_lake(bucket, tmp_path) == as_rows(world.records())


@pytest.mark.usefixtures("bucket")
def test_machine_clock_ahead_of_the_bucket_clock_is_reported(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a machine whose clock is ahead, its own new lock looks expired, and so would the lock of any other machine."""
    from pipelines.config.project import project_context
    from pipelines.destinations.delta import backend, object_lock

    with project_context(installation.folder):
        lake_backend = backend.delta_backend(DEFAULT_NAMES)
    monkeypatch.setattr(object_lock.TransactionalFile, "LOCK_TTL_SECONDS", -60.0)

    with pytest.raises(DestinationError, match="clock"), lake_backend.lock(["default"], 0):
        pass


def test_unreachable_bucket_is_reported_in_one_line(
    installation: Installation, world: World, api: Sandbox, bucket: str
) -> None:
    world.book()
    unused_address = bucket.rsplit(":", 1)[0] + ":9"  # no server listens on port 9

    done = installation.process("run", api=api, DESTINATION__FILESYSTEM__CREDENTIALS__ENDPOINT_URL=unused_address)

    assert done.returncode == 6, done.stderr
    assert "s3://lake/our/pickups" in done.stderr
    assert "its-secret" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
