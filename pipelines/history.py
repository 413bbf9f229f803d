"""`sendcloud.pickup_status_history`: the states in which each pickup was seen, one row for each.

It is worked out from the tables, not from what a run has in hand, so a run that died between its load and here loses
nothing: the next one records what it left before it loads more.
"""

from __future__ import annotations

from datetime import datetime

from pipelines.store import Connection

STATES = ("pickup_status", "cancelled_at", "pickup_from", "pickup_until")

# another spelling is no other state: v2 says Created, v3 CREATED
_SPELLED = "replace(lower({0}.{{0}}::text), ' ', '_')"
_DIFFERS = f"{_SPELLED.format('touched')} is distinct from {_SPELLED.format('latest')}"

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
_NEW_STATES = f"""
    with touched as (
        select pickups.*
        from sendcloud.pickups
        where pickups._dlt_load_id in (select unnest($unseen))
    ),
    latest as (
        select history.*
        from sendcloud.pickup_status_history as history
        join touched on touched.account = history.account and touched.id = history.id
        qualify row_number() over (
            partition by history.account, history.id order by history.observed_at desc, history._dlt_load_id desc
        ) = 1
    )
    insert into sendcloud.pickup_status_history
    select touched.account, touched.id, {", ".join(f"touched.{state}" for state in STATES)},
           $observed_at, touched._dlt_load_id
    from touched
    left join latest on latest.account = touched.account and latest.id = touched.id
    where latest.id is null or {" or ".join(_DIFFERS.format(state) for state in STATES)}
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
    own = "select distinct _dlt_load_id from sendcloud.pickups where _dlt_load_id in (select unnest($unseen))"
    unseen = [load_id for (load_id,) in connection.execute(_UNSEEN).fetchall()]
    if unseen:  # a load is of one account; what another's dead run left is dated by that one's next run
        loads = connection.execute(f"{own} and account = $account", {"unseen": unseen, "account": account}).fetchall()
        unseen = [load_id for (load_id,) in loads]
    if unseen:
        connection.execute(_NEW_STATES, {"unseen": unseen, "observed_at": observed_at})
        connection.execute("insert into sendcloud.pickup_states_recorded select unnest($unseen)", {"unseen": unseen})
