"""Executes a run: locks the destination, reads and loads each account, runs the checks and publishes the data."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipelines.config.project import project_context
from pipelines.config.validation import validate_settings
from pipelines.destinations.base import Backend
from pipelines.destinations.duckdb.session import DatabaseError
from pipelines.destinations.migrations import migrate
from pipelines.destinations.select import select_backend
from pipelines.errors import DestinationError, Interrupted
from pipelines.loading.account_run import AccountRun, ProgressCallback
from pipelines.loading.concurrency import WriteLock, run_concurrently
from pipelines.loading.early_publishing import EarlyPublisher, first_loads_last
from pipelines.loading.finalize import finalize_run, record_failure, record_publish_time
from pipelines.loading.plan import RunPlan, plan_run
from pipelines.loading.privacy import delete_expired
from pipelines.loading.unreachable import UnreachableOrigins
from pipelines.receipt import Receipt
from sources.sendcloud import ReadStats
from sources.sendcloud.errors import SettingsError


def run(
    project_dir: str | Path | None = None,
    *,
    account: str | None = None,
    sweep: bool = False,
    wait_seconds: float = 0,
    on_progress: ProgressCallback = lambda _phase, _stats: None,
) -> Receipt:
    """Runs the pipeline for one account: loads new and changed pickups, checks them and publishes them.

    Args:
        project_dir: the folder with `.dlt`. The default is DLT_PROJECT_DIR or, if that is not set, the nearest folder
            with `.dlt` at or above the working directory.
        account: the name of the account. The default is the only configured account or, if none is configured by name,
            `[sources.sendcloud] account`.
        sweep: whether to also read settled pickups again, to the end of the list. If a sweep is interrupted, the next
            run resumes it.
        wait_seconds: how long to wait for another run to end before raising RunInProgress.
        on_progress: called after each page and at the start of each phase.

    Returns:
        The receipt, as stored in `sendcloud.pickup_runs`.

    Raises:
        SendcloudError: an error in the source; see sources/sendcloud/errors.py.
        PipelineError: an error in the pipeline; see pipelines/errors.py. After either error, the failed run's receipt
            is stored if possible, and previously loaded data is unchanged.
    """
    with project_context(project_dir) as project:
        plan = plan_run(project, [account])
        (receipt,) = execute_plan(plan, sweep=sweep, wait_seconds=wait_seconds, on_progress=on_progress)
    if receipt.failure:
        raise receipt.failure
    return receipt


def run_accounts(
    project_dir: str | Path | None = None,
    accounts: Sequence[str] | None = None,
    *,
    sweep: bool = False,
    wait_seconds: float = 0,
    on_progress: ProgressCallback = lambda _phase, _stats: None,
) -> list[Receipt]:
    """Runs the pipeline for several accounts, which are read concurrently and published together.

    Args:
        project_dir: see `run`.
        accounts: the names of the accounts; default all.
        sweep: see `run`.
        wait_seconds: see `run`.
        on_progress: see `run`.

    Returns:
        One receipt per account, in the order of the accounts. A failed account's receipt has `outcome`, `error` and
        `failure` set. A failed account does not stop the other accounts.

    Raises:
        ValueError: `accounts` is a string instead of a list.
        SettingsError: an account is unknown, or the destination is misconfigured.
        PipelineError: the whole run stopped, for example because of another run or Ctrl-C.
    """
    if isinstance(accounts, str):
        raise ValueError(f"accounts must be a list: [{accounts!r}]")
    with project_context(project_dir) as project:
        plan = plan_run(project, accounts)
        return execute_plan(plan, sweep=sweep, wait_seconds=wait_seconds, on_progress=on_progress)


def execute_plan(plan: RunPlan, *, sweep: bool, wait_seconds: float, on_progress: ProgressCallback) -> list[Receipt]:
    """Executes the plan. The plan's project must be active.

    Args:
        plan: the project and the accounts to read.
        sweep: see `run`.
        wait_seconds: see `run`.
        on_progress: see `run`. The callback is never called concurrently.

    Returns:
        A receipt for each account in the plan. An account's errors are stored in its receipt.

    Raises:
        SettingsError: a destination setting is missing or invalid.
        RunInProgress: another run still holds the lock after `wait_seconds`.
        DestinationError: the lock can't be acquired.
        Interrupted: you pressed Ctrl-C.
    """
    backend = select_backend(plan.project)
    write_lock, on_progress = WriteLock(), _serialized(on_progress) if len(plan.accounts) > 1 else on_progress
    parts = [AccountRun.create(account, backend, write_lock, on_progress) for account in plan.accounts]
    ready = _configure(parts, plan, sweep=sweep)
    receipts = [part.receipt for part in parts]
    if not ready and not backend.exists():  # there is nothing to load and nowhere to store a receipt
        return receipts
    with backend.lock(plan.accounts, wait_seconds):
        publisher = EarlyPublisher(parts, write_lock, lambda some: _finish(some, backend, is_last=False))
        _load_all(ready, publisher, backend)
        if any(receipt.outcome == "succeeded" for receipt in receipts):
            on_progress("publishing", _total_stats(parts))
        _finish(publisher.left(), backend)
    for receipt in receipts:
        if isinstance(receipt.failure, Interrupted):
            raise receipt.failure
    return receipts


def _configure(parts: Sequence[AccountRun], plan: RunPlan, *, sweep: bool) -> list[AccountRun]:
    """Returns the accounts with valid settings. If a common setting is invalid, every account fails."""
    try:
        validate_settings()
    except SettingsError as error:
        for part in parts:
            part.fail(error)
        return []
    for part in parts:
        part.configure(plan.sections, sweep=sweep)
    return [part for part in parts if not part.receipt.failure]


def _load_all(ready: Sequence[AccountRun], publisher: EarlyPublisher, backend: Backend) -> None:
    parts, write_lock = publisher.parts, publisher.write_lock
    accounts = [part.receipt.account for part in parts]
    try:
        backend.prepare(accounts)
        # The whole run shares one connection. Opening a connection 8 times would take a tenth of the time of a run
        # without changes (2026-11).
        with backend.session() as session:
            for account in accounts:
                migrate(session.for_account(account))
            in_order = first_loads_last(ready, session) if len(ready) > 1 else ready
            run_concurrently(in_order, UnreachableOrigins().load, write_lock, publisher)
    except (Exception, KeyboardInterrupt) as error:
        write_lock.close()  # the last writer must finish before the run reads the file again
        for part in parts:
            part.fail(error)


def _serialized(on_progress: ProgressCallback) -> ProgressCallback:
    lock = threading.Lock()

    def called(phase: str, stats: ReadStats) -> None:
        with lock:
            on_progress(phase, stats)

    return called


def _total_stats(parts: Sequence[AccountRun]) -> ReadStats:
    """Returns the combined counts of all accounts, for the progress display."""
    if len(parts) == 1:
        return parts[0].stats
    every = [part.stats for part in parts]
    return ReadStats(pages=sum(each.pages for each in every), rows_read=sum(each.rows_read for each in every))


def _finish(receipts: Sequence[Receipt], backend: Backend, *, is_last: bool = True) -> None:
    """Writes receipts and views, runs the checks and publishes the data, then adds the publishing time to the receipts.

    If one of these steps fails, every account that has not failed yet fails with its error. An earlier failure is kept,
    because the first error is the one to report.
    """
    if not backend.exists():  # the destination could not be created, and a receipt would leave an incomplete one
        return
    remedy = "The pickups are loaded; the published data is unchanged. Fix the cause and run again."
    try:
        for receipt in receipts:
            receipt.finished_at = datetime.now(UTC)
        if not finalize_run(backend, receipts):
            return
        delete_expired(backend, receipts)
        started = time.monotonic()
        if not backend.publish(is_last=is_last):
            return
        remedy = "The pickups are loaded and published; only the receipt is incomplete. Fix the cause."
        record_publish_time(backend, receipts, time.monotonic() - started)
    except (OSError, DatabaseError, DestinationError) as error:
        failure = DestinationError(str(backend), str(error).split("\n")[0], remedy)
        failure.__cause__ = error
        record_failure(backend, receipts, error if isinstance(error, DestinationError) else failure)
