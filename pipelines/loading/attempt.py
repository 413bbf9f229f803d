"""Makes one attempt at a run: loads the accounts, runs the checks and publishes. The caller holds the lock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from pipelines.bookkeeping.last_runs import LastRun, last_runs
from pipelines.config.validation import validate_settings
from pipelines.destinations.base import Backend
from pipelines.destinations.duckdb.session import DatabaseError
from pipelines.destinations.migrations import migrate
from pipelines.errors import EXIT_BUG, EXIT_CODES, DestinationError, exit_code_of
from pipelines.file_access import CAN_READ_OPEN_DATABASES
from pipelines.loading.account_run import AccountRun, ProgressCallback
from pipelines.loading.concurrency import WriteLock, run_concurrently
from pipelines.loading.dlt_errors import translate_error
from pipelines.loading.finalize import finalize_run, record_failure, record_publish_time
from pipelines.loading.plan import RunPlan
from pipelines.loading.privacy import delete_expired
from pipelines.loading.several.early_publishing import EarlyPublisher, first_loads_last
from pipelines.loading.several.unreachable import UnreachableOrigins
from pipelines.receipt import Receipt
from sources.sendcloud import ReadStats
from sources.sendcloud.errors import SettingsError

DESTINATION_CODES = (EXIT_CODES[DestinationError], EXIT_BUG)  # dlt wraps some DuckDB errors in its own errors
MAX_ROWS_IN_LOG = 20_000


@dataclass
class Attempt:
    """One attempt to execute a plan. A run makes a second attempt if a damaged warehouse had to be replaced."""

    parts: list[AccountRun]
    ready: list[AccountRun]  # those with valid settings
    backend: Backend
    write_lock: WriteLock
    on_progress: ProgressCallback

    @classmethod
    def create(
        cls,
        plan: RunPlan,
        backend: Backend,
        on_progress: ProgressCallback,
        unchanged: Sequence[Receipt] = (),
        *,
        sweep: bool,
    ) -> Attempt:
        """Returns an attempt that reads all accounts of the plan except those with an `unchanged` receipt."""
        write_lock = WriteLock()
        parts = [AccountRun.create(account, backend, write_lock, on_progress) for account in plan.accounts]
        done = {receipt.account: receipt for receipt in unchanged}
        for part in parts:
            part.receipt = done.get(part.receipt.account, part.receipt)
        unread = [part for part in parts if not part.is_over]
        return cls(parts, _configure(unread, plan, sweep=sweep), backend, write_lock, on_progress)

    @property
    def receipts(self) -> list[Receipt]:
        return [part.receipt for part in self.parts]

    def execute(self, restored: str | None) -> list[Exception]:
        """Loads the accounts, runs the checks and publishes the data.

        Args:
            restored: how the warehouse was repaired before this attempt, or None.

        Returns:
            The accounts' errors that a problem with the destination may have caused.

        Raises:
            DestinationError, OwnershipError: the destination can't be used.
        """
        for receipt in self.receipts:
            receipt.warehouse_restored = restored
        publisher = EarlyPublisher(self.parts, self.write_lock, partial(_finish, backend=self.backend, is_last=False))
        with ExitStack() as warehouse:
            warehouse.enter_context(_ownership_checked(self.backend, [receipt.account for receipt in self.receipts]))
            _load_all(self.ready, publisher, self.backend)
            if not _may_stay_open(self.receipts):
                warehouse.close()
            if any(receipt.outcome == "succeeded" for receipt in self.receipts):
                self.on_progress("publishing", _total_stats(self.parts))
            _finish(publisher.left(), self.backend, close=warehouse.close)
        failures = [receipt.failure for receipt in self.receipts if receipt.failure]
        return [failure for failure in failures if exit_code_of(failure) in DESTINATION_CODES]


def _may_stay_open(receipts: Sequence[Receipt]) -> bool:
    """Returns whether the warehouse stays open after the load, because opening it again would take time.

    After an error, it is opened again, because an error may have made the open database unusable. After a large load,
    DuckDB would keep the rows in memory while the checks run.
    """
    rows = sum(receipt.rows_new + receipt.rows_changed for receipt in receipts)
    return rows <= MAX_ROWS_IN_LOG and not any(receipt.failure for receipt in receipts)


def _configure(parts: Sequence[AccountRun], plan: RunPlan, *, sweep: bool) -> list[AccountRun]:
    """Returns the accounts with valid settings. If a common setting is invalid, every account fails."""
    try:
        validate_settings()
    except SettingsError as error:
        for part in parts:
            part.fail(error)
        return []
    for part in parts:
        part.configure(plan, sweep=sweep)
    return [part for part in parts if not part.receipt.failure]


@contextmanager
def _ownership_checked(backend: Backend, accounts: Sequence[str]) -> Iterator[None]:
    """Runs the ownership check, and keeps the warehouse open during the block.

    If the check raises an error, not even a receipt may be written.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(backend.ownership_checked(accounts))
        except (OSError, DatabaseError) as error:
            raise translate_error(error, str(backend)) from error
        yield


