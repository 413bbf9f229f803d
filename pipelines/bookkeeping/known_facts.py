"""Reads, once for all accounts, what a run needs to know before it completes the accounts' tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipelines.bookkeeping import status_history
from pipelines.bookkeeping.last_runs import LastRun, last_runs
from pipelines.destinations.base import DATASET, Session
from pipelines.receipt import Receipt

_COUNT_ALL = f"select count(*) from {DATASET}.pickups"  # noqa: S608  # the dataset name is a constant


class KnownFacts(NamedTuple):
    """Facts that are read once for all accounts, because the accounts may share large tables.

    Attributes:
        last: what the last runs of each account recorded.
        unrecorded: the loads whose states have not been recorded, by session.
        counts: the number of each account's pickups after this run. Accounts that must be counted are missing.
    """

    last: Mapping[str, LastRun]
    unrecorded: Mapping[Session, list[str]]
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
    return KnownFacts(
        {account: run for runs in last.values() for account, run in runs.items()},
        {own: status_history.unrecorded_loads(own) for own in with_tables},
        {account: rows for expected in counts for account, rows in expected.items()},
    )


def _expected_counts(own: Session, last: Mapping[str, LastRun], receipts: Sequence[Receipt]) -> dict[str, int]:
    """Returns how many pickups each account should have: its last count and its new rows.

    Returns none if the sum is not the number of rows in the table, which DuckDB knows without counting. Counting an
    account takes 20 ms of CPU for ten million rows (2026-11-29). During a sweep, every account is counted.
    """
    expected = {account: run.rows_in_table or 0 for account, run in last.items()}
    for receipt in receipts:
        expected[receipt.account] = expected.get(receipt.account, 0) + receipt.rows_new
    adds_up = [(sum(expected.values()),)] == own.execute(_COUNT_ALL).fetchall()
    return expected if adds_up and not any(receipt.sweep for receipt in receipts) else {}
