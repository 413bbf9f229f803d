"""`sendcloud.pickup_status_history`: the states in which each pickup was seen, one row for each.

It is worked out from the tables, not from what a run has in hand, so a run that died between its load and here loses
nothing: the next one records what it left before it loads more.
"""

from __future__ import annotations

from datetime import datetime

from pipelines.store import Connection

STATES = ("pickup_status", "cancelled_at", "pickup_from", "pickup_until")

_STATE = ", ".join(STATES)
# another spelling is no other state: v2 says Created, v3 CREATED
_SPELLED = "replace(lower({}::text), ' ', '_')"
_DIFFERS = [f"{_SPELLED.format(state)} is distinct from {_SPELLED.format(f'latest_{state}')}" for state in STATES]

_TABLE = """
    create table if not exists sendcloud.pickup_status_history (
        account text not null,
        id bigint not null,
        pickup_status text not null,
        cancelled_at timestamp with time zone,
        pickup_from timestamp with time zone,
        pickup_until timestamp with time zone,
        observed_at timestamp with time zone not null,
        _dlt_load_id text not null
    )
"""
# loads whose rows were looked at, kept by themselves: one that changed no state leaves nothing in the history, and was
# looked at again by every run, 0.4 s and 0.5 GB at a million rows (2026-11)
_RECORDED = """
    create table if not exists sendcloud.pickup_states_recorded as
    select distinct _dlt_load_id from sendcloud.pickup_status_history
"""
# the two columns of load ids alone, not a condition on each row, which cost 1 s and 1 GB at ten million; and not what
# is later than the last: dlt names a load by this machine's clock, which may be set back
_UNSEEN = """
    select distinct _dlt_load_id from sendcloud.pickups
    except
    select _dlt_load_id from sendcloud.pickup_states_recorded
"""
_OWN = """
    select _dlt_load_id, min(id), max(id) from sendcloud.pickups
    where _dlt_load_id in (select unnest($unseen)) and account = $account
    group by _dlt_load_id
"""
# where no pickup between the lowest and the highest has a state, all are first ones, as those of each load of a first
# run are: to sort a million for a comparison took 0.7 s of the processors and 120 MB more (2026-11)
_HAS_STATES = """
    select 1 from sendcloud.pickup_status_history
    where account = $account and id between $lowest and $highest limit 1
"""
_FIRST_STATES = f"""
    insert into sendcloud.pickup_status_history
    select account, id, {_STATE}, $observed_at, _dlt_load_id
    from sendcloud.pickups
    where _dlt_load_id in (select unnest($unseen))
"""  # noqa: S608  # names of our own
# side by side and not joined to their latest: a server that takes them for a handful would go through all of these for
# each of them, 3.4 s for two thousand rows and a hundred times that for twenty thousand (PostgreSQL 18, 2026-11)
_NEW_STATES = f"""
    with touched as (
        select account, id, {_STATE}, _dlt_load_id
        from sendcloud.pickups
        where _dlt_load_id in (select unnest($unseen))
    ),
    states as (
        select account, id, {_STATE}, null::timestamptz as observed_at, _dlt_load_id, true as is_touched from touched
        union all
        select history.account, history.id, {", ".join(f"history.{state}" for state in STATES)},
               history.observed_at, history._dlt_load_id, false as is_touched
        from sendcloud.pickup_status_history as history
        join touched on touched.account = history.account and touched.id = history.id
    ),
    compared as (
        select *,
            lag(id) over before as latest_id,
            {", ".join(f"lag({state}) over before as latest_{state}" for state in STATES)}
        from states
        window before as (partition by account, id order by is_touched, observed_at, _dlt_load_id)
    )
    insert into sendcloud.pickup_status_history
    select account, id, {_STATE}, $observed_at, _dlt_load_id
    from compared
    where is_touched and (latest_id is null or {" or ".join(_DIFFERS)})
"""  # noqa: S608  # names of our own


def prepare(connection: Connection) -> None:
    """Makes the tables where they are missing."""
    connection.execute(_TABLE)
    connection.execute(_RECORDED)


def record(connection: Connection, account: str, observed_at: datetime) -> None:
    """Adds a row for every pickup of the account whose status, cancellation or window differs from its last one.

    `observed_at` is when the API was read for that account (its own clock); `sendcloud.pickups` must exist.
    """
    prepare(connection)
    if not (own := _unseen_loads(connection, account)):
        return
    loads, lowest, highest = zip(*own, strict=True)
    between = {"account": account, "lowest": min(lowest), "highest": max(highest)}
    states = _NEW_STATES if connection.execute(_HAS_STATES, between).fetchall() else _FIRST_STATES
    connection.execute(states, {"unseen": list(loads), "observed_at": observed_at})
    connection.execute("insert into sendcloud.pickup_states_recorded select unnest($unseen)", {"unseen": list(loads)})


def _unseen_loads(connection: Connection, account: str) -> list[tuple[str, int, int]]:
    """The account's loads that were not looked at, each with its lowest and highest id.

    A load is of one account; what another's dead run left is dated by that one's next run.
    """
    unseen = [load_id for (load_id,) in connection.execute(_UNSEEN).fetchall()]
    return connection.execute(_OWN, {"unseen": unseen, "account": account}).fetchall() if unseen else []
