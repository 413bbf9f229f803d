"""Reads, once for all accounts, what a run needs to know before it completes the accounts' tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipelines.bookkeeping import findings, status_history
from pipelines.bookkeeping.last_runs import LastRun, last_runs
from pipelines.destinations.base import DATASET, Session
from pipelines.receipt import Receipt

# The scan of the load ids takes 10 ms of CPU for ten million rows, so both questions share it (2026-11-29).
_NEW_LOADS = """
    with loads as (select distinct _dlt_load_id from sendcloud.pickups)
    select loads._dlt_load_id, recorded._dlt_load_id is null, checked._dlt_load_id is null
    from loads
    left join sendcloud.pickup_states_recorded as recorded on recorded._dlt_load_id = loads._dlt_load_id
    left join sendcloud.pickup_loads_checked as checked on checked._dlt_load_id = loads._dlt_load_id
    where recorded._dlt_load_id is null or checked._dlt_load_id is null
"""
_COUNT_ALL = f"select count(*) from {DATASET}.pickups"  # noqa: S608  # the dataset name is a constant


class KnownFacts(NamedTuple):
    """Facts that are read once for all accounts, because the accounts may share large tables.

    Attributes:
        last: what the last runs of each account recorded.
        unrecorded: the loads whose states have not been recorded, by session.
        unchecked: the loads whose pickups have not been checked, by session.
        counts: the number of each account's pickups after this run. Accounts that must be counted are missing.
    """

    last: Mapping[str, LastRun]
    unrecorded: Mapping[Session, list[str]]
    unchecked: Mapping[Session, list[str]]
    counts: Mapping[str, int]


def read_known_facts(session: Session, receipts: Sequence[Receipt]) -> KnownFacts:
    """Returns the facts for the receipts' accounts, before the receipts are written.

    Args:
        session: the run's session.
        receipts: the receipts of the run.
    """
    by_session: dict[Session, list[Receipt]] = {}
    for receipt in receipts:
        by_session.setdefault(session.for_account(receipt.account), []).append(receipt)
    last = {own: last_runs(own) for own in by_session}
    with_tables = [own for own in by_session if own.has_table("pickups")]
    counts = [_expected_counts(own, last[own], by_session[own]) for own in with_tables]
    new_loads = {own: _read_new_loads(own) for own in with_tables}
    return KnownFacts(
        {account: run for runs in last.values() for account, run in runs.items()},
        {own: [load for load, is_unrecorded, _ in loads if is_unrecorded] for own, loads in new_loads.items()},
        {own: [load for load, _, is_unchecked in loads if is_unchecked] for own, loads in new_loads.items()},
        {account: rows for expected in counts for account, rows in expected.items()},
    )


def _read_new_loads(own: Session) -> list[tuple[str, bool, bool]]:
    """Returns the ids of loads that are new to the history or to the checks, and to which of the two."""
    status_history.create_tables(own)
    findings.create_tables(own)
    return list(own.execute(_NEW_LOADS).fetchall())


def _expected_counts(own: Session, last: Mapping[str, LastRun], receipts: Sequence[Receipt]) -> dict[str, int]:
    """Returns how many pickups each account should have: its last count and its new rows.

    Returns none if the sum is not the number of rows in the table, which DuckDB knows without counting. Counting an
    account takes 20 ms of CPU for ten million rows (2026-11-29). Whenever all pickups are checked, they are counted,
    because other programs may have changed the rows of several accounts.
    """
    if not findings.kept_checks(own) or any(receipt.sweep for receipt in receipts):
        return {}
    expected = {account: run.rows_in_table or 0 for account, run in last.items()}
    for receipt in receipts:
        expected[receipt.account] = expected.get(receipt.account, 0) + receipt.rows_new
    adds_up = [(sum(expected.values()),)] == own.execute(_COUNT_ALL).fetchall()
    return expected if adds_up else {}
