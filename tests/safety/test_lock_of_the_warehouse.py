"""Tests that no other program can write to the warehouse during a run.

DuckDB locks the file, but a process loses its lock as soon as it closes the file, even if it only read a few bytes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines import run_accounts
from pipelines.destinations.duckdb import backend
from pipelines.destinations.duckdb.session import DuckDBSession
from pipelines.loading.several import early_publishing
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.accounts import configure, rows_of_worlds
from tests.support.destinations import of_files
from tests.support.installation import Installation, as_rows
from tests.support.instants import HALF, happen_at
from tests.support.three_accounts import apis as apis

LOCKS = Path("/proc/locks")
pytestmark = [of_files, pytest.mark.skipif(not LOCKS.exists(), reason="only Linux lists the locks in /proc/locks")]
SMALL = {"page_size": 1, "pages_per_package": 2}


def is_locked(file: Path) -> bool:
    mine = [line.split() for line in LOCKS.read_text().splitlines() if "POSIX" in line and "WRITE" in line]
    return any(words[-4] == str(os.getpid()) and words[-3].endswith(f":{file.stat().st_ino}") for words in mine)


@pytest.fixture
def statements(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, str]]:
    """Returns a list of every statement that is executed in the warehouse, and of whether the file was locked."""
    executed: list[tuple[bool, str]] = []
    execute = DuckDBSession.execute

    def noting(session: DuckDBSession, sql: str, parameters: Any = None, /) -> Any:
        ((catalog,),) = session.connection.cursor().execute("select current_database()").fetchall()
        if catalog == installation.warehouse.stem:
            executed.append((is_locked(installation.warehouse), " ".join(sql.split())[:80]))
        return execute(session, sql, parameters)

    monkeypatch.setattr(DuckDBSession, "execute", noting)
    return executed


def unlocked(statements: list[tuple[bool, str]]) -> list[str]:
    assert len(statements) > 50
    found = [sql for was_locked, sql in statements if not was_locked]
    statements.clear()
    return found


def test_the_warehouse_is_locked_in_each_statement_of_each_run(
    installation: Installation,
    world: World,
    api: Sandbox,
    statements: list[tuple[bool, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world.book()
    installation.run(api)
    assert unlocked(statements) == []
    world.book()
    installation.run(api)
    assert unlocked(statements) == []

    monkeypatch.setattr(backend, "needs_compaction", lambda *_: True)
    world.book()
    installation.run(api)
    assert unlocked(statements) == []
    assert installation.pickups() == as_rows(world.records())
    assert not is_locked(installation.warehouse)


def test_the_warehouse_is_locked_after_some_accounts_were_published(
    installation: Installation,
    apis: dict[str, Sandbox],
    statements: list[tuple[bool, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(early_publishing, "GATHER_SECONDS", 0.0)
    configure(installation, apis, common=SMALL)

    def wait_for_the_others(_api: Sandbox, number: int) -> None:
        until = time.monotonic() + 90
        while number == 4 and not installation.published.exists() and time.monotonic() < until:
            time.sleep(0.1)

    apis["south"].on_request = wait_for_the_others

    receipts = run_accounts(installation.folder)

    assert {one.outcome for one in receipts} == {"succeeded"}
    assert installation.pickups() == rows_of_worlds(apis)
    assert unlocked(statements) == []


def test_another_program_cannot_write_to_the_warehouse_while_it_is_copied(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.book()
    installation.run(api)
    world.book()
    refused: list[str] = []

    def write() -> None:
        program = f"import duckdb; duckdb.connect({str(installation.warehouse)!r}).execute('create table t (i int)')"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        refused.append(done.stderr.strip().splitlines()[-1][:60] if done.stderr else "nothing")

    happen_at(HALF, 1, write, monkeypatch.setattr)
    installation.run(api)

    assert refused
    assert all("Could not set lock" in error for error in refused)
    with duckdb.connect(str(installation.warehouse)) as now_possible:
        assert now_possible.execute("select count(*) from sendcloud.pickups").fetchall() == [(2,)]
