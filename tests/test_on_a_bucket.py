"""A lake in a bucket: what is not as in a folder. moto stands for S3, see a_bucket.py; Google's, Azure's: untried."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import AnotherRun, DestinationFailed
from pipelines.warehouse import read
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.a_bucket import BUCKET, bucket_server, downloaded, filesystem, settings_of
from tests.conftest import NOW
from tests.copies import copied_from_lake
from tests.installation import Installation, as_rows, rows_of
from tests.places import read_by_people

pytest.importorskip("moto", reason="what stands for a bucket is of the engines' environment: make test-engines has it")
pytest.importorskip("s3fs", reason="a bucket's file system is an extra: make test-engines has it")
PICKUPS = "select * exclude (_dlt_load_id) from sendcloud.pickups order by account, id"
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


def in_it(bucket: str, tmp_path: Path) -> list[dict[str, Any]]:
    lake = downloaded(bucket, FOLDER, tmp_path / f"lake-{time.monotonic_ns()}")
    return rows_of(copied_from_lake(lake, lake.with_suffix(".duckdb")), PICKUPS)


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
    assert "Another run is under way (of account 'default'; lock lake/our/pickups/" in second.stderr
    assert not filesystem(bucket).glob(f"{BUCKET}/{FOLDER}/sendcloud_of_default.lock*")


def test_a_run_that_was_taken_for_dead_while_it_read_writes_nothing_more(
    installation: Installation, world: World, api: Sandbox, bucket: str, tmp_path: Path
) -> None:
    world.book()
    installation.run(api)
    before, receipts = in_it(bucket, tmp_path), len(read("runs"))
    world.book()
    api.fault(faults.slow(4), times=1)
    held_up = installation.begin("run", api=api)
    while not (locks := filesystem(bucket).glob(f"{BUCKET}/{FOLDER}/sendcloud_of_default.lock.*")):
        assert held_up.poll() is None
    filesystem(bucket).rm(locks[0])
    _, said = held_up.communicate(timeout=60)

    assert held_up.returncode == 6, said
    assert "was taken for dead" in said
    assert (in_it(bucket, tmp_path), len(read("runs"))) == (before, receipts)


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
    from pipelines import bucket as bucket_lock
    from pipelines import lake
    from pipelines.project import inside

    with inside(installation.folder):
        mine, theirs = lake.lake(), lake.lake()
    monkeypatch.setattr(bucket_lock.TransactionalFile, "LOCK_TTL_SECONDS", 2.0)
    monkeypatch.setattr(bucket_lock.TransactionalFile, "_start_heartbeat", lambda _: None)
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
    """Every half of the time after which it would be void."""
    from pipelines import bucket as bucket_lock
    from pipelines import lake
    from pipelines.project import inside

    with inside(installation.folder):
        mine, theirs = lake.lake(), lake.lake()
    monkeypatch.setattr(bucket_lock.TransactionalFile, "LOCK_TTL_SECONDS", 3.0)
    with theirs.locked(["default"], 0):
        time.sleep(5)
        with pytest.raises(AnotherRun), mine.locked(["default"], 0):
            pass


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
    from pipelines import bucket as bucket_lock
    from pipelines import lake
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
