"""Copies rows from an account's own schema to the published tables, inside the open transaction.

A run's rows, history and receipt therefore become visible together when the transaction commits. If a run crashes
before the commit, the published tables stay unchanged, and the next run also publishes the crashed run's rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.destinations.migrations import RENAMED_COLUMNS, rename_columns

if TYPE_CHECKING:
    from pipelines.destinations.postgres.session import PostgresSession

PUBLISH_LOCK = "select pg_advisory_xact_lock(hashtextextended('sendcloud pickups: tables for readers', 0))"
# the loads in the account's own schema whose states are recorded (bookkeeping/status_history.py) but not yet published
_UNPUBLISHED_LOADS = """
    select _dlt_load_id from "{own}".pickup_states_recorded
    except
    select _dlt_load_id from "{own}".pickup_loads_shown
"""
_DELETE_OUTDATED = """
    delete from sendcloud.pickups as shown using "{own}".pickups as own
    where shown.account = own.account and shown.id = own.id and own._dlt_load_id = any(%(unseen)s)
"""
# New rows in these tables are copied load by load. The columns are indexed because users look up rows by these columns.
_BY_LOAD = {"pickups": ["account", "id"], "pickup_status_history": ["account", "id"]}
# Rows in these tables are compared on all columns. Changed rows are deleted and inserted again.
_BY_KEY = {"pickups_quarantine": "record_hash", "pickups_unlisted": "id", "pickup_runs": "run_id"}
PUBLISHED_TABLES = (*_BY_LOAD, *_BY_KEY)
_KEYS = {**_BY_LOAD, **{table: ["account", key] for table, key in _BY_KEY.items()}}
# These are the indexes on the account's own tables. Publishing looks up new rows by load id. Without an index on the
# load id, a run with new rows scanned a million rows five times; the scans took 2 s (PostgreSQL 18, 2026-11).
_OWN_INDEXES = {
    **{f"{table}_by_id": (table, key) for table, key in {**_KEYS, "pickups_swept": ["account", "id"]}.items()},
    **{f"{table}_by_load": (table, ["_dlt_load_id"]) for table in _BY_LOAD},
    "pickups_by_booking": ("pickups", ["created_at"]),  # to find the few open pickups (loading/open_pickups.py)
}
_LACKS_ROWS = """
    select (select count(*) from sendcloud.{table} where account = %(account)s)
        < (select count(*) from "{own}".{table} where account = %(account)s)
"""
# null if the server doesn't count changes
_CHANGES = """
    select
        col_description(to_regclass(%(shown)s), 1),
        case when current_setting('track_counts')::boolean then string_agg(concat_ws('/', name::regclass::oid,
            pg_relation_filenode(name::regclass), pg_stat_get_tuples_inserted(name::regclass),
            pg_stat_get_tuples_deleted(name::regclass)), ' ' order by name) end
    from unnest(%(tables)s) as name
"""
_TABLES_AND_INDEXES = """
    select tablename from pg_tables where schemaname = %(schema)s
    union all
    select indexname from pg_indexes where schemaname = %(schema)s
"""
_PUBLISHED_MARK = """
    select obj_description(to_regclass(%(shown)s), 'pg_class'),
        'shown in ' || to_regclass(%(pickups)s)::oid || ' ' || to_regclass(%(history)s)::oid
