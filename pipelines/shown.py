"""What a run wrote to its account's own schema, brought to the tables that people read, in the transaction under way.

So rows, history and receipt of a run become visible together, with its commit, and a run that dies before leaves
people what they had. The next one brings along what it left.
"""

from __future__ import annotations

from typing import Any

LOCK_FOR_TABLES = "select pg_advisory_xact_lock(hashtextextended('sendcloud pickups: tables for readers', 0))"
# by load: those whose states are recorded (history.py) and that nobody has been shown; in the account's own schema
_UNSEEN = """
    select _dlt_load_id from "{own}".pickup_states_recorded
    except
    select _dlt_load_id from "{own}".pickup_loads_shown
"""
_OUTDATED = """
    delete from sendcloud.pickups as shown using "{own}".pickups as own
    where shown.account = own.account and shown.id = own.id and own._dlt_load_id = any(%(unseen)s)
"""
_BY_LOAD = {"pickups": ["account", "id"], "pickup_status_history": ["account", "id"]}  # and by what people look
# as a whole: what is no longer the same goes, and comes as it is
_AS_A_WHOLE = {"pickups_quarantine": "record_hash", "pickups_unlisted": "id", "pickup_runs": "run_id"}
PEOPLE_READ = (*_BY_LOAD, *_AS_A_WHOLE)
_KEYS = {**_BY_LOAD, **{table: ["account", key] for table, key in _AS_A_WHOLE.items()}}
# of the account's own tables; by load what is new is found: without it a run with news looked through a million rows
# five times, 2 s of the server (PostgreSQL 18, 2026-11)
_OWN_INDEXES = {
    **{f"{table}_by_id": (table, key) for table, key in {**_KEYS, "pickups_swept": ["account", "id"]}.items()},
    **{f"{table}_by_load": (table, ["_dlt_load_id"]) for table in _BY_LOAD},
}
_TABLES_AND_INDEXES = """
    select tablename from pg_tables where schemaname = %(schema)s
    union all
    select indexname from pg_indexes where schemaname = %(schema)s
"""
_MARK = """
    select obj_description(to_regclass(%(shown)s), 'pg_class'),
        'shown in ' || to_regclass('sendcloud.pickups')::oid || ' '
        || to_regclass('sendcloud.pickup_status_history')::oid
"""


def show(session: Any, own: str, account: str) -> None:
    """Needs the account's tables, with its states recorded. Raises DestinationFailed."""
    tables = {table: _columns(session, own, table) for table in PEOPLE_READ}
    for table, columns in tables.items():
        if columns:
            _make(session, table, columns)
    index(session, own)
    is_anew = _begin_anew(session, own, account)
    # given back as they are: a server that knows which values are frequent sees that these are not, and takes the index
    unseen = [load_id for (load_id,) in session.plain(_UNSEEN.format(own=own)).fetchall()]
    session.plain(_OUTDATED.format(own=own), {"unseen": unseen})
    for table in _BY_LOAD:
        names, values = _lists(tables[table])
        is_whole = is_anew and table == "pickup_status_history"  # of loads too of which no pickup is left
        of_these = "" if is_whole else "where _dlt_load_id = any(%(unseen)s)"
        brought = f'insert into sendcloud.{table} ({names}) select {values} from "{own}".{table} {of_these}'  # noqa: S608  # names from the catalogue
        session.plain(brought, {"unseen": unseen})
    session.plain(f'insert into "{own}".pickup_loads_shown select unnest(%(unseen)s::text[])', {"unseen": unseen})
    for table, key in _AS_A_WHOLE.items():
        if columns := tables[table]:
            _renew(session, own, account, table, key, columns)


def _begin_anew(session: Any, own: str, account: str) -> bool:
    """The first time, and when the tables for people are no longer those that were written to: somebody dropped them,
    or has put others in their place. By their numbers in the catalogue, which every account compares for itself.
    """
    ((marked, mark),) = session.plain(_MARK, {"shown": f'"{own}".pickup_loads_shown'}).fetchall()
    if marked == mark:
        return False
    session.plain(f'drop table if exists "{own}".pickup_loads_shown')
    session.plain(f'create table "{own}".pickup_loads_shown (_dlt_load_id text not null)')
    session.plain(f'comment on table "{own}".pickup_loads_shown is %(mark)s', {"mark": mark})
    for table in _BY_LOAD:
        session.plain(f"delete from sendcloud.{table} where account = %(account)s", {"account": account})  # noqa: S608  # as above
    return True


