"""What a warehouse lets go of by itself, so that a run every 15 minutes for years doesn't make it grow without bound.

Rows once a day, behind the transaction of the day's first run that read something (a file that lies half empty: see
publish.py). Ages count from the API's clock or from this machine's, whichever is earlier: one that is wrong and ahead
must not cost a year of receipts.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from pipelines.errors import DestinationFailed
from pipelines.receipt import Receipt
from pipelines.settings import setting
from pipelines.store import Connection
from pipelines.warehouse import DatabaseError

_THIS_DAY = "select count(*) from sendcloud.pickup_runs where observed_at >= $day and observed_at < $next_day"
# what `pickups status`, the views' as_of and a message of recovery look for, be it older than a year
_RECEIPTS = """
    delete from sendcloud.pickup_runs
    where coalesce(observed_at, started_at) < $receipts_from and run_id not in (
        select needed from (
            select unnest([
                arg_max(run_id, started_at),
                arg_max(run_id, started_at) filter (where outcome = 'succeeded'),
                arg_max(run_id, observed_at) filter (where outcome = 'succeeded'),
                arg_max(run_id, started_at) filter (where history_complete is not null),
                arg_max(run_id, observed_at) filter (where sweep = 'complete')
            ]) as needed
            from sendcloud.pickup_runs where run_id not in (select unnest($these)) group by account
        ) where needed is not null
    )
"""
# dlt restores the state whose load has the last id among those that were completed (dlt 1.31, get_stored_state)
_STATES = """
    delete from sendcloud._dlt_pipeline_state
    where created_at < $bookkeeping_from and _dlt_load_id not in (
        select max(loads.load_id)
        from sendcloud._dlt_pipeline_state as states
        join sendcloud._dlt_loads as loads on loads.load_id = states._dlt_load_id
        where loads.status = 0 group by states.pipeline_name
    )
"""
_LOADS = """
    delete from sendcloud._dlt_loads
    where inserted_at < $bookkeeping_from
        and load_id not in (select _dlt_load_id from sendcloud._dlt_pipeline_state)
"""
# the newest schema of each name is the current one; a load that is still told of names its own
_SCHEMAS = """
    delete from sendcloud._dlt_version
    where inserted_at < $bookkeeping_from
        and version_hash not in (
            select arg_max(version_hash, inserted_at) from sendcloud._dlt_version group by schema_name
        )
        and version_hash not in (select schema_version_hash from sendcloud._dlt_loads)
"""
# a load of which no pickup is left is asked after by nobody, see history.py
_RECORDED = """
    delete from sendcloud.pickup_states_recorded
    where _dlt_load_id not in (select distinct _dlt_load_id from sendcloud.pickups)
"""


def keep_house(connection: Connection, receipts: Sequence[Receipt]) -> None:
    """Deletes rows that are older than `[keep]` says and needed by nobody, in a transaction of its own, when the run's
    receipts are written. Does nothing but once a day, and nothing in a run that had no answer from the API. Where it
    can't, nothing is deleted and the run is none the worse: it is tried again the next day.
    """
    observed = [receipt.observed_at for receipt in receipts if receipt.observed_at]
    if not observed:
        return
    try:
        _delete_what_is_old(connection, receipts, min(*observed, datetime.now(UTC)))
    except (DatabaseError, DestinationFailed):
        with suppress(DatabaseError, DestinationFailed):
            connection.execute("rollback")


def _delete_what_is_old(connection: Connection, receipts: Sequence[Receipt], now: datetime) -> None:
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    this_day = {"day": day, "next_day": day + timedelta(days=1)}
    ((receipts_of_the_day,),) = connection.execute(_THIS_DAY, this_day).fetchall()
    if receipts_of_the_day > len(receipts):  # it costs every run 1 ms to know this, and 75 ms the one that does it
        return
    these = [receipt.run_id for receipt in receipts]
    receipts_from = now - timedelta(days=setting("keep.receipt_days"))
    bookkeeping_from = now - timedelta(days=setting("keep.bookkeeping_days"))
    connection.execute("begin")
    connection.execute(_RECEIPTS, {"receipts_from": receipts_from, "these": these})
    for old in (_STATES, _LOADS, _SCHEMAS):
        connection.execute(old, {"bookkeeping_from": bookkeeping_from})
    connection.execute(_RECORDED)
    for receipt in receipts:
        connection.show(receipt.account)
    connection.execute("commit")