"""


def publish_account(session: PostgresSession, own: str, account: str, *, compares: bool = True) -> None:
    """Copies the account's unpublished rows to the published tables.

    The account's tables must exist, and the states of its loads must be recorded. If the published tables then contain
    fewer of the account's rows than its own tables, because somebody deleted rows, all rows are copied again.

    Args:
        session: a session with an open transaction.
        own: the name of the account's own schema.
        account: the account's name.
        compares: whether to look for rows that somebody deleted from the published tables.

    Raises:
        DestinationError: a statement failed.
    """
    _copy_unpublished(session, own, account)
    if compares:
        _copy_lost_rows(session, own, account)


def _copy_lost_rows(session: PostgresSession, own: str, account: str) -> None:
    """Copies all rows again if readers see fewer rows than the account has.

    Counting two million rows takes a second, so they are counted only if the published tables have changed since the
    last count, for example during the previous run. The server itself counts changes, and includes each change in the
    count within ten seconds (PostgreSQL 18).
    """
    tables = [f'"{session.names.data}".{table}' for table in _BY_LOAD]
    shown = f'"{own}".pickup_loads_shown'
    ((before, now),) = session.execute_native(_CHANGES, {"tables": tables, "shown": shown}).fetchall()
    if now is not None and before == now:
        return
    if _lacks_rows(session, own, account):
        show_all_rows_again(session, own)
        _copy_unpublished(session, own, account)
    session.execute_native(f"comment on column {shown}._dlt_load_id is %(changes)s", {"changes": now})


def _lacks_rows(session: PostgresSession, own: str, account: str) -> bool:
    """Returns whether readers see fewer rows than the account has."""
    counts = (_LACKS_ROWS.format(own=own, table=table) for table in _BY_LOAD)
    return any(session.execute_native(lacks, {"account": account}).fetchall()[0][0] for lacks in counts)


def _copy_unpublished(session: PostgresSession, own: str, account: str) -> None:
    tables = {table: column_types(session, own, table) for table in PUBLISHED_TABLES}
    for table, columns in tables.items():
        if columns:
            _create_table(session, table, columns)
    create_indexes(session, own)
    is_anew = _reset_if_replaced(session, own, account)
    # The load ids are read first and then passed as values. The server's statistics on frequent values then show that
    # these loads are rare, so the server uses the index.
    unseen = [load_id for (load_id,) in session.execute_native(_UNPUBLISHED_LOADS.format(own=own)).fetchall()]
    session.execute_native(_DELETE_OUTDATED.format(own=own), {"unseen": unseen})
    for table in _BY_LOAD:
        names, values = _column_lists(tables[table])
        is_whole = is_anew and table == "pickup_status_history"  # includes loads that have no pickups left
        of_these = "" if is_whole else "where _dlt_load_id = any(%(unseen)s)"
        brought = f'insert into sendcloud.{table} ({names}) select {values} from "{own}".{table} {of_these}'  # noqa: S608  # the names come from the catalog
        session.execute_native(brought, {"unseen": unseen})
    now_shown = f'insert into "{own}".pickup_loads_shown select unnest(%(unseen)s::text[])'
    session.execute_native(now_shown, {"unseen": unseen})
    for table, key in _BY_KEY.items():
        if columns := tables[table]:
            _replace_changed(session, own, account, table, key, columns)


def show_all_rows_again(session: PostgresSession, own: str) -> None:
    """Makes the next `publish_account` replace all published rows of the account."""
    session.execute_native(f'drop table if exists "{own}".pickup_loads_shown')


def _reset_if_replaced(session: PostgresSession, own: str, account: str) -> bool:
    """Deletes the account's published rows if the published tables are new, and returns whether they are new.

    The tables are new in the first run and after they have been dropped or replaced with other tables. The function
    compares the tables' OIDs with the OIDs recorded for the account.
    """
    data = session.names.data
    tables = {"pickups": f'"{data}".pickups', "history": f'"{data}".pickup_status_history'}
    shown = {"shown": f'"{own}".pickup_loads_shown', **tables}
    ((marked, mark),) = session.execute_native(_PUBLISHED_MARK, shown).fetchall()
    if marked == mark:
        return False
    show_all_rows_again(session, own)
    session.execute_native(f'create table "{own}".pickup_loads_shown (_dlt_load_id text not null)')
    session.execute_native(f'comment on table "{own}".pickup_loads_shown is %(mark)s', {"mark": mark})
    for table in _BY_LOAD:
        session.execute_native(f"delete from sendcloud.{table} where account = %(account)s", {"account": account})  # noqa: S608  # as above
    return True


def create_indexes(session: PostgresSession, own: str) -> None:
    """Creates any missing indexes on the account's own tables. Runs need these indexes to compare and publish rows."""
    there = {name for (name,) in session.execute_native(_TABLES_AND_INDEXES, {"schema": own}).fetchall()}
    for name, (table, columns) in _OWN_INDEXES.items():
        if table in there and name not in there:
            session.execute_native(f'create index {name} on "{own}".{table} ({", ".join(columns)})')


