"""Fills a real PostgreSQL database with the product's tables, using the types that dlt creates there."""

from __future__ import annotations

from typing import Any

import duckdb
import psycopg2
import psycopg2.extras

from tests.support.engines import Row, rows_in, tables_of

TYPES = {
    "VARCHAR": "varchar",
    "BIGINT": "bigint",
    "DATE": "date",
    "DOUBLE": "double precision",
    "BOOLEAN": "boolean",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "JSON": "jsonb",
}


class Postgres:
    """A connection for `create_views` and the checks. Every statement is its own transaction."""

    def __init__(self, address: str) -> None:
        self.connection = psycopg2.connect(address)
        self.connection.autocommit = True

    def execute(self, sql: str, parameters: Any = None) -> Any:
        cursor = self.connection.cursor()
        cursor.execute(sql, parameters)
        return cursor

    def rows(self, query: str) -> list[Row]:
        cursor = self.execute(query)
        return [dict(zip((column.name for column in cursor.description), row, strict=True)) for row in cursor]

    def fill(self, source: duckdb.DuckDBPyConnection) -> None:
        """Replaces both schemas with the tables of `source`."""
        self.execute("drop schema if exists analytics cascade")
        self.execute("drop schema if exists sendcloud cascade")
        self.execute("create schema sendcloud")
        for table, columns in tables_of(source).items():
            written = ", ".join(f'"{name}" {TYPES[kind]}' for name, kind in columns)
            self.execute(f"create table sendcloud.{table} ({written})")
            if rows := [tuple(row.values()) for row in rows_in(source, f"sendcloud.{table}")]:
                with self.connection.cursor() as cursor:
                    psycopg2.extras.execute_values(cursor, f"insert into sendcloud.{table} values %s", rows)
