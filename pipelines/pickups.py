"""A run: lock, read and load each account, check, publish, receipts."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pipelines.accounts import account_names, one_of
from pipelines.conclude import conclude, write_published, write_receipt
from pipelines.errors import DestinationFailed, Interrupted, NotConfigured
from pipelines.one_account import OneAccount, Progress
from pipelines.project import inside
from pipelines.receipt import Receipt
from pipelines.store import Store
from pipelines.turns import Turn, for_each
from pipelines.upgrade import upgrade
from pipelines.verify import verify
from pipelines.warehouse import DatabaseError
from pipelines.which_store import store_of
from sources.sendcloud import Reading


def run(
    project_dir: str | Path | None = None,
    *,
    account: str | None = None,
    sweep: bool = False,
    wait_seconds: float = 0,
    on_progress: Progress = lambda _phase, _reading: None,
) -> Receipt:
    """One run over one account: everything that is new or changed, from the API into both files.

    Args:
        project_dir: folder with `.dlt`; default DLT_PROJECT_DIR, else the nearest at or above the working directory.
        account: name of the account; default the only one that is configured, else `[sources.sendcloud] account`.
        sweep: read settled pickups again as well, to the end of the list; if it dies, the next run goes on with it.
        wait_seconds: how long to wait for another run to end, before AnotherRun is raised.
        on_progress: called after each page and at the start of each phase.

    Returns:
        The receipt, as written to `sendcloud.pickup_runs`.

    Raises:
        SendcloudError, PipelineError: see both errors.py. A failed run leaves a receipt too, and what was loaded
        before stays as it was.
    """
    with inside(project_dir) as project:
        (receipt,) = _run(project, [one_of(account)], sweep, wait_seconds, on_progress)
    if receipt.failure:
        raise receipt.failure
    return receipt


def run_accounts(
    project_dir: str | Path | None = None,
    accounts: Sequence[str] | None = None,
    *,
    sweep: bool = False,
    wait_seconds: float = 0,
    on_progress: Progress = lambda _phase, _reading: None,
) -> list[Receipt]:
    """One run over these accounts, default all of them: read at the same time, published once. Arguments as of `run`.

    Returns:
        A receipt for each, in the order of the accounts. One that failed says so (`outcome`, `error`, `failure`) and
        stops no other: what of the others was new is loaded and published.

    Raises:
        PipelineError for what no account could help: no such account, another run, Ctrl-C.
    """
    if isinstance(accounts, str):
        raise ValueError(f"accounts is a list: [{accounts!r}]")
    with inside(project_dir) as project:
        names = account_names() if accounts is None else [one_of(account) for account in dict.fromkeys(accounts)]
        receipts = _run(project, names, sweep, wait_seconds, on_progress)
    for receipt in receipts:
        if isinstance(receipt.failure, Interrupted):
            raise receipt.failure
    return receipts


def _run(project: Path, accounts: Sequence[str], sweep: bool, wait: float, on_progress: Progress) -> list[Receipt]:
    store = store_of(project)
    turn, on_progress = Turn(), _one_at_a_time(on_progress) if len(accounts) > 1 else on_progress
    parts = [OneAccount.of(account, store, turn, on_progress) for account in accounts]
    ready = _configured(parts, sweep)
    if not ready and not store.exists():  # nothing to do and nowhere to tell it: nothing is made
        return [part.receipt for part in parts]
    with store.locked(accounts, wait):
        try:
            store.prepare(accounts)
            # opened once, not 8 times: a tenth of a run that finds nothing (2026-11)
            with store.opened() as connection:
                for account in accounts:
                    upgrade(connection.of(account))
                for_each(ready, OneAccount.load, turn)
        except (Exception, KeyboardInterrupt) as error:
            turn.close()  # before anybody looks at the file
            for part in parts:
                part.fail(error)
        if any(part.receipt.outcome == "succeeded" for part in parts):
            on_progress("publishing", _all_of(parts))
        _finish(parts, store)
        return [part.receipt for part in parts]


def _configured(parts: Sequence[OneAccount], sweep: bool) -> list[OneAccount]:
    """Those whose settings can be; what is wrong with the common ones is every account's failure."""
    try:
        verify()
    except NotConfigured as error:
        for part in parts:
            part.fail(error)
        return []
    for part in parts:
        part.configure(sweep=sweep)
    return [part for part in parts if not part.receipt.failure]


def _one_at_a_time(on_progress: Progress) -> Progress:
    lock = threading.Lock()

    def called(phase: str, reading: Reading) -> None:
        with lock:
            on_progress(phase, reading)

    return called


def _all_of(parts: Sequence[OneAccount]) -> Reading:
    """What was read of all accounts together, for progress."""
    readings = [part.reading for part in parts]
    if len(readings) == 1:
        return readings[0]
    return Reading(pages=sum(r.pages for r in readings), rows_read=sum(r.rows_read for r in readings))


def _finish(parts: Sequence[OneAccount], store: Store) -> None:
    """Receipts, views, checks, published file; then the receipts once more with how long publishing took.

    Where that fails, so has each account that had not failed before: the first error is the one to tell.
    """
    if not store.exists():  # it could not even be made; a receipt would make half of it
        return
    receipts = [part.receipt for part in parts]
    left = "The pickups are loaded; what people read is as it was. Mend the cause and run again."
    try:
        _copy(parts)
        if not conclude(store, [(part.receipt, part.reading) for part in parts]):
            return
        started = time.monotonic()
        if not store.publish():
            return
        left = "The pickups are loaded and published; only the receipt is not complete. Mend the cause."
        for receipt in receipts:
            receipt.seconds_published, receipt.finished_at = time.monotonic() - started, datetime.now(UTC)
        with store.opened() as connection:
            for receipt in receipts:
                write_published(connection, receipt)
    except (OSError, DatabaseError, DestinationFailed) as error:
        failed = DestinationFailed(str(store), str(error).split("\n")[0], left)
        failed.__cause__ = error
        _fail(receipts, error if isinstance(error, DestinationFailed) else failed, store)


def _fail(receipts: Sequence[Receipt], failure: DestinationFailed, store: Store) -> None:
    for receipt in receipts:
        receipt.finished_at = datetime.now(UTC)
        if not receipt.failure:
            receipt.outcome, receipt.failure = "failed", failure
            receipt.error = f"{type(failure).__name__}: {failure}"
    with suppress(OSError, DatabaseError, DestinationFailed), store.opened() as connection:
        for receipt in receipts:
            write_receipt(connection.of(receipt.account), receipt)


def _copy(parts: Sequence[OneAccount]) -> None:
    """The readings' facts into the receipts' fields of the same name, but for those that count once they are loaded."""
    for part in parts:
        reading, receipt = vars(part.reading), vars(part.receipt)
        for name in reading.keys() & receipt.keys() - {"history_complete", "sweep"}:
            setattr(part.receipt, name, reading[name])
        part.receipt.finished_at = datetime.now(UTC)
