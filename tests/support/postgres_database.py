"""Provides a PostgreSQL database for one test, and a second connection to query it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.copies import copied_from_postgres
from tests.support.destinations import POSTGRES, fresh_database
from tests.support.installation import rows_of

OTHER_SESSIONS = "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"


@pytest.fixture
def address(postgres: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Creates a database for this test, and sets it as the destination in the environment."""
    address = fresh_database(postgres)
    monkeypatch.setenv("PIPELINE__DESTINATION", "postgres")
    monkeypatch.setenv(POSTGRES, address)
    return address


@pytest.fixture
def ask(address: str) -> Iterator[Any]:
    """Returns a function that runs SQL on a separate connection and returns the rows."""
    import psycopg2

    connection = psycopg2.connect(address, options="-c timezone=UTC")
    connection.autocommit = True
    cursor = connection.cursor()

    def asked(sql: str) -> list[tuple[Any, ...]]:
        # a run's session drops its temporary views a moment after the run, which may be a deadlock with drop schema
        for _ in range(100 if sql.startswith("drop schema") else 0):
            cursor.execute(OTHER_SESSIONS)
            if not cursor.fetchall():
                break
            time.sleep(0.1)
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []

    yield asked
    connection.close()


def on(address: str, tmp_path: Path) -> list[dict[str, Any]]:
    copy = copied_from_postgres(address, tmp_path / "copy.duckdb")
    return rows_of(copy, "select * exclude (_dlt_load_id) from sendcloud.pickups order by account, id")
