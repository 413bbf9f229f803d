"""Tables that an older version made, brought up to what this one reads. What is in them stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.store import Connection

# columns that came later, by table; dlt would add them with the next load, and a run that finds nothing loads nothing
SINCE_THEN = {"pickups": {"time_slots": "json", "api_version": "text"}}


def upgrade(connection: Connection) -> None:
    """Adds the columns that are missing; nothing where there are no tables yet."""
    for table, columns in SINCE_THEN.items():
        for name in missing(connection.columns(table), table):
            connection.execute(f"alter table sendcloud.{table} add column {name} {columns[name]}")


def missing(there: Sequence[str], table: str) -> list[str]:
    """Of the columns that came later, those that are not among the columns there are; none where there are none."""
    return [name for name in SINCE_THEN.get(table, {}) if there and name not in there]
