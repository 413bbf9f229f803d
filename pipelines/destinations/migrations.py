"""Updates the columns of tables that an older version created. Rows keep their values."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.analytics.kept_columns import KEPT_COLUMNS, digest_of_rules
from pipelines.destinations.account_rows import mark_first_states
from pipelines.destinations.base import Session
from pipelines.destinations.warehouse_mark import MARK_TABLE, note_kept_digest

# Columns and types by table. dlt adds new columns only with the next load, and a run without new rows loads nothing.
ADDED_COLUMNS = {
    "pickups": {"time_slots": "json", "api_version": "text"},
    "pickup_runs": {
        "run_number": "bigint",
        "clock_difference_seconds": "double",
        "open_missing": "bigint",
        "frontier_pickup_id": "bigint",
        "api_version": "text",
        "sweep": "text",
        "rows_missed": "bigint",
        "rows_unlisted": "bigint",
        "unexpected_values": "text",
        "rows_in_table": "bigint",
    },
    "pickups_quarantine": {"resolved_at": "timestamptz"},
    "pickup_status_history": {"is_first": "boolean"},
}
# columns that were renamed in 2026-11, from old name to new name, by table
RENAMED_COLUMNS = {
    "pickup_runs": {
        "reached": "oldest_read_at",
        "first_missed": "missed_ids",
        "check_values": "unexpected_values",
        "discarded_to": "discarded_dir",
    }
}

# the files of the first version have no status history, which views read (bookkeeping/status_history.py creates it)
STATUS_HISTORY = """
    create table if not exists sendcloud.pickup_status_history (
        account text, id bigint, pickup_status text, cancelled_at timestamptz, pickup_from timestamptz,
        pickup_until timestamptz, observed_at timestamptz, _dlt_load_id text, is_first boolean
    )
"""


def migrate(session: Session) -> None:
    """Adds missing columns and renames old ones. If a crash interrupts this, the next run does the rest.

    Each table's columns are added in one transaction, along with the values of `is_first`.
    """
    for table, columns in ADDED_COLUMNS.items():
        missing = missing_columns(session.columns(table), table)
        if not missing:
            continue
        session.execute("begin")
        for name in missing:
            session.execute(f"alter table sendcloud.{table} add column {name} {columns[name]}")
        if "is_first" in missing:
            mark_first_states(session)
        session.execute("commit")
    for table in RENAMED_COLUMNS:
        rename_columns(session, table)


def add_kept_columns(session: Session) -> None:
    """Adds the kept columns (analytics/kept_columns.py) to a DuckDB warehouse that lacks them. Call it after the mark.

    The run fills them in (bookkeeping/kept_columns.py). If there is no table yet, dlt creates it with these columns, so
    the mark says at once that no row lacks them.
    """
    existing = session.columns("pickups")
    if KEPT_COLUMNS.keys() <= set(existing):
        return
    session.execute("begin")
    session.execute(f"alter table sendcloud.{MARK_TABLE} add column if not exists kept_columns text")
    if existing:
        for name, kind in KEPT_COLUMNS.items():
            session.execute(f"alter table sendcloud.pickups add column if not exists {name} {kind}")
    else:
        note_kept_digest(session, digest_of_rules())
    session.execute("commit")


def rename_columns(session: Session, table: str) -> None:
    """Renames the old columns of `sendcloud.<table>`.

    If an older version has since written to the table, merges the old columns into the new ones.
    """
    existing = session.columns(table)
    for old, new in RENAMED_COLUMNS[table].items():
        if old not in existing:
            continue
        if new in existing:
            session.execute(f"update sendcloud.{table} set {new} = coalesce({new}, {old}) where {old} is not null")  # noqa: S608  # the names are constants
            session.execute(f"alter table sendcloud.{table} drop column {old}")
        else:
            session.execute(f"alter table sendcloud.{table} rename column {old} to {new}")


def missing_columns(existing: Sequence[str], table: str) -> list[str]:
    """Returns the columns of ADDED_COLUMNS that the table lacks under both their new and old names.

    The list is empty if the table doesn't exist.
    """
    renamed = [new for old, new in RENAMED_COLUMNS.get(table, {}).items() if old in existing]
    return [name for name in ADDED_COLUMNS.get(table, {}) if existing and name not in [*existing, *renamed]]


def current_columns(existing: Sequence[str], table: str) -> str:
    """Returns a select list that gives all columns their current names, whichever version created the table."""
    renamed = {old: new for old, new in RENAMED_COLUMNS.get(table, {}).items() if old in existing}
    both = [new for new in renamed.values() if new in existing]
    names = [name for name in existing if name not in renamed and name not in both]
    merged = [
        f"coalesce({new}, {old}) as {new}" if new in both else f'"{old}" as {new}' for old, new in renamed.items()
    ]
    added = [f"null::{ADDED_COLUMNS[table][name]} as {name}" for name in missing_columns(existing, table)]
    return ", ".join([*(f'"{name}"' for name in names), *merged, *added])