def _load_all(ready: Sequence[AccountRun], publisher: EarlyPublisher, backend: Backend) -> None:
    parts, write_lock = publisher.parts, publisher.write_lock
    accounts = [part.receipt.account for part in parts]
    try:
        backend.prepare(accounts)
        # The whole run shares one connection. Opening a connection 8 times would take a tenth of the time of a run
        # without changes (2026-11).
        with backend.session() as session:
            backend.write_mark()
            last: dict[str, LastRun] = {}
            for own in dict.fromkeys(map(session.for_account, accounts)):
                migrate(own)
                last |= last_runs(own)
            for part in ready:  # the source compares these times with the clocks
                if found := last.get(part.receipt.account):
                    part.stats.last_as_of, part.stats.highest_as_of = found.observed_at, found.highest_observed_at
            in_order = first_loads_last(ready, session) if len(ready) > 1 else ready
            publishes_early = len(parts) > 1
            run_concurrently(in_order, UnreachableOrigins().load, write_lock, publisher if publishes_early else None)
    except (Exception, KeyboardInterrupt) as error:
        write_lock.close()  # the last writer must finish before the run reads the file again
        for part in parts:
            part.fail(error)


def _total_stats(parts: Sequence[AccountRun]) -> ReadStats:
    """Returns the combined counts of all accounts, for the progress display."""
    if len(parts) == 1:
        return parts[0].stats
    every = [part.stats for part in parts]
    return ReadStats(pages=sum(each.pages for each in every), rows_read=sum(each.rows_read for each in every))


def _finish(
    receipts: Sequence[Receipt], backend: Backend, *, is_last: bool = True, close: Callable[[], object] = lambda: None
) -> None:
    """Writes receipts and views, runs the checks and publishes the data, then adds the publishing time to the receipts.

    If one of these steps fails, every account that has not failed yet fails with the step's error. An earlier failure
    is kept, because the first error is the one to report.

    Args:
        receipts: the receipts to write.
        backend: the run's destination.
        is_last: whether nothing is left to be loaded.
        close: closes the warehouse, which stays open otherwise, because opening it again would take time.
    """
    if not backend.exists():  # the destination could not be created, and a receipt would leave it incomplete
        return
    remedy = "The pickups are loaded; the published data is unchanged. Fix the cause and run again."
    try:
        for receipt in receipts:
            receipt.finished_at = datetime.now(UTC)
        if not finalize_run(backend, receipts):
            return
        delete_expired(backend, receipts)
        if not CAN_READ_OPEN_DATABASES:
            close()
        started = time.monotonic()
        if not backend.publish(is_last=is_last):
            return
        remedy = "The pickups are loaded and published; only the receipt is incomplete. Fix the cause."
        record_publish_time(backend, receipts, time.monotonic() - started)
    except (OSError, DatabaseError, DestinationError) as error:
        close()
        failure = DestinationError(str(backend), str(error).split("\n")[0], remedy)
        failure.__cause__ = error
        record_failure(backend, receipts, error if isinstance(error, DestinationError) else failure)