def index(session: Any, own: str) -> None:
    """For what a run compares with, page by page, and what is held against what people have; where there is none."""
    there = {name for (name,) in session.plain(_TABLES_AND_INDEXES, {"schema": own}).fetchall()}
    for name, (table, columns) in _OWN_INDEXES.items():
        if table in there and name not in there:
            session.plain(f'create index {name} on "{own}".{table} ({", ".join(columns)})')


def _columns(session: Any, own: str, table: str) -> dict[str, str]:
    """Names and types of the account's own table; JSON is stored as jsonb for people, whom that allows more."""
    found = session.plain(_TYPES, {"schema": own, "table": table}).fetchall()
    return {name: "jsonb" if kind == "json" else kind for name, kind in found}


def _make(session: Any, table: str, columns: dict[str, str]) -> None:
    """The table for people with all these columns. Waits for other runs that do the same, and 10 s for who reads it."""
    there = {name for name, _ in session.plain(_TYPES, {"schema": "sendcloud", "table": table}).fetchall()}
    if columns.keys() <= there:
        return
    session.plain(LOCK_FOR_TABLES)
    session.plain("set local lock_timeout = '10s'")
    session.plain(f"create table if not exists sendcloud.{table} ()")
    for name, kind in columns.items():
        session.plain(f'alter table sendcloud.{table} add column if not exists "{name}" {kind}')
    session.plain(f"create index if not exists {table}_by_id on sendcloud.{table} ({', '.join(_KEYS[table])})")
    session.plain("set local lock_timeout = 0")


def _lists(columns: dict[str, str]) -> tuple[str, str]:
    """The columns' names, and their values: jsonb takes every escape that JSON has but one."""
    names = [f'"{name}"' for name in columns]
    safe = [f"replace({name}::text, '\\u0000', '\\ufffd')::jsonb as {name}" for name in names]
    values = [s if kind == "jsonb" else name for name, s, kind in zip(names, safe, columns.values(), strict=True)]
    return ", ".join(names), ", ".join(values)


def _renew(session: Any, own: str, account: str, table: str, key: str, columns: dict[str, str]) -> None:
    names, values = _lists(columns)
    of_it = {"account": account}
    session.plain("drop table if exists pg_temp.fresh")
    asked = _NEW_RECEIPTS if table == "pickup_runs" else _NOT_THE_SAME
    fresh = asked.format(own=own, table=table, names=names, values=values)
    session.plain(f"create temp table fresh on commit drop as {fresh}", of_it)
    session.plain(_GONE_OR_FRESH.format(own=own, table=table, key=key), of_it)
    session.plain(f"insert into sendcloud.{table} ({names}) select {names} from fresh")  # noqa: S608  # as above


# not `not in`: of a hundred thousand records PostgreSQL 18 makes a list that it goes through for each of them
_GONE_OR_FRESH = """
    delete from sendcloud.{table} as shown
    where shown.account = %(account)s and (
        exists (select 1 from fresh where fresh.{key} = shown.{key})
        or not exists (
            select 1 from "{own}".{table} as own where own.account = shown.account and own.{key} = shown.{key}
        )
    )
"""
_NOT_THE_SAME = """
    select {values} from "{own}".{table} where account = %(account)s
    except
    select {names} from sendcloud.{table} where account = %(account)s
"""
# a receipt is never changed but in the transaction that writes it; a year of them, held against one another by all
# their columns, took 0.25 s of each account's runs, this takes 0.04 s (35,000 receipts, PostgreSQL 18)
_NEW_RECEIPTS = """
    select {values} from "{own}".{table} as own
    where account = %(account)s and (
        xmin = pg_current_xact_id()::xid
        or not exists (
            select 1 from sendcloud.{table} as shown where shown.account = own.account and shown.run_id = own.run_id
        )
    )
"""
_TYPES = """
    select attname, format_type(atttypid, atttypmod) from pg_attribute
    join pg_class on pg_class.oid = attrelid join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = %(schema)s and relname = %(table)s and attnum > 0 and not attisdropped order by attnum
"""
