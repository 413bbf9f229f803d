"""One account's part of a run: read and loaded, package by package."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import dlt
from dlt.extract import DltSource

from pipelines.account_settings import Settings, settings_of, source_of, where_to_look
from pipelines.compare import Compared
from pipelines.conclude import record_states
from pipelines.quarantine import FirstSeen
from pipelines.receipt import Receipt
from pipelines.store import Store
from pipelines.told import told
from pipelines.turns import Turn
from pipelines.working import fresh_pipeline
from sources.sendcloud import Reading

Progress = Callable[[str, Reading], None]  # the phase (reading, loading, publishing), and what was read so far


@dataclass
class OneAccount:
    """What becomes of one account in a run. Filled while it goes on; nothing is raised, see `receipt.failure`."""

    receipt: Receipt
    reading: Reading
    store: Store
    turn: Turn
    on_progress: Progress
    settings: Settings = field(default_factory=dict, repr=False)
    source: DltSource = field(init=False, repr=False)  # the first that is read of it

    @classmethod
    def of(cls, account: str, store: Store, turn: Turn, on_progress: Progress) -> OneAccount:
        def on_page(so_far: Reading) -> None:
            turn.check()
            on_progress("reading", so_far)

        receipt = Receipt(account=account)
        reading = Reading(account=account, run_id=receipt.run_id, on_page=on_page)
        return cls(receipt, reading, store, turn, on_progress)

    def configure(self, *, sweep: bool) -> None:
        """Reads its settings; afterwards it is ready or has failed, before anything was made or sent."""
        try:
            self.settings = settings_of(self.receipt.account)
            self.source = source_of(self.settings, "sweep" if sweep else "head", self.reading)
        except Exception as error:
            self.fail(error)

    def load(self) -> None:
        """Reads and loads it; afterwards it has succeeded or failed."""
        try:
            _load(self)
            with self.turn:
                self.receipt.outcome = "succeeded"
        except (Exception, KeyboardInterrupt) as error:
            self.fail(error)
        finally:
            self.reading.let_go()

    def fail(self, error: BaseException) -> None:
        """It has failed with that error, unless it had ended before."""
        if self.receipt.outcome == "succeeded" or self.receipt.failure:
            return
        failure = where_to_look(told(error, str(self.store)), self.receipt.account)
        seen: BaseException | None = error
        while seen:  # or what was read so far would stay in memory as long as the error
            traceback.clear_frames(seen.__traceback__)
            seen = seen.__cause__ or seen.__context__
        if failure is not error:
            failure.__cause__ = error
        self.receipt.failure, self.receipt.error = failure, f"{type(failure).__name__}: {failure}"


def _load(one: OneAccount) -> None:
    """The head, and then the history package by package, each loaded before the next is read."""
    source = one.source
    with one.turn:
        pipeline = fresh_pipeline(one.store, one.receipt)
    compared = Compared(one.store, one.reading, one.turn)
    earlier = timedelta(microseconds=1)  # what a run that died had loaded was seen before anything of this one
    while True:
        _extract(pipeline, source, compared, one)
        with one.turn:
            if one.reading.observed_at and pipeline.list_extracted_load_packages():  # else nothing changes a state
                record_states(one.store, one.receipt.account, one.reading.observed_at - earlier)
                earlier = timedelta(0)
            _load_extracted(pipeline, compared, one)
            if not one.reading.has_more:
                return
            # while a connection is open nobody else does it, and what is not in the file is in memory
            one.store.checkpoint()
        source = source_of(one.settings, "history", one.reading)
        is_swept = one.reading.sweep and one.reading.history_complete
        compared.outside = one.reading.frontier if is_swept else None


def _extract(pipeline: dlt.Pipeline, source: DltSource, compared: Compared, one: OneAccount) -> None:
    one.store.fit(source)
    source.resources["pickups"].add_map(compared)
    source.resources["pickups_quarantine"].add_map(FirstSeen(one.store, one.receipt.account, one.turn))
    started, changed = time.monotonic(), compared.changed
    try:
        pipeline.extract(source, loader_file_format="parquet")
    finally:
        one.receipt.seconds_read += time.monotonic() - started
    table = pipeline.default_schema.tables.get("pickups")
    if compared.changed == changed and table and one.store.loads_once():
        # nothing to replace: a merge would look for it all the same, a seventh of a first load (2026-11). Of a run
        # that dies after it, the rows are in the table, and the next run finds them there
        table["write_disposition"] = "append"


def _load_extracted(pipeline: dlt.Pipeline, compared: Compared, one: OneAccount) -> None:
    receipt, reading = one.receipt, one.reading
    if pipeline.list_extracted_load_packages():
        one.on_progress("loading", reading)
        started = time.monotonic()
        pipeline.normalize()
        one.store.make_sure_of_lock()  # a run that was held up may have rows that are older than what is there by now
        pipeline.load()
        receipt.seconds_loaded += time.monotonic() - started
    receipt.rows_new, receipt.rows_changed = compared.new, compared.changed
    receipt.rows_unchanged, receipt.rows_cancelled = compared.unchanged, compared.cancelled
    receipt.history_complete, receipt.sweep = reading.history_complete, reading.sweep