def column_types(session: PostgresSession, schema: str, table: str) -> dict[str, str]:
    """Returns the names and types of the table's columns, in order. The dict is empty if the table doesn't exist.

    JSON columns are published as jsonb, which supports more operators.
    """
    found = session.execute_native(COLUMN_TYPES, {"schema": schema, "table": table}).fetchall()
    return {name: "jsonb" if kind == "json" else kind for name, kind in found}


def _create_table(session: PostgresSession, table: str, columns: dict[str, str]) -> None:
    """Creates the published table, or adds missing columns to it.

    Waits for other runs that are changing published tables, and up to 10 s for readers of this table.
    """
    there = column_types(session, session.names.data, table).keys()
    renamed = RENAMED_COLUMNS.get(table, {})
    if columns.keys() <= there and not there & renamed.keys():
        return
    session.execute_native(PUBLISH_LOCK)
    session.execute_native("set local lock_timeout = '10s'")
    session.execute_native(f"create table if not exists sendcloud.{table} ()")
    if renamed:
        rename_columns(session.for_readers(), table)
    for name, kind in columns.items():
        session.execute_native(f'alter table sendcloud.{table} add column if not exists "{name}" {kind}')
    session.execute_native(f"create index if not exists {table}_by_id on sendcloud.{table} ({', '.join(_KEYS[table])})")
    session.execute_native("set local lock_timeout = 0")


def _column_lists(columns: dict[str, str]) -> tuple[str, str]:
    """Returns the column names and the expressions for their values. jsonb accepts every JSON escape except NUL."""
    names = [f'"{name}"' for name in columns]
    safe = [f"replace({name}::text, '\\u0000', '\\ufffd')::jsonb as {name}" for name in names]
    values = [s if kind == "jsonb" else name for name, s, kind in zip(names, safe, columns.values(), strict=True)]
    return ", ".join(names), ", ".join(values)


def _replace_changed(
    session: PostgresSession, own: str, account: str, table: str, key: str, columns: dict[str, str]
) -> None:
    names, values = _column_lists(columns)
    of_it = {"account": account}
    session.execute_native("drop table if exists pg_temp.fresh")
    asked = _NEW_RECEIPTS if table == "pickup_runs" else _CHANGED_ROWS
    fresh = asked.format(own=own, table=table, names=names, values=values)
    session.execute_native(f"create temp table fresh on commit drop as {fresh}", of_it)
    session.execute_native(_DELETE_STALE.format(own=own, table=table, key=key), of_it)
    session.execute_native(f"insert into sendcloud.{table} ({names}) select {names} from fresh")  # noqa: S608  # as above


# `not exists` is used because PostgreSQL 18 scans a `not in` list once per record, here a hundred thousand times
_DELETE_STALE = """
    delete from sendcloud.{table} as shown
    where shown.account = %(account)s and (
        exists (select 1 from fresh where fresh.{key} = shown.{key})
        or not exists (
            select 1 from "{own}".{table} as own where own.account = shown.account and own.{key} = shown.{key}
        )
    )
"""
_CHANGED_ROWS = """
    select {values} from "{own}".{table} where account = %(account)s
    except
    select {names} from sendcloud.{table} where account = %(account)s
"""
# A receipt changes only in the transaction that writes it. Comparing a year's receipts on all columns took 0.25 s per
# run of an account. This query takes 0.04 s (35,000 receipts, PostgreSQL 18).
_NEW_RECEIPTS = """
    select {values} from "{own}".{table} as own
    where account = %(account)s and (
        xmin = pg_current_xact_id()::xid
        or not exists (
            select 1 from sendcloud.{table} as shown where shown.account = own.account and shown.run_id = own.run_id
        )
    )
"""
COLUMN_TYPES = """
    select attname, format_type(atttypid, atttypmod) from pg_attribute
    join pg_class on pg_class.oid = attrelid join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = %(schema)s and relname = %(table)s and attnum > 0 and not attisdropped order by attnum
"""
