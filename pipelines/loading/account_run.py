"""Reads and loads one account during a run, one load package at a time."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

import dlt
from dlt.extract import DltSource

from pipelines.bookkeeping.future_times import forget_later_states
from pipelines.config.account_settings import (
    SourceSettings,
    build_source,
    resolve_account_settings,
    with_setting_location,
)
from pipelines.config.settings import get_setting
from pipelines.destinations.base import Backend, Session
from pipelines.loading.change_detection import ChangeDetector
from pipelines.loading.concurrency import WriteLock
from pipelines.loading.dlt_errors import translate_error
from pipelines.loading.dlt_pipeline import create_pipeline, delete_empty_packages
from pipelines.loading.finalize import record_loaded_states
from pipelines.loading.open_pickups import OpenPickups
from pipelines.loading.plan import RunPlan
from pipelines.loading.privacy import PrivacyFilter
from pipelines.loading.sightings import SightingRecorder, keep_first_seen
from pipelines.output import visible
from pipelines.receipt import Receipt
from sources.sendcloud import ReadStats
from sources.sendcloud.reading.outcome import ReadPart

# arguments: the phase (reading, loading or publishing) and the statistics so far
ProgressCallback = Callable[[str, ReadStats], None]


@dataclass
class AccountRun:
    """One account's part of a run.

    The methods fill in the receipt during the run. Errors are not raised but stored in `receipt.failure`.
    """

    receipt: Receipt
    backend: Backend
    write_lock: WriteLock
    on_progress: ProgressCallback
    settings: SourceSettings = field(default_factory=dict, repr=False)
    part: ReadPart = "head"
    source: DltSource = field(init=False, repr=False)  # the first source reads the head; later sources read the history

    @classmethod
    def create(cls, account: str, backend: Backend, write_lock: WriteLock, on_progress: ProgressCallback) -> AccountRun:
        """Returns the account's part of a run, with a new receipt.

        Args:
            account: the name of the account.
            backend: the run's destination.
            write_lock: the lock that the run's accounts share.
            on_progress: called after each page and at the start of each phase.
        """

        def on_page(so_far: ReadStats) -> None:
            write_lock.check()
            on_progress("reading", so_far)

        receipt = Receipt(ReadStats(account=account, on_page=on_page))
        receipt.stats.run_id = receipt.run_id
        return cls(receipt, backend, write_lock, on_progress)

    @property
    def is_over(self) -> bool:
        """Whether the account has been loaded completely or has failed."""
        return self.receipt.outcome == "succeeded" or bool(self.receipt.failure)

    @property
    def stats(self) -> ReadStats:
        """Statistics about what has been read so far."""
        return self.receipt.stats

    def configure(self, plan: RunPlan, *, sweep: bool) -> None:
        """Resolves the account's settings and builds its source, before anything is requested or written.

        If a setting is invalid, the account fails.

        Args:
            plan: the plan of the run.
            sweep: whether to read settled pickups again.
        """
        try:
            own = resolve_account_settings(self.receipt.account, plan.sections, plan.key_owners)
            self.settings = own | {"read_back_to": plan.read_back_to}
            self.part = "sweep" if sweep else "head"
            self.stats.kept_pages = [] if get_setting("pipeline.quick_runs") and not sweep else None
            self.source = build_source(self.settings, self.part, self.stats)
        except Exception as error:
            self.fail(error)

    def try_once(self) -> None:
        """Makes the account give up after one attempt per request. Must be called before `load`."""
        self.settings["request_max_attempts"] = 1
        self.source = build_source(self.settings, self.part, self.stats)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Opens a session over the account's own tables. Meanwhile, no other account of the run can write."""
        with self.write_lock, self.backend.session() as session:
            yield session.for_account(self.receipt.account)

    def load(self) -> None:
        """Reads and loads the account. Afterwards, the account has either succeeded or failed."""
        try:
            _load_packages(self)
            with self.write_lock:
                self.receipt.outcome = "succeeded"
        except (Exception, KeyboardInterrupt) as error:
            self.fail(error)
        finally:
            self.stats.stop_prefetch()

    def fail(self, error: BaseException) -> None:
        """Marks the account as failed with this error, unless the account has already succeeded or failed.

        An account that was not read fails too, because an error of the run must not be lost.
        """
        if (self.receipt.outcome == "succeeded" and not self.receipt.is_quick) or self.receipt.failure:
            return
        self.receipt.outcome = "failed"
        failure = with_setting_location(translate_error(error, str(self.backend)), self.receipt.account)
        seen: BaseException | None = error
        while seen:  # otherwise, the traceback's frames would keep all rows read so far in memory
            traceback.clear_frames(seen.__traceback__)
            seen = seen.__cause__ or seen.__context__
        if failure is not error:
            failure.__cause__ = error
        self.receipt.failure, self.receipt.error = failure, visible(f"{type(failure).__name__}: {failure}")


