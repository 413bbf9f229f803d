"""Corrects times that lie in the future because an earlier run relied on a clock that was ahead.

A state dated 2099 would remain the latest state of its pickup, so every later state would look like a change.
"""

from __future__ import annotations

from datetime import timedelta

from pipelines.destinations.base import Session
from sources.sendcloud import ReadStats
from sources.sendcloud.reading.clocks import MAX_CLOCK_DIFFERENCE, MOMENT

TIME_COLUMNS = {
    "pickup_status_history": ("observed_at",),
    "pickups_unlisted": ("unlisted_since",),
    "pickups_quarantine": ("first_seen_at", "last_seen_at", "resolved_at"),
}
# dlt 1.31 names loads by this machine's clock, and compares their names as text
_FORGET = """
    delete from sendcloud._dlt_pipeline_state
    where pipeline_name = $pipeline and _dlt_load_id > $load_id and exists (
        select 1 from sendcloud._dlt_pipeline_state as stored
        where stored.pipeline_name = $pipeline and stored._dlt_load_id = $load_id
    )
"""
_FUTURE = """
    select distinct {column} from sendcloud.{table} where account = $account and {column} > $latest order by 1
"""
_CORRECT = "update sendcloud.{table} set {column} = $right where account = $account and {column} = $wrong"
# If this table is missing, the next run publishes all of the account's rows to PostgreSQL (postgres/publish.py).
_PUBLISH_AGAIN = "drop table if exists sendcloud.pickup_loads_shown"


def correct_tables(connection: Session, stats: ReadStats) -> None:
    """Replaces future times in the account's tables with times just before this run observed the list.

    The receipts are not changed. The new times are in the same order as the old ones, because the states of a pickup
    are ordered by time.

    Does nothing unless an earlier run relied on a clock that was ahead.

    Args:
        connection: a session that can access the account's tables.
        stats: the account's read statistics.
    """
    if not stats.has_future_times:
        return
    for table, columns in TIME_COLUMNS.items():
        existing = connection.columns(table)
        for column in columns:
            if column in existing:
                _correct(connection, stats, table, column)
    connection.execute(_PUBLISH_AGAIN)


def forget_later_states(connection: Session, pipeline: str, load_id: str) -> None:
    """Deletes the pipeline's states with a later load id than the load that has just been completed.

    Such a state was stored while this machine's clock was ahead. dlt restores the state with the highest load id.
    Without the deletion, every run would restore this outdated state and read more than necessary, until the machine's
    clock has passed the time of that load.

    dlt stores a state only if it has changed. If the completed load contains none, the latest state is still current,
    and nothing is deleted.

    Args:
        connection: a session that can access the account's tables.
        pipeline: the name of dlt's pipeline.
        load_id: the id of the completed load.
    """
    if connection.has_table("_dlt_pipeline_state"):
        connection.execute(_FORGET, {"pipeline": pipeline, "load_id": load_id})


def correct_receipts(connection: Session, stats: ReadStats) -> None:
    """Corrects future times in the account's receipts in the same way as `correct_tables`.

    Call this function in the run's last transaction. Until then, the future times in the receipts indicate that the
    tables must still be corrected.
    """
    if stats.has_future_times and connection.has_table("pickup_runs"):
        _correct(connection, stats, "pickup_runs", "observed_at")


def _correct(connection: Session, stats: ReadStats, table: str, column: str) -> None:
    assert stats.observed_at and stats.latest_clock  # noqa: S101, PT018  # both are set if a time is in the future
    known = {"account": stats.account, "latest": stats.latest_clock + MAX_CLOCK_DIFFERENCE}
    wrong = [time for (time,) in connection.execute(_FUTURE.format(table=table, column=column), known).fetchall()]
    for number, time in enumerate(wrong):
        right = stats.observed_at - MOMENT - timedelta(microseconds=len(wrong) - number)
        times = {"account": stats.account, "right": right, "wrong": time}
        connection.execute(_CORRECT.format(table=table, column=column), times)
