"""Renames, counts and deletes an account's rows in one schema, in the caller's transaction.

An account can be renamed before or after the first run under its new name. After that run, both names have rows for the
same pickups. The rename then merges these rows, so that nothing is lost and no pickup or state is counted twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.destinations.base import DATASET, Session
from pipelines.destinations.naming import STAGING_SUFFIX
from pipelines.destinations.ownership import DERIVED_TABLES, PIPELINE_PREFIX, TABLE_COLUMNS
from pipelines.errors import AccountMismatch

RowCounts = dict[str, dict[str, int]]  # account -> table -> rows
STATE_TABLE = "_dlt_pipeline_state"

# Another program's table in our schema may also have an `account` column, so only our tables are changed.
_ACCOUNT_TABLES = """
    select columns.table_name from information_schema.columns
    join information_schema.tables using (table_catalog, table_schema, table_name)
    where table_catalog = current_database() and columns.table_schema = $schema and column_name = 'account'
        and table_type = 'BASE TABLE'
    order by columns.table_name
"""
# Both names may have a row for the same pickup. The rename keeps the new name's row and the new name's position in
# dlt's state. Starting at that position, the next run reads every pickup that is still open in the kept rows.
_KEYS = {
    "pickups_quarantine": ("record_hash",),
    "pickups_quarantine_resolved": ("record_hash",),  # in a lake, resolved records are in a separate table
    "pickups_unlisted": ("id",),
    "pickups": ("id",),
    # if the process is killed while renaming an account in a lake, copies of these rows remain under both names
    "pickup_status_history": ("id", "observed_at", "_dlt_load_id"),
    "pickup_runs": ("run_id",),
}
_DELETE_OUTDATED = """
    delete from sendcloud.{table} as outdated using (select {keys} from sendcloud.{kept} where account = $new) as kept
    where outdated.account = $old and {same}
"""
_KEEP_FIRST_SEEN = """
    update sendcloud.pickups_quarantine as kept set first_seen_at = earlier.first_seen_at
    from (select record_hash, first_seen_at from sendcloud.pickups_quarantine where account = $old) as earlier
    where kept.account = $new and kept.record_hash = earlier.record_hash
        and earlier.first_seen_at < kept.first_seen_at
"""
STATE_COLUMNS = ("pickup_status", "cancelled_at", "pickup_from", "pickup_until")
_STATES = ", ".join(STATE_COLUMNS)
# a different spelling is not a different state: v2 sends Created, v3 sends CREATED
_NORMALIZED = ("replace(lower({}), ' ', '_')", "{}", "{}", "{}")
IS_REPEATED = " and ".join(
    f"{compared.format(state)} is not distinct from {compared.format(f'latest_{state}')}"
    for compared, state in zip(_NORMALIZED, STATE_COLUMNS, strict=True)
)
LATEST_STATES = ", ".join(f"lag({state}) over before as latest_{state}" for state in STATE_COLUMNS)
# the first observation under the new name repeats the last state under the old name, unless the pickup has changed
_DELETE_REPEATED_STATES = f"""
    delete from sendcloud.pickup_status_history as repeated using (
        select id, observed_at, _dlt_load_id from (
            select id, observed_at, _dlt_load_id, {_STATES}, lag(id) over before as latest_id, {LATEST_STATES}
            from sendcloud.pickup_status_history where account = $new
            window before as (partition by id order by observed_at, _dlt_load_id)
        ) as compared
        where latest_id is not null and {IS_REPEATED}
    ) as found
    where repeated.account = $new and repeated.id = found.id and repeated.observed_at = found.observed_at
        and repeated._dlt_load_id = found._dlt_load_id
"""  # noqa: S608  # the names are constants
_MARK_FIRST_STATES = """
    update sendcloud.pickup_status_history as history set is_first = found.is_first
    from (
        select account, id, observed_at, _dlt_load_id,
            row_number() over (partition by account, id order by observed_at, _dlt_load_id) = 1 as is_first
        from sendcloud.pickup_status_history where account = coalesce($account, account)
    ) as found
    where history.account = found.account and history.id = found.id and history.observed_at = found.observed_at
        and history._dlt_load_id = found._dlt_load_id and history.is_first is distinct from found.is_first
"""
_COMPARED = """
    select count(*), count(*) filter (where old.created_at = new.created_at)
    from sendcloud.pickups as old join sendcloud.pickups as new on new.id = old.id
    where old.account = $old and new.account = $new
"""
_PICKUPS = f"select count(*) from {DATASET}.pickups where account = $account"  # noqa: S608  # a constant


@dataclass(frozen=True)
class Renaming:
    """The old name and the new name of an account."""

    old: str
    new: str

    def parameters(self) -> dict[str, str]:
        return {"old": self.old, "new": self.new}


def check_all_again(session: Session) -> None:
    """Makes the next run check all pickups, because a command has changed rows (bookkeeping/findings.py)."""
    if session.has_table("pickup_checks"):
        session.execute("delete from sendcloud.pickup_checks")


def account_tables(session: Session, schema: str) -> list[str]:
    """Returns the names of our tables in the schema that have an `account` column."""
    found = [name for (name,) in session.execute(_ACCOUNT_TABLES, {"schema": schema}).fetchall()]
    return [name for name in found if name in TABLE_COLUMNS]


def clear_staging(session: Session, schema: str) -> None:
    """Deletes the rows that dlt's last merge left in its staging schema. The next load does not need these rows."""
    staging = f"{schema}{STAGING_SUFFIX}"
    for (table,) in session.execute(_TABLES, {"schema": staging}).fetchall():
        session.execute(f'delete from "{staging}"."{table}"')  # noqa: S608  # from the catalog