class _Steps(NamedTuple):
    """The steps that an account's rows pass through between the source and a load package."""

    detector: ChangeDetector
    recorder: SightingRecorder
    privacy: PrivacyFilter


def _load_packages(one: AccountRun) -> None:
    """Reads and loads the head, then the history, one package at a time.

    Each package is loaded before the next package is extracted.
    """
    source = one.source
    with one.write_lock:
        pipeline = create_pipeline(one.backend, one.receipt)
    open_pickups = OpenPickups(one.stats, timedelta(days=one.settings["settle_days"]))
    steps = _Steps(
        ChangeDetector(one.writing, one.stats),
        SightingRecorder(one.writing, one.stats, open_pickups),
        PrivacyFilter(one.writing, one.stats),
    )
    earlier = timedelta(microseconds=1)  # a crashed run's rows were read before this run's rows
    while True:
        _extract(pipeline, source, steps, one)
        with one.write_lock:
            delete_empty_packages(pipeline)
            # without an extracted package, there are no rows, so no state can have changed
            if one.stats.observed_at and pipeline.list_extracted_load_packages():
                record_loaded_states(one.backend, one.stats, one.stats.observed_at - earlier)
                earlier = timedelta(0)
            _load_extracted(pipeline, steps, one)
            if not one.stats.has_more:
                _count_missing(one, open_pickups)
                return
            # DuckDB writes a checkpoint only when its last connection closes; until then, the rows stay in memory
            one.backend.checkpoint()
        source = build_source(one.settings, "history", one.stats)
        is_swept = one.stats.sweep and one.stats.history_complete
        steps.recorder.unread_before = one.stats.frontier if is_swept else None


def _count_missing(one: AccountRun, open_pickups: OpenPickups) -> None:
    one.receipt.open_missing = open_pickups.count_missing()
    if one.receipt.open_missing:
        with one.backend.session() as session:
            open_pickups.note_removed(session.for_account(one.receipt.account))


def _extract(pipeline: dlt.Pipeline, source: DltSource, steps: _Steps, one: AccountRun) -> None:
    source.resources["pickups"].add_map(steps.privacy).add_map(steps.detector).add_map(steps.recorder)
    one.backend.adapt_source(source, one.writing)
    rejected = source.resources["pickups_quarantine"].add_map(steps.recorder.open_pickups.note_rejected)
    rejected.add_map(steps.privacy.records).add_map(lambda refused: keep_first_seen(one.writing, refused))
    started, changed = time.monotonic(), steps.detector.changed
    try:
        pipeline.extract(source, loader_file_format="parquet")
    finally:
        one.receipt.seconds_read += time.monotonic() - started
    table = pipeline.default_schema.tables.get("pickups")
    if steps.detector.changed == changed and table and one.backend.has_atomic_loads():
        # There are no rows to replace, but a merge would still search for them. The search takes a seventh of the time
        # of a first load (2026-11). If the run crashes after the load, the rows are in the table, so the next run does
        # not append them again.
        table["write_disposition"] = "append"


def _load_extracted(pipeline: dlt.Pipeline, steps: _Steps, one: AccountRun) -> None:
    receipt, stats, detector = one.receipt, one.stats, steps.detector
    if pipeline.list_extracted_load_packages():
        one.on_progress("loading", stats)
        started = time.monotonic()
        pipeline.normalize()
        one.backend.check_lock()  # after a suspension, this run's rows may be older than those in the table
        info = pipeline.load()
        with one.backend.session() as session:
            forget_later_states(session.for_account(receipt.account), pipeline.pipeline_name, max(info.loads_ids))
        receipt.seconds_loaded += time.monotonic() - started
    receipt.rows_new, receipt.rows_changed = detector.new, detector.changed
    receipt.rows_unchanged, receipt.rows_cancelled = detector.unchanged, detector.cancelled
    receipt.rows_expired = steps.privacy.expired_rows
    receipt.history_complete, receipt.sweep = stats.history_complete, stats.sweep
