"""One run: lock, drain, read, load, check, publish, receipt."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dlt
import duckdb
from dlt.common.configuration.exceptions import ConfigFieldMissingException, ConfigurationException
from dlt.pipeline.exceptions import PipelineStepFailed

from pipelines.errors import KNOWN, DestinationFailed, NotConfigured
from pipelines.lock import one_run_at_a_time
from pipelines.project import enter, published_path, warehouse_path
from pipelines.publish import publish, sweep_leftovers
from pipelines.receipt import Receipt
from pipelines.warehouse import DATASET, Compared, conclude, opened, write_receipt
from sources.sendcloud import Reading, sendcloud_source

Progress = Callable[[str, Reading], None]  # the phase (reading, loading, publishing), and what was read so far


def run(
    project_dir: str | Path | None = None,
    *,
    account: str | None = None,
    on_progress: Progress = lambda _phase, _reading: None,
) -> Receipt:
    """One run over one account: everything that is new or changed, from the API into both files.

    Args:
        project_dir: folder with `.dlt`; default DLT_PROJECT_DIR, else the nearest at or above the working directory.
        account: label of the account; default `[sources.sendcloud] account`.
        on_progress: called after each page and at the start of each phase.

    Returns:
        The receipt, as written to `sendcloud.pickup_runs`.

    Raises:
        SendcloudError, PipelineError: see both errors.py. A failed run leaves a receipt too, and what was loaded
        before stays as it was.
    """
    project = enter(project_dir)
    warehouse, published = warehouse_path(project), published_path(project)
    with one_run_at_a_time(warehouse):
        sweep_leftovers(published)
        receipt, reading = Receipt(), Reading()
        reading.on_page = lambda so_far: on_progress("reading", so_far)
        try:
            _load(warehouse, account, receipt, reading, on_progress)
        except Exception as error:
            raise _failed(_told(error, warehouse), warehouse, published, receipt, reading) from error
        on_progress("publishing", reading)
        receipt.outcome = "succeeded"
        _finish(receipt, reading, warehouse, published)
        return receipt


def _load(warehouse: Path, account: str | None, receipt: Receipt, reading: Reading, on_progress: Progress) -> None:
    source = sendcloud_source(reading=reading, account=account or dlt.config.value)
    receipt.account = reading.account
    pipeline = _fresh_pipeline(warehouse, receipt)
    compared = Compared(warehouse)
    source.resources["pickups"].add_map(compared)
    started = time.monotonic()
    try:
        pipeline.extract(source, loader_file_format="parquet")
    finally:
        receipt.seconds_read = time.monotonic() - started
    on_progress("loading", reading)
    pipeline.normalize()
    pipeline.load()
    receipt.seconds_loaded = time.monotonic() - started - receipt.seconds_read
    receipt.rows_new, receipt.rows_changed = compared.new, compared.changed
    receipt.rows_unchanged, receipt.rows_cancelled = compared.unchanged, compared.cancelled


def _fresh_pipeline(warehouse: Path, receipt: Receipt) -> dlt.Pipeline:
    """The account's pipeline, with what a dead run left behind loaded, and the state taken from the warehouse.

    The warehouse is the only truth about what was read: the working folder is scratch, and is begun anew, so that a
    file that was moved, deleted or restored from a backup is read on from where that file stands.
    """
    pipeline: dlt.Pipeline = dlt.pipeline(
        f"sendcloud_pickups_{receipt.account}",
        pipelines_dir=_working_folder(warehouse),
        destination=dlt.destinations.duckdb(str(warehouse)),
        dataset_name=DATASET,
    )
    if pipeline.has_pending_data:
        pending = {*pipeline.list_extracted_load_packages(), *pipeline.list_normalized_load_packages()}
        pipeline.normalize()
        pipeline.load()
        receipt.drained_packages = len(pending)
    pipeline = pipeline.drop()
    pipeline.sync_destination()
    return pipeline


def _working_folder(warehouse: Path) -> str:
    """Beside the warehouse, so that two projects on one machine don't share one; DLT_DATA_DIR is honoured."""
    base = os.environ.get("DLT_DATA_DIR")
    return str(Path(base) / "pipelines" if base else warehouse.parent / ".dlt-pipelines")


def _finish(receipt: Receipt, reading: Reading, warehouse: Path, published: Path) -> None:
    """Receipt, views, checks, published file; then the receipt once more with how long publishing took."""
    _copy(reading, receipt)
    try:
        receipt.finished_at = datetime.now(UTC)
        conclude(warehouse, receipt)
        started = time.monotonic()
        publish(warehouse, published)
        receipt.seconds_published = time.monotonic() - started
        receipt.finished_at = datetime.now(UTC)
        with opened(warehouse) as connection:
            write_receipt(connection, receipt)
    except (OSError, duckdb.Error) as error:
        remedy = "The pickups are loaded; the published file is as it was. Mend the cause and run again."
        raise DestinationFailed(str(published), str(error).split("\n")[0], remedy) from error


def _failed(error: Exception, warehouse: Path, published: Path, receipt: Receipt, reading: Reading) -> Exception:
    """The error to raise; before that, a receipt of the failed run, if the destination can still take one."""
    receipt.error = f"{type(error).__name__}: {error}"
    try:
        _finish(receipt, reading, warehouse, published)
    except DestinationFailed as another:
        if not isinstance(error, DestinationFailed):  # else it would say the same twice
            error.add_note(f"The receipt of this failed run could not be written either: {another}")
    return error


def _copy(reading: Reading, receipt: Receipt) -> None:
    """The reading's facts into the receipt's fields of the same name."""
    for name in vars(reading).keys() & vars(receipt).keys():
        setattr(receipt, name, getattr(reading, name))


def _told(error: Exception, warehouse: Path) -> Exception:
    """The error that says what happened: ours at the bottom of dlt's, or one of ours in place of dlt's."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    for cause in causes:
        if isinstance(cause, KNOWN):
            return cause
        if isinstance(cause, ConfigurationException):
            return NotConfigured(_what_is_missing(cause))
    if any(isinstance(c, duckdb.Error | OSError) for c in causes) or _beyond_extraction(error):
        remedy = "Nothing is lost: mend the cause (disk, permissions, another program) and run again."
        return DestinationFailed(str(warehouse), str(causes[-1]).split("\n")[0], remedy)
    return error


def _what_is_missing(error: ConfigurationException) -> str:
    """dlt's explanation in one sentence; its own, whole, comes with --debug."""
    section = "sources.sendcloud.credentials"
    missing = [key for key in ("public_key", "secret_key") if f"{section}.{key}" not in dlt.secrets]
    if not isinstance(error, ConfigFieldMissingException) or not missing:
        return " ".join(str(error).split())
    variable = "__".join([*section.split("."), missing[0]]).upper()
    return (
        f"Settings are missing: {', '.join(missing)}. Put them into [{section}] of "
        f"{os.environ['DLT_PROJECT_DIR']}/.dlt/secrets.toml (example.secrets.toml shows how), or into the "
        f"environment ({variable}). To try without an account: pickups demo."
    )


def _beyond_extraction(error: Exception) -> bool:
    return isinstance(error, PipelineStepFailed) and error.step in ("normalize", "load", "sync")
