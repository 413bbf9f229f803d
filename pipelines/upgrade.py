"""Tables that an older version made, brought up to what this one reads. What is in them stays as it is."""

from __future__ import annotations

from typing import Any

# columns that came later, by table; dlt would add them with the next load, and a run that finds nothing loads nothing
SINCE_THEN = {"pickups": {"time_slots": "json", "api_version": "text"}}


def upgrade(connection: Any) -> None:
    """Adds the columns that are missing; nothing where there are no tables yet."""
    for table, columns in SINCE_THEN.items():
        for name in missing(connection, table):
            connection.execute(f"alter table sendcloud.{table} add column {name} {columns[name]}")


def missing(connection: Any, table: str, database: str | None = None) -> list[str]:
    """Of the columns that came later, those that the table of `sendcloud` lacks; none where there is no such table."""
    there = connection.execute(
        "select column_name from duckdb_columns() where schema_name = 'sendcloud' and table_name = ? "
        "and database_name = coalesce(?, current_database())",
        [table, database],
    ).fetchall()
    return [name for name in SINCE_THEN.get(table, {}) if there and (name,) not in there]
