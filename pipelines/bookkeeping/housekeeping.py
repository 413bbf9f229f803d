"""Prunes old bookkeeping rows, so that the warehouse stays small even if a run starts every 15 minutes for years.

Rows are pruned once a day, in a separate transaction at the end of the day's first run that receives a page. If a
DuckDB file is mostly free space, destinations/duckdb/publish.py compacts the file. Ages are relative to the API's clock
or this machine's clock, whichever shows the earlier time. Otherwise, a fast clock could cause a year of receipts to be
deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from pipelines.bookkeeping.run_order import RUN_ORDER
from pipelines.config.settings import get_setting
from pipelines.destinations.base import Session
from pipelines.destinations.duckdb.session import DatabaseError
from pipelines.errors import DestinationError
from pipelines.receipt import Receipt

_RECEIPTS_OF_DAY = "select count(*) from sendcloud.pickup_runs where observed_at >= $day and observed_at < $next_day"
# A receipt is as old as the later of its two times or, if that is still to come, as the receipts before it.
# Some receipts are kept even if they are older than a year. They are needed for `pickups status`, the `as_of` of the
# views and the comparison of API versions (loading/finalize.py).
_PRUNE_RECEIPTS = f"""
    with placed as (
        select *, greatest(observed_at, started_at) as seen_at,
            row_number() over (partition by account order by {RUN_ORDER}) as place
        from sendcloud.pickup_runs
    ),
    aged as (
        select run_id, max(case when seen_at <= $now then seen_at end) over (
            partition by account order by place
        ) as made_after
        from placed
    )
    delete from sendcloud.pickup_runs
    where run_id in (select run_id from aged where made_after < $receipts_from)
    and run_id not in (select unnest($these))
    and run_id not in (
        select needed from (
            select unnest([
                arg_max(run_id, place),
                arg_max(run_id, place) filter (where outcome = 'succeeded'),
                arg_max(run_id, place) filter (where outcome = 'succeeded' and observed_at is not null),
                arg_max(run_id, place) filter (where history_complete is not null),
                arg_max(run_id, place) filter (where sweep = 'complete')
            ]) as needed
            from placed where run_id not in (select unnest($these)) group by account
        ) where needed is not null
    )
"""  # noqa: S608  # The order is a constant.
# The function get_stored_state of dlt 1.31 restores the state of the completed load with the highest id.
_PRUNE_STATES = """
    delete from sendcloud._dlt_pipeline_state
    where created_at < $bookkeeping_from and _dlt_load_id not in (
        select max(loads.load_id)
        from sendcloud._dlt_pipeline_state as states
        join sendcloud._dlt_loads as loads on loads.load_id = states._dlt_load_id
        where loads.status = 0 group by states.pipeline_name
    )
"""
_PRUNE_LOADS = """
    delete from sendcloud._dlt_loads
    where inserted_at < $bookkeeping_from
        and load_id not in (select _dlt_load_id from sendcloud._dlt_pipeline_state)
"""
# The newest schema with each name is the current one. Every remaining load refers to its own schema.
_PRUNE_SCHEMAS = """
    delete from sendcloud._dlt_version
    where inserted_at < $bookkeeping_from
        and version_hash not in (
            select arg_max(version_hash, inserted_at) from sendcloud._dlt_version group by schema_name
        )
        and version_hash not in (select schema_version_hash from sendcloud._dlt_loads)
"""
# status_history.py never looks up a load that has no remaining pickups
_PRUNE_RECORDED = """
    delete from sendcloud.pickup_states_recorded
    where _dlt_load_id not in (select distinct _dlt_load_id from sendcloud.pickups)
"""

# On most days, there is nothing to prune. Finding that out takes 1 ms, and the statements above 7 ms (2026-11-30).
_TO_PRUNE = """
    select exists (select 1 from sendcloud.pickup_runs where greatest(observed_at, started_at) < $receipts_from),
        exists (select 1 from sendcloud._dlt_pipeline_state where created_at < $bookkeeping_from)
        or exists (select 1 from sendcloud._dlt_loads where inserted_at < $bookkeeping_from)
        or exists (select 1 from sendcloud._dlt_version where inserted_at < $bookkeeping_from),
        exists (
            select 1 from sendcloud.pickup_states_recorded
            where _dlt_load_id not in (select distinct _dlt_load_id from sendcloud.pickups)
        )
"""


def prune(connection: Session, receipts: Sequence[Receipt]) -> None:
    """Deletes unneeded rows that are older than `[retention]` allows, once a day and in a separate transaction.

    Does nothing if the run received no page from the API. If pruning fails, nothing is deleted, and the first run on
    the next day tries again.

    Args:
        connection: a session that can access the tables of the accounts in `receipts`.
        receipts: the receipts of this run.
    """
    observed = [receipt.observed_at for receipt in receipts if receipt.observed_at]
    if not observed:
        return
    try:
        _prune_old_rows(connection, receipts, min(*observed, datetime.now(UTC)))
    except (DatabaseError, DestinationError):
        with suppress(DatabaseError, DestinationError):
            connection.execute("rollback")


def _prune_old_rows(connection: Session, receipts: Sequence[Receipt], now: datetime) -> None:
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    this_day = {"day": day, "next_day": day + timedelta(days=1)}
    ((receipts_of_the_day,),) = connection.execute(_RECEIPTS_OF_DAY, this_day).fetchall()
    if receipts_of_the_day > len(receipts):  # this query adds 1 ms to every run; pruning adds up to 75 ms once a day
        return
    receipts_from = now - timedelta(days=get_setting("retention.receipt_days"))
    bookkeeping_from = now - timedelta(days=get_setting("retention.bookkeeping_days"))
    ages = {"receipts_from": receipts_from, "bookkeeping_from": bookkeeping_from}
    ((receipts_to_prune, bookkeeping_to_prune, loads_to_prune),) = connection.execute(_TO_PRUNE, ages).fetchall()
    if not (receipts_to_prune or bookkeeping_to_prune or loads_to_prune):
        return
    connection.execute("begin")
    if receipts_to_prune:
        these = [receipt.run_id for receipt in receipts]
        connection.execute(_PRUNE_RECEIPTS, {"now": now, "receipts_from": receipts_from, "these": these})
    if bookkeeping_to_prune:
        for old in (_PRUNE_STATES, _PRUNE_LOADS, _PRUNE_SCHEMAS):
            connection.execute(old, {"bookkeeping_from": bookkeeping_from})
    connection.execute(_PRUNE_RECORDED)
    for receipt in receipts:
        connection.publish_account(receipt.account)
    connection.execute("commit")
