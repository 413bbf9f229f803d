"""Puts a stranger's table, view, file or database in the place of ours, and takes it away again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from tests.support.installation import Installation

VIEW, TABLE = "a view of theirs", "a table of theirs in the place of a view"
PICKUPS, STAGING = "their table of pickups", "their staging table"
FILE, DATABASE = "their file at the published path", "their database at the published path"
WAREHOUSE = "their database at the warehouse's path"
STRANGERS = [VIEW, TABLE, PICKUPS, STAGING, FILE, DATABASE, WAREHOUSE]
OBJECTS = {
    VIEW: "create view analytics.pickups as select 7 as mine",
    TABLE: "create table analytics.runs as select 7 as mine",
    PICKUPS: "create table sendcloud.pickups as select 7 as mine",
    STAGING: "create table sendcloud_staging.pickups as select 7 as mine",
}


@contextmanager
def in_the_way(installation: Installation, what: str) -> Iterator[str]:
    """Yields the words that a refusal must contain. What was ours before is ours again afterwards.

    Somebody who replaces a view of ours doesn't keep it, so a run has to create it again.
    """
    if what in OBJECTS:
        with _object_in_the_way(installation.warehouse, OBJECTS[what]) as name:
            yield f"{name} was not created by this program"
        return
    path = installation.warehouse if what == WAREHOUSE else installation.published
    with _file_in_the_way(path):
        if what == FILE:
            path.write_bytes(b"id,carrier\n1,dhl\n")
        else:
            execute(path, "create table orders as select 7 as mine")
        words = {FILE: "is not a DuckDB file", DATABASE: "was not created by this program"}
        yield words.get(what, "which is now another database")


@contextmanager
def _object_in_the_way(warehouse: Path, statement: str) -> Iterator[str]:
    _, kind, name, *_ = statement.split()
    schema, table = name.split(".")
    is_ours, ours = warehouse.exists(), kind_of(warehouse, schema, table)
    aside = [f"drop view {name}"] if ours == "view" else [f"alter table {name} rename to set_aside"] if ours else []
    execute(warehouse, f"create schema if not exists {schema}", *aside, statement)
    yield f"{kind} {name}"
    back = [f"alter table {schema}.set_aside rename to {table}"] if ours == "table" else []
    execute(warehouse, f"drop {kind} {name}", *back)
    if not is_ours:
        warehouse.unlink()


@contextmanager
def _file_in_the_way(path: Path) -> Iterator[None]:
    ours, aside = path.exists(), path.with_name("set-aside")
    path.parent.mkdir(exist_ok=True)
    if ours:
        path.rename(aside)
    yield
    path.unlink()
    if ours:
        aside.rename(path)


def kind_of(path: Path, schema: str, name: str) -> str | None:
    """Returns `table` or `view`, or None if the file has no such object."""
    if not path.exists():
        return None
    query = """
        select 'table' from duckdb_tables() where (schema_name, table_name) = ($schema, $name)
        union all select 'view' from duckdb_views() where (schema_name, view_name) = ($schema, $name)
    """
    with duckdb.connect(str(path), read_only=True) as connection:
        found = connection.execute(query, {"schema": schema, "name": name}).fetchall()
    return found[0][0] if found else None


def execute(path: Path, *statements: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)
