"""Copies data from a destination other than DuckDB into a DuckDB file, so that one query works for all destinations.

Copying uses none of the product's code except the views' SQL.
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pipelines.analytics.views import create_views

KINDS = {"boolean": pa.bool_(), "bigint": pa.int64(), "integer": pa.int64(), "date": pa.date32()}
KINDS |= dict.fromkeys(("double precision", "numeric"), pa.float64())
INSTANTS = {
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    "timestamp without time zone": pa.timestamp("us"),
}


def copied_from_postgres(address: str, path: Path) -> Path:
    """Copies all tables and views that users can read, and the next run's state, into a DuckDB file.

    If the database has no pickups yet, there is no file.
    """
    import psycopg2
    import psycopg2.extras

    path.unlink(missing_ok=True)
    connection = psycopg2.connect(address, options="-c timezone=UTC")
    connection.set_session(isolation_level="REPEATABLE READ")
    psycopg2.extras.register_default_json(connection, loads=str)
    psycopg2.extras.register_default_jsonb(connection, loads=str)
    with connection.cursor() as cursor:
        cursor.execute(
            "select table_schema, table_name, column_name, data_type from information_schema.columns "
            "where table_schema in ('sendcloud', 'analytics') "
            "or (table_schema like 'sendcloud_of_%' and (table_name like '\\_dlt%' or table_name = 'pickups_swept') "
            "and table_schema not like '%staging') order by 1, 2, ordinal_position"
        )
        columns = cursor.fetchall()
        if ("sendcloud", "pickups") in {column[:2] for column in columns}:
            with duckdb.connect(str(path)) as file:
                for (schema, name), group in groupby(columns, lambda column: column[:2]):
                    kinds = {column: kind for _, _, column, kind in group}
                    cursor.execute(f'select {", ".join(map(_asked, kinds, kinds.values()))} from {schema}."{name}"')
                    _put(file, "analytics" if schema == "analytics" else "sendcloud", name, kinds, cursor.fetchall())
    connection.close()
    return path


def copied_from_lake(root: Path, path: Path) -> Path:
    """Copies the tables from every account's folder in a lake into a DuckDB file, and creates the views."""
    from deltalake import DeltaTable

    logs = [*root.glob("sendcloud_of_*/*/_delta_log"), *root.glob("sendcloud_notes/*/*/_delta_log")]
    found = sorted(log.parent for log in logs)
    if not {"pickups", "pickup_runs"} <= {table.name for table in found}:
        return path  # the lake is empty, or its first load is incomplete
    with duckdb.connect(str(path)) as file:
        file.execute("set timezone = 'UTC'")
        file.execute("create schema sendcloud")
        for table in found:
            name, there = table.name, pa.table(DeltaTable(table).to_pyarrow_table())
            file.register("rows_there", there)
            file.execute(f"create table if not exists sendcloud.{name} as select * from rows_there limit 0")
            file.execute(f"insert into sendcloud.{name} by name select * from rows_there")
            file.unregister("rows_there")
        if file.execute("select * from duckdb_tables() where table_name = 'pickups_quarantine'").fetchall():
            file.execute("alter table sendcloud.pickups_quarantine add column resolved_at timestamptz")
        if file.execute("select * from duckdb_tables() where table_name = 'pickups_quarantine_resolved'").fetchall():
            file.execute(
                "update sendcloud.pickups_quarantine as q set resolved_at = r.resolved_at "
                "from sendcloud.pickups_quarantine_resolved as r "
                "where r.account = q.account and r.record_hash = q.record_hash and r.resolved_at >= q.last_seen_at"
            )
        loads = [[path.name] for path in sorted(root.glob("sendcloud_of_*/_dlt_loads/*.jsonl"))]
        file.execute("create table sendcloud._dlt_loads (load text)")
        file.executemany("insert into sendcloud._dlt_loads values (?)", loads)
        create_views(file)
    return path


def _asked(column: str, kind: str) -> str:
    """Returns the SQL expression that selects a column.

    Instants are selected in microseconds, because Python's calendar ends in the year 9999.
    """
    return f'cast(extract(epoch from "{column}") * 1000000 as bigint)' if kind in INSTANTS else f'"{column}"'


def _put(file: Any, schema: str, name: str, kinds: dict[str, str], rows: list[tuple[Any, ...]]) -> None:
    columns = zip(*rows, strict=True) if rows else [()] * len(kinds)
    arrays = [_array(kind, values) for kind, values in zip(kinds.values(), columns, strict=True)]
    file.register("rows_there", pa.table(arrays, names=[*kinds]))
    file.execute(f"create schema if not exists {schema}")
    file.execute(f'create table if not exists {schema}."{name}" as select * from rows_there limit 0')
    file.execute(f'insert into {schema}."{name}" by name select * from rows_there')  # several accounts have this table
    file.unregister("rows_there")


def _array(kind: str, values: Any) -> pa.Array:
    if kind in INSTANTS:
        return pa.array(values, pa.int64()).cast(INSTANTS[kind])
    if kind.startswith("json"):  # the server chooses the spacing and key order
        values = [v and json.dumps(json.loads(v), sort_keys=True, separators=(",", ":")) for v in values]
    arrow = KINDS.get(kind, pa.string())
    return pa.array([float(v) if v is not None and arrow == pa.float64() else v for v in values], arrow)
