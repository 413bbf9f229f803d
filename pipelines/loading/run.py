"""Executes a run: locks the destination, reads and loads each account, runs the checks and publishes the data."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.config.project import project_context
from pipelines.destinations.select import select_backend
from pipelines.errors import DestinationError, Interrupted
from pipelines.loading.account_run import ProgressCallback
from pipelines.loading.attempt import Attempt
from pipelines.loading.plan import RunPlan, plan_run
from pipelines.receipt import Receipt
from sources.sendcloud import ReadStats


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


def execute_plan(
    plan: RunPlan,
    *,
    sweep: bool,
    wait_seconds: float,
    on_progress: ProgressCallback,
    unchanged: Sequence[Receipt] = (),
    is_current: Callable[[], bool] = lambda: True,
    before_unlock: Callable[[Sequence[Receipt]], object] = lambda _receipts: None,
) -> list[Receipt]:
    """Executes the plan. The plan's project must be active.

    Args:
        plan: the project and the accounts to read.
        sweep: see `run`.
        wait_seconds: see `run`.
        on_progress: see `run`. The callback is never called concurrently.
        unchanged: the receipts of accounts that need not be read.
        is_current: returns whether they still need not be read. Called when no other run and no other command can
            write.
        before_unlock: called with the receipts at the end, while no other run and no other command can write.

    Returns:
        A receipt for each account in the plan. An account's errors are stored in its receipt.

    Raises:
        SettingsError: a destination setting is missing or invalid.
        RunInProgress: another run still holds the lock after `wait_seconds`.
        DestinationError: the lock can't be acquired, the destination can't be checked, or a person must decide how to
            replace a damaged warehouse.
        OwnershipError: the run would change an object that belongs to somebody else.
        Interrupted: you pressed Ctrl-C.
    """
    backend = select_backend(plan.project)
    on_progress = _serialized(on_progress) if len(plan.accounts) > 1 else on_progress
    attempt = Attempt.create(plan, backend, on_progress, unchanged, sweep=sweep)
    if not attempt.ready and not backend.exists():  # there is nothing to load and nowhere to store a receipt
        return attempt.receipts
    with backend.lock(plan.accounts, wait_seconds):
        if not is_current() and unchanged:
            attempt = Attempt.create(plan, backend, on_progress, sweep=sweep)
        own_runs = [receipt.run_id for receipt in attempt.receipts]
        recovery = backend.recovery(plan.configured, own_runs)
        try:
            restored = recovery.before_run()
            if restored and unchanged:
                attempt = Attempt.create(plan, backend, on_progress, sweep=sweep)
                own_runs += [receipt.run_id for receipt in attempt.receipts]
            errors = attempt.execute(restored=restored)
        except DestinationError as error:
            errors = [error]
            if not (restored := recovery.after_failure(errors)):
                raise
        else:
            restored = recovery.after_failure(errors) if errors else None
        if restored:
            attempt = Attempt.create(plan, backend, on_progress, sweep=sweep)
            attempt.execute(restored=restored)
        before_unlock(attempt.receipts)
    for receipt in attempt.receipts:
        if isinstance(receipt.failure, Interrupted):
            raise receipt.failure
    return attempt.receipts


def _serialized(on_progress: ProgressCallback) -> ProgressCallback:
    lock = threading.Lock()

    def called(phase: str, stats: ReadStats) -> None:
        with lock:
            on_progress(phase, stats)

    return called
