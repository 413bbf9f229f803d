"""One run: lock, read, load, check, publish, receipt."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dlt
import duckdb
from dlt.extract import DltSource

from pipelines.compare import Compared
from pipelines.conclude import conclude, record_states, write_published, write_receipt
from pipelines.errors import DestinationFailed
from pipelines.in_place import sweep_leftovers
from pipelines.lock import one_run_at_a_time
from pipelines.project import account_label, inside, published_path, warehouse_path
from pipelines.publish import publish
from pipelines.quarantine import FirstSeen
from pipelines.receipt import Receipt
from pipelines.told import told
from pipelines.warehouse import checkpoint, opened, prepare
from pipelines.working import fresh_pipeline
from sources.sendcloud import Reading, sendcloud_source

Progress = Callable[[str, Reading], None]  # the phase (reading, loading, publishing), and what was read so far


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
        account: label of the account; default `[sources.sendcloud] account`.
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
        warehouse, published = warehouse_path(project), published_path(project)
        with one_run_at_a_time(warehouse, wait_seconds):
            return _locked_run(warehouse, published, account_label(account), sweep, on_progress)


def _locked_run(warehouse: Path, published: Path, account: str, sweep: bool, on_progress: Progress) -> Receipt:
    receipt = Receipt(account=account)
    reading = Reading(account=account, on_page=lambda so_far: on_progress("reading", so_far))
    try:
        sweep_leftovers(published)
        prepare(warehouse)
        with opened(warehouse):  # the file is opened once, not 8 times: a tenth of a run that finds nothing (2026-11)
            _load(warehouse, receipt, reading, sweep, on_progress)
    except (Exception, KeyboardInterrupt) as error:
        raise _failed(told(error, warehouse), warehouse, published, receipt, reading) from error
    finally:
        reading.let_go()
    on_progress("publishing", reading)
    receipt.outcome = "succeeded"
    _finish(receipt, reading, warehouse, published)
    return receipt


def _load(warehouse: Path, receipt: Receipt, reading: Reading, sweep: bool, on_progress: Progress) -> None:
    """The head, and then the history package by package, each loaded before the next is read."""
    source = sendcloud_source(account=receipt.account, part="sweep" if sweep else "head", reading=reading)
    pipeline, compared = fresh_pipeline(warehouse, receipt), Compared(warehouse, reading)
    earlier = timedelta(microseconds=1)  # what a run that died had loaded was seen before anything of this one
    while True:
        _extract(pipeline, source, compared, receipt)
        if reading.observed_at and pipeline.list_extracted_load_packages():  # else nothing will change a state
            record_states(warehouse, reading.observed_at - earlier)
            earlier = timedelta(0)
        _load_extracted(pipeline, compared, receipt, reading, on_progress)
        if not reading.has_more:
            return
        checkpoint(
            warehouse
        )  # while a connection is open nobody else does it, and what is not in the file is in memory
        source = sendcloud_source(account=receipt.account, part="history", reading=reading)
        compared.outside = reading.frontier if reading.sweep and reading.history_complete else None


def _extract(pipeline: dlt.Pipeline, source: DltSource, compared: Compared, receipt: Receipt) -> None:
    source.resources["pickups"].add_map(compared)
    source.resources["pickups_quarantine"].add_map(FirstSeen(compared.warehouse))
    started, changed = time.monotonic(), compared.changed
    try:
        pipeline.extract(source, loader_file_format="parquet")
    finally:
        receipt.seconds_read += time.monotonic() - started
    if compared.changed == changed and (table := pipeline.default_schema.tables.get("pickups")):
        # nothing to replace: a merge would look for it all the same, a seventh of a first load (2026-11). Of a run
        # that dies after it, the rows are in the table, and the next run finds them there
        table["write_disposition"] = "append"


def _load_extracted(
    pipeline: dlt.Pipeline, compared: Compared, receipt: Receipt, reading: Reading, on_progress: Progress
) -> None:
    if pipeline.list_extracted_load_packages():
        on_progress("loading", reading)
        started = time.monotonic()
        pipeline.normalize()
        pipeline.load()
        receipt.seconds_loaded += time.monotonic() - started
    receipt.rows_new, receipt.rows_changed = compared.new, compared.changed
    receipt.rows_unchanged, receipt.rows_cancelled = compared.unchanged, compared.cancelled
    receipt.history_complete, receipt.sweep = reading.history_complete, reading.sweep


def _finish(receipt: Receipt, reading: Reading, warehouse: Path, published: Path) -> None:
    """Receipt, views, checks, published file; then the receipt once more with how long publishing took."""
    _copy(reading, receipt)
    where, left = warehouse, "The pickups are loaded; the published file is as it was. Mend the cause and run again."
    try:
        receipt.finished_at = datetime.now(UTC)
        if not conclude(warehouse, receipt, reading):
            return
        where, started = published, time.monotonic()
        publish(warehouse, published)
        receipt.seconds_published = time.monotonic() - started
        where, left = (
            warehouse,
            "The pickups are loaded and published; only the receipt is not complete. Mend the cause.",
        )
        receipt.finished_at = datetime.now(UTC)
        with opened(warehouse) as connection:
            write_published(connection, receipt)
    except (OSError, duckdb.Error) as error:
        failed = DestinationFailed(str(where), str(error).split("\n")[0], left)
        receipt.outcome, receipt.error = "failed", f"{type(failed).__name__}: {failed}"
        receipt.finished_at = datetime.now(UTC)
        with suppress(OSError, duckdb.Error, DestinationFailed), opened(warehouse) as connection:
            write_receipt(connection, receipt)
        raise failed from error


def _failed(error: Exception, warehouse: Path, published: Path, receipt: Receipt, reading: Reading) -> Exception:
    """The error to raise; before that, a receipt of the failed run, if the destination can still take one."""
    receipt.error = f"{type(error).__name__}: {error}"
    with suppress(DestinationFailed):  # the first error is the one to tell
        if warehouse.exists():  # where it could not even be made, a receipt would make half of it
            _finish(receipt, reading, warehouse, published)
    return error


def _copy(reading: Reading, receipt: Receipt) -> None:
    """The reading's facts into the receipt's fields of the same name, but for those that count once they are loaded."""
    for name in vars(reading).keys() & vars(receipt).keys() - {"history_complete", "sweep"}:
        setattr(receipt, name, getattr(reading, name))
