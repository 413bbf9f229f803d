"""Writes `sendcloud.pickup_status_history`, which has one row for each observed state of a pickup.

The states are read from the tables rather than from the rows in memory. If a run crashes after a load, no state is
lost, because the next run records the loaded states before it loads more rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pipelines.destinations.account_rows import IS_REPEATED, LATEST_STATES, STATE_COLUMNS
from pipelines.destinations.base import Session

_STATE_COLUMNS = ", ".join(STATE_COLUMNS)

_CREATE_HISTORY = """
    create table if not exists sendcloud.pickup_status_history (
        account text not null,
        id bigint not null,
        pickup_status text not null,
        cancelled_at timestamp with time zone,
        pickup_from timestamp with time zone,
        pickup_until timestamp with time zone,
        observed_at timestamp with time zone not null,
        _dlt_load_id text not null,
        is_first boolean
    )
"""
# This table lists the loads whose states have been recorded. A load that changed no state has no row in the history.
# Without this table, every run would compare the rows of such a load again. The comparison took 0.4 s and 0.5 GB of
# memory for a million rows (2026-11).
_CREATE_RECORDED = """
    create table if not exists sendcloud.pickup_states_recorded as
    select distinct _dlt_load_id from sendcloud.pickup_status_history
"""
# The query reads only the two columns that contain load ids. Checking a condition for each row took 1 s and 1 GB of
# memory for ten million rows. The query does not rely on the order of load ids, because dlt derives them from this
# machine's clock, which may be set back.
_NEW_LOADS = """
    select distinct _dlt_load_id from sendcloud.pickups
    except
    select _dlt_load_id from sendcloud.pickup_states_recorded
"""
_LOADS_OF_ACCOUNT = """
    select _dlt_load_id, min(id), max(id) from sendcloud.pickups
    where _dlt_load_id in (select unnest($unseen)) and account = $account
    group by _dlt_load_id
"""
# If no pickup between the lowest and the highest id has a recorded state, all new states are first states. Every load
# of a first run meets this condition. In a first run, sorting a million rows for a comparison took an additional 0.7 s
# of CPU time and 120 MB of memory (2026-11).
_HAS_STATES = """
    select 1 from sendcloud.pickup_status_history
    where account = $account and id between $lowest and $highest limit 1
"""
_INSERT = f"""
    insert into sendcloud.pickup_status_history (account, id, {_STATE_COLUMNS}, observed_at, _dlt_load_id, is_first)
"""
_FIRST_STATES = f"""
    {_INSERT}
    select account, id, {_STATE_COLUMNS}, $observed_at, _dlt_load_id, true
    from sendcloud.pickups
    where _dlt_load_id in (select unnest($unseen))
"""  # noqa: S608  # The inserted names are constants.
# The query sorts new and recorded states together instead of joining each pickup to its latest state. If the server
# underestimates the number of rows, a join scans all states for each row. Such a join took 3.4 s for two thousand rows
# and a hundred times as long for twenty thousand (PostgreSQL 18, 2026-11).
# A new state is later than the pickup's last one, even if the run before relied on clocks that were ahead, and this run
# on a clock that is behind.
_NEW_STATES = f"""
    with touched as (
        select account, id, {_STATE_COLUMNS}, _dlt_load_id
        from sendcloud.pickups
        where _dlt_load_id in (select unnest($unseen))
    ),
    states as (
        select account, id, {_STATE_COLUMNS}, null::timestamptz as observed_at, _dlt_load_id, true as is_touched
        from touched
        union all
        select history.account, history.id, {", ".join(f"history.{state}" for state in STATE_COLUMNS)},
               history.observed_at, history._dlt_load_id, false as is_touched
        from sendcloud.pickup_status_history as history
        join touched on touched.account = history.account and touched.id = history.id
    ),
    compared as (
        select *, lag(id) over before as latest_id, lag(observed_at) over before as latest_at, {LATEST_STATES}
        from states
        window before as (partition by account, id order by is_touched, observed_at, _dlt_load_id)
    )
    {_INSERT}
    select account, id, {_STATE_COLUMNS},
        greatest($observed_at, latest_at + interval 2 microseconds), _dlt_load_id, latest_id is null
    from compared
    where is_touched and (latest_id is null or not ({IS_REPEATED}))
"""  # noqa: S608  # the inserted names are constants


def create_tables(connection: Session) -> None:
    """Creates the tables if they do not exist."""
    connection.execute(_CREATE_HISTORY)
    connection.execute(_CREATE_RECORDED)


def unrecorded_loads(connection: Session) -> list[str]:
    """Returns the ids of loads whose states have not been recorded. Creates the tables if they do not exist."""
    create_tables(connection)
    return [load_id for (load_id,) in connection.execute(_NEW_LOADS).fetchall()]


def record_states(connection: Session, account: str, observed_at: datetime, unrecorded: Sequence[str]) -> None:
    """Adds a row for each of the account's pickups that has a new status, cancellation or window.

    Each load belongs to a single account. If another account's run crashed, that account's next run records its loads,
    because only that run knows the time to record.

    Args:
        connection: a session that can access the account's tables.
        account: the name of the account.
        observed_at: the time at which the account was read, in UTC, taken from the API's clock.
        unrecorded: the result of `unrecorded_loads`, which may be older than the recording of another account's loads.
    """
    if not unrecorded:
        return
    of_account = {"unseen": list(unrecorded), "account": account}
    if not (own := connection.execute(_LOADS_OF_ACCOUNT, of_account).fetchall()):
        return
    loads, lowest, highest = zip(*own, strict=True)
    between = {"account": account, "lowest": min(lowest), "highest": max(highest)}
    states = _NEW_STATES if connection.execute(_HAS_STATES, between).fetchall() else _FIRST_STATES
    connection.execute(states, {"unseen": list(loads), "observed_at": observed_at})
    connection.execute("insert into sendcloud.pickup_states_recorded select unnest($unseen)", {"unseen": list(loads)})
