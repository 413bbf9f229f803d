"""Checks what must hold after every successful run, whatever happened before it.

`published_pickups` checks the published file, which must be usable at any time.
"""

from __future__ import annotations

import re
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import duckdb

from pipelines.analytics.checks import check_files, is_per_pickup, run_checks
from sources.sendcloud.sandbox import World
from tests.support.installation import Installation, as_rows, rows_of

STATES = ("pickup_status", "cancelled_at", "pickup_from", "pickup_until")
# A run updates these columns after publishing. The published file gets the new values only from the next run.
AFTER_PUBLISHING = {"finished_at", "seconds_published", "published_file"}
State = tuple[Any, ...]


def differences(installation: Installation, world: World) -> list[str]:
    """Describes the differences between the installation and its world. The list is empty if there are none."""
    return differences_from(installation, as_rows(world.records()))


def differences_from(installation: Installation, expected: list[dict[str, Any]]) -> list[str]:
    return [
        *_between("table and world", installation.pickups(), expected),
        *_between("warehouse and published file", tables_of(installation.published), tables_of(installation.warehouse)),
        *_of_the_history(installation, expected),
        *(f"left over: {name}" for name in leftovers(installation)),
    ]


def _between(what: str, found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> list[str]:
    if found == expected:
        return []
    odd = [row for row in found if row not in expected] + [row for row in expected if row not in found]
    if not odd:
        return [f"{what}: rows doubled or in another order"]
    return [f"{what} differ in {len(odd)} rows, such as {odd[0]}"]


def tables_of(path: Path) -> list[dict[str, Any]]:
    """Returns every row of every table in a file as one list, which must be the same for two copies."""
    with duckdb.connect(str(path), read_only=True) as connection:
        listed = "select schema_name || '.' || table_name from duckdb_tables() where not temporary order by all"
        return [
            {"table": name} | {column: value for column, value in row.items() if column not in AFTER_PUBLISHING}
            for (name,) in connection.execute(listed).fetchall()
            for row in connection.sql(f"select * from {name} order by all").to_arrow_table().to_pylist()
        ]


def found_in_full(path: Path) -> dict[str, int]:
    """Returns what the checks of each pickup find in a file, without anything that runs have kept."""
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        found = run_checks(connection, files=[check for check in check_files() if is_per_pickup(check)])
        return {result.name: result.rows for result in found}


def states_told(path: Path) -> dict[int, list[State]]:
    """Returns the states of each pickup in the history, in the order in which runs observed them."""
    query = "select * from sendcloud.pickup_status_history order by id, observed_at, _dlt_load_id::double"
    rows = rows_of(path, query)
    return {id_: [state_of(row) for row in group] for id_, group in groupby(rows, lambda row: row["id"])}


def state_of(row: dict[str, Any]) -> State:
    return tuple(row[name] for name in STATES)


def _of_the_history(installation: Installation, expected: list[dict[str, Any]]) -> list[str]:
    told = states_told(installation.published)
    found = [f"history of {id_} tells a state twice: {states}" for id_, states in told.items() if _repeats(states)]
    found += _wrong_first_states(installation)
    if told.keys() != {row["id"] for row in expected}:
        found.append("history and world don't have the same pickups")
    for row in expected:
        states = told.get(row["id"], [None])
        if states[-1] != state_of(row):
            found.append(f"history of {row['id']} ends with {states[-1]}, the world says {state_of(row)}")
    return found


def _wrong_first_states(installation: Installation) -> list[str]:
    """Returns a message for each pickup whose earliest state is not the only one that is marked as first."""
    query = "select id, is_first from sendcloud.pickup_status_history order by id, observed_at, _dlt_load_id::double"
    marks: dict[int, list[bool]] = {}
    for row in rows_of(installation.published, query):
        marks.setdefault(row["id"], []).append(row["is_first"])
    right = {id_: [True, *[False] * (len(found) - 1)] for id_, found in marks.items()}
    return [f"first states of {id_}: {found}" for id_, found in marks.items() if found != right[id_]]


def _repeats(states: list[State]) -> bool:
    return any(state == after for state, after in pairwise(states))


def leftovers(installation: Installation) -> list[str]:
    """Returns partial copies and write-ahead logs. A finished run must leave none behind, except those set aside.

    If a killed run's log is all that is left of a lost warehouse, restoring keeps the log under another name.
    """
    names = [path.name for path in installation.published.parent.iterdir()]
    set_aside = re.compile(r"\.(damaged|replaced)-\d")
    return [name for name in names if name.endswith((".new", ".wal")) and not set_aside.search(name)]


def published_pickups(installation: Installation) -> list[dict[str, Any]] | None:
    """Returns the pickups that readers see now, or None if there is no file yet. Fails if a view cannot be queried."""
    if not installation.published.exists():
        return None
    assert not installation.published.with_name(installation.published.name + ".wal").exists()
    with duckdb.connect(str(installation.published), read_only=True) as connection:
        for view in ("pickups", "carrier_cancellations", "carrier_windows", "carrier_window_grid"):
            connection.execute(f"select * from analytics.{view}").fetchall()
    return installation.pickups()