_TABLES = """
    select table_name from information_schema.tables
    where table_catalog = current_database() and table_schema = $schema and table_type = 'BASE TABLE'
"""


def count_rows(session: Session, schema: str) -> RowCounts:
    """Returns each account's row counts by table, omitting tables in which the account has no rows."""
    found: RowCounts = {}
    for table in account_tables(session, schema):
        if table in DERIVED_TABLES:
            continue
        counts = f"select account, count(*) from sendcloud.{table} group by account"  # noqa: S608  # from the catalog
        for account, rows in session.execute(counts).fetchall():
            found.setdefault(account, {})[table] = rows
    return found


def rename_rows(session: Session, schema: str, names: Renaming) -> None:
    """Moves the old name's rows to the new name.

    Args:
        session: a session with an open transaction. Its `sendcloud` schema contains the rows of both names.
        schema: the actual name of the `sendcloud` schema in the database.
        names: both names.

    Raises:
        AccountMismatch: the pickups under the two names belong to different accounts.
    """
    tables = account_tables(session, schema)
    if has_pickups(session, tables, names.new) and has_pickups(session, tables, names.old):
        _check_is_same_account(session, names)
        _delete_outdated(session, tables, names)
    for table in tables:
        session.execute(f"update sendcloud.{table} set account = $new where account = $old", names.parameters())  # noqa: S608  # from the catalog
    if "pickup_status_history" in tables:
        session.execute(_DELETE_REPEATED_STATES, {"new": names.new})
        mark_first_states(session, names.new)
    rename_position(session, names)
    check_all_again(session)


def mark_first_states(session: Session, account: str | None = None) -> None:
    """Sets `is_first` of each state in the history, of all accounts by default.

    Does nothing if the table has no such column. The next run adds the column.
    """
    if "is_first" in session.columns("pickup_status_history"):
        session.execute(_MARK_FIRST_STATES, {"account": account})


def has_pickups(session: Session, tables: list[str], account: str) -> bool:
    """Returns whether the account has a pickup in `sendcloud.pickups`."""
    return "pickups" in tables and session.execute(_PICKUPS, {"account": account}).fetchall()[0][0] > 0


def _check_is_same_account(session: Session, names: Renaming) -> None:
    """Raises AccountMismatch unless the two names have pickups in common, each with the same booking time."""
    ((common, same),) = session.execute(_COMPARED, names.parameters()).fetchall()
    if not same or same < common:
        raise AccountMismatch(names.old, names.new, common, same)


def _delete_outdated(session: Session, tables: list[str], names: Renaming) -> None:
    if "pickups_quarantine" in tables:
        session.execute(_KEEP_FIRST_SEEN, names.parameters())
    if "pickups_swept" in tables:  # a sweep that began under the old name does not continue under the new name
        session.execute("delete from sendcloud.pickups_swept where account = $old", {"old": names.old})
    for table, kept in [("pickups_unlisted", "pickups"), *zip(_KEYS, _KEYS, strict=True)]:
        if table in tables:
            same = " and ".join(f"outdated.{key} = kept.{key}" for key in _KEYS[table])
            outdated = _DELETE_OUTDATED.format(table=table, kept=kept, keys=", ".join(_KEYS[table]), same=same)
            session.execute(outdated, names.parameters())


def delete_rows(session: Session, schema: str, account: str) -> None:
    """Deletes the account's rows from every table, along with its stored position in the list of pickups."""
    for table in account_tables(session, schema):
        session.execute(f"delete from sendcloud.{table} where account = $account", {"account": account})  # noqa: S608  # from the catalog
    if session.has_table(STATE_TABLE):
        session.execute(_DELETE_POSITION, {"name": PIPELINE_PREFIX + account})


_DELETE_POSITION = f"delete from sendcloud.{STATE_TABLE} where pipeline_name = $name"  # noqa: S608  # a constant
_POSITIONS = f"select _dlt_id, state from sendcloud.{STATE_TABLE} where pipeline_name = $name"  # noqa: S608  # a constant
_RENAME_POSITION = f"""
    update sendcloud.{STATE_TABLE} set pipeline_name = $new, state = $state, version_hash = $version_hash
    where _dlt_id = $dlt_id
"""  # noqa: S608  # a constant


def rename_position(session: Session, names: Renaming) -> None:
    """Moves the old name's list position to the new name, or deletes it if the new name already has a position."""
    if not session.has_table(STATE_TABLE):
        return
    old, new = PIPELINE_PREFIX + names.old, PIPELINE_PREFIX + names.new
    if not session.execute(_POSITIONS, {"name": new}).fetchall():
        for dlt_id, state in session.execute(_POSITIONS, {"name": old}).fetchall():
            session.execute(_RENAME_POSITION, {"new": new, "dlt_id": dlt_id, **renamed_state(state, names)})
    session.execute(_DELETE_POSITION, {"name": old})


def renamed_state(compressed: str, names: Renaming) -> dict[str, Any]:
    """Renames the account in dlt's stored state, and returns the new values of the state table's columns."""
    from dlt.common.versioned_state import compress_state, decompress_state, generate_state_version_hash

    state: Any = decompress_state(compressed)
    state["pipeline_name"] = PIPELINE_PREFIX + names.new
    for source in state.get("sources", {}).values():
        memories = source.get("resources", {}).get("pickups", {}).get("accounts", {})
        if names.old in memories:
            memories[names.new] = memories.pop(names.old)
    state["_version_hash"] = generate_state_version_hash(state, exclude_attrs=["_local"])
    return {"state": compress_state(state), "version_hash": state["_version_hash"]}
