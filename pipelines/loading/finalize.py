"""Writes the status history, receipts and views, and runs the checks, in one transaction after the load."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from pipelines.analytics import checks
from pipelines.bookkeeping import findings, future_times, housekeeping, quarantine, status_history, sweep
from pipelines.bookkeeping.kept_columns import compare_kept_columns, fill_kept_columns
from pipelines.bookkeeping.known_facts import KnownFacts, read_known_facts
from pipelines.bookkeeping.last_runs import LastRun
from pipelines.bookkeeping.receipts import update_publish_time, update_receipt, write_receipt
from pipelines.destinations.account_rows import check_all_again
from pipelines.destinations.base import DATASET, Backend, Session
from pipelines.destinations.duckdb.session import DatabaseError
from pipelines.errors import DestinationError
from pipelines.receipt import Receipt
from sources.sendcloud import ReadStats

OUTDATED_VIEWS = "outdated_views"  # a finding that the receipt lists with the failed checks
_COUNT = f"select count(*) from {DATASET}.pickups where account = ?"  # noqa: S608  # the dataset name is a constant


def record_loaded_states(backend: Backend, stats: ReadStats, observed_at: datetime) -> None:
    """Adds the states of loaded rows to the account's status history, in a separate transaction.

    Does nothing if the account has no table yet.

    Args:
        backend: the run's destination.
        stats: the account's read statistics.
        observed_at: the time to record for the states, in UTC, taken from the API's clock.
    """
    with backend.session() as session:
        connection = session.for_account(stats.account)
        if connection.has_table("pickups"):
            connection.execute("begin")
            future_times.correct_tables(connection, stats)
            loads = status_history.unrecorded_loads(connection)
            status_history.record_states(connection, stats.account, observed_at, loads)
            connection.execute("commit")


def finalize_run(backend: Backend, receipts: Sequence[Receipt]) -> bool:
    """Writes the status history, receipts and views, and runs the checks, in one transaction.

    Adds the results of the checks and of any sweep to the receipts. The checks use the run's own `as_of`, so each
    receipt is written before the checks, and updated afterwards with their results. Once a day, old rows are pruned
    after the transaction (bookkeeping/housekeeping.py).

    Returns:
        Whether there is anything to publish. After a failed first run, there are no tables.

    Raises:
        OSError, DatabaseError, DestinationError: the destination can't be written to.
    """
    with backend.session() as connection:
        fill_kept_columns(connection)
        connection.execute("begin")
        written: dict[str, dict[str, Any]] = {}
        known = read_known_facts(connection, receipts)
        loaded = [receipt for receipt in receipts if _finish_account(connection, receipt, known, written)]
        if loaded:
            _run_checks(connection, loaded, receipts, known.unchecked if backend.has_transactions() else None)
            _publish_views(connection, receipts)
        for receipt in loaded:
            receipt.has_new_findings = _has_new_findings(known.last.get(receipt.account), receipt)
        for receipt in receipts:
            own = connection.for_account(receipt.account)
            if row := written.get(receipt.run_id):
                update_receipt(own, receipt, row)
            else:
                write_receipt(own, receipt)
        for receipt in loaded:
            connection.publish_account(receipt.account)
        connection.execute("commit")
        tables = {receipt.account: connection.for_account(receipt.account) for receipt in loaded}
        for pruned in dict.fromkeys(tables.values()):
            housekeeping.prune(pruned, [receipt for receipt in receipts if tables.get(receipt.account) is pruned])
        return bool(loaded)


def record_publish_time(backend: Backend, receipts: Sequence[Receipt], seconds: float) -> None:
    """Adds the duration of publishing, in seconds, and the end time of the run to each receipt.

    Also notes when the findings of the checks will next change, because opening the warehouse again takes 15 ms.
    """
    with backend.session() as session:
        backend.note_published()
        due = findings.due_times(session)
        for receipt in receipts:
            receipt.findings_due_at = due.get(receipt.account)
            receipt.seconds_published, receipt.finished_at = seconds, datetime.now(UTC)
            update_publish_time(session, receipt)


def record_failure(backend: Backend, receipts: Sequence[Receipt], failure: DestinationError) -> None:
    """Marks every receipt that has no failure yet as failed, and writes all receipts if the destination allows it."""
    for receipt in receipts:
        receipt.finished_at = datetime.now(UTC)
        if not receipt.failure:
            receipt.outcome, receipt.failure = "failed", failure
            receipt.error = f"{type(failure).__name__}: {failure}"
    with suppress(OSError, DatabaseError, DestinationError), backend.session() as session:
        for receipt in receipts:
            own = session.for_account(receipt.account)
            write_receipt(own, receipt)
            check_all_again(own)  # the checks used this run's time


def _finish_account(session: Session, receipt: Receipt, known: KnownFacts, written: dict[str, dict[str, Any]]) -> bool:
    """Completes and publishes an account's tables in the open transaction.

    Args:
        session: the session with the open transaction.
        receipt: the account's receipt.
        known: facts about all accounts.
        written: gets the receipt's row by run id, as it was written for the checks.

    Returns:
        Whether the account has tables.
    """
    connection = session.for_account(receipt.account)
    if not connection.has_table("pickups"):
        return False
    if not receipt.is_quick:  # otherwise, nothing was loaded
        _complete_tables(connection, receipt, known)
    last = known.last.get(receipt.account)
    if receipt.run_number is None and known.last:
        receipt.run_number = last.run_number + 1 if last else 1
    write_receipt(connection, receipt)  # the `unique_key` check reads this receipt
    written[receipt.run_id] = receipt.as_row()
    future_times.correct_receipts(connection, receipt.stats)
    stats = receipt.stats
    stats.api_version_before = stats.api_version_before or _previous_version(last, receipt)
    connection.publish_account(receipt.account)
    return True


def _complete_tables(connection: Session, receipt: Receipt, known: KnownFacts) -> None:
    quarantine.add_resolved_column(connection)
    quarantine.mark_superseded(connection)
    sweep.create_tables(connection)
    future_times.correct_tables(connection, receipt.stats)
    # without a page, the API's time is unknown, and this machine's clock must not be used to date states
    if receipt.observed_at:
        loads = known.unrecorded[connection]
        status_history.record_states(connection, receipt.account, receipt.observed_at, loads)
    _finish_sweep(connection, receipt)
    receipt.rows_in_table = known.counts.get(receipt.account)
    if receipt.rows_in_table is None:
        ((receipt.rows_in_table,),) = connection.execute(_COUNT, [receipt.account]).fetchall()


def _has_new_findings(last: LastRun | None, receipt: Receipt) -> bool:
    """Returns whether a failed check or an unexpected value has appeared since the account's last good run.

    Row counts are not compared, because most of them grow with every booking.
    """
    if not last or not last.good:
        return True
    checks_before, values_before = (json.loads(found or "{}") for found in last.good[:2])
    known = {(name, value) for name, values in values_before.items() for value in values}
    values = {(name, value) for name, values in receipt.unexpected_values.items() for value in values}
    return not (receipt.checks_failed.keys() <= checks_before.keys() and values <= known)


def _run_checks(
    session: Session,
    loaded: Sequence[Receipt],
    receipts: Sequence[Receipt],
    unchecked: Mapping[Session, Sequence[str]] | None,
) -> None:
    # a sweep checks all pickups, and correcting times can make a pickup immature again
    checks_all = any(receipt.sweep or receipt.stats.has_future_times for receipt in loaded)
    accounts = [receipt.account for receipt in loaded]
    results = findings.check_pickups(session, accounts, unchecked, checks_all=checks_all)
    for receipt in receipts:
        own = [result for result in results if result.account in (receipt.account, None)]
        own.sort(key=lambda result: not result.must_pass)  # an alert begins with the checks that made the run fail
        receipt.checks_failed = {result.name: result.rows for result in own}
        receipt.unexpected_values = {result.name: result.values for result in own if result.values}
        receipt.must_pass_failed = any(result.must_pass for result in own)


def _publish_views(session: Session, receipts: Sequence[Receipt]) -> None:
    """Publishes the views. If old views remain, adds the objects that depend on them to every receipt."""
    if in_the_way := session.publish_views():
        for receipt in receipts:
            receipt.checks_failed[OUTDATED_VIEWS] = len(in_the_way)
            receipt.unexpected_values[OUTDATED_VIEWS] = in_the_way[: checks.MAX_VALUES]


def _previous_version(last: LastRun | None, receipt: Receipt) -> str | None:
    """Returns the API version of the account's last good run, or None if it equals this run's version.

    A run that switched the version and crashed after loading everything could not report the switch. The next run
    therefore compares its own version with the returned version.
    """
    if not receipt.observed_at or not last or not last.good or last.good[2] == receipt.api_version:
        return None
    return last.good[2]


def _finish_sweep(connection: Session, receipt: Receipt) -> None:
    is_over = receipt.outcome == "succeeded" and not receipt.stats.has_more
    if receipt.outcome != "succeeded" and receipt.sweep is None:
        return  # none of the sweep's packages was loaded, so the next run does not resume the sweep
    if found := sweep.sweep_result(connection, receipt.stats, is_over=is_over):
        receipt.sweep = "complete" if is_over else "incomplete"
        receipt.rows_missed, receipt.missed_ids, receipt.rows_unlisted = found
    if is_over and receipt.sweep:
        compare_kept_columns(connection, receipt.account)
