"""Runs `pickups run` the quick way: if the API lists the same pages, only the receipts are new.

A quick run is right because the same pages contain the same rows: the ordinary run that would have read them has been
made in advance (`predict_repeat` in the source). Only the time is different, and the record says until when the result
does not depend on it. Everything else ends the quick run before it has written anything. If only some accounts have the
same pages, an ordinary run writes their receipts too, and reads the other accounts.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote_plus

from msgspec import Struct, field

from pipelines.destinations.file_lock import lock_if_free
from pipelines.errors import PipelineError
from pipelines.file_access import file_identity
from pipelines.loading.concurrency import WriteLock, run_concurrently
from pipelines.quick.command_line import RunOptions
from pipelines.quick.marks import left_packages
from pipelines.quick.pages import Listed, list_same_pages
from pipelines.quick.record import AccountRecord, QuickRecord, read_record, record_path, to_receipt, write_record
from pipelines.quick.settings_again import find_warehouse, read_place
from pipelines.receipt import Receipt
from sources.sendcloud.http.redaction import SecretMask
from sources.sendcloud.reading.clocks import MAX_CLOCK_DIFFERENCE, judge, largest_difference, machine_time

MAX_SECONDS = 30.0  # An ordinary run has more patience with a slow API.


class QuickRun(NamedTuple):
    """The receipts of a quick run, and the address of the ping if the run covered all accounts."""

    receipts: list[Receipt]
    ping_url: str | None


class Unchanged(Struct):
    """What is known about unchanged accounts, if an ordinary run must read at least one account.

    Attributes:
        record: what the last run recorded.
        receipts: the receipts of the accounts that have the same pages.
        latest: what the last run before the ordinary run recorded, or None if something has changed since then.
    """

    record: QuickRecord
    receipts: list[Receipt] = field(default_factory=list)
    latest: QuickRecord | None = None

    def check(self) -> bool:
        """Returns whether the receipts are still right, and sets `latest`. The caller holds the lock."""
        latest = read_record(record_path(Path(self.record.warehouse)))
        is_latest = latest is not None and latest.mark == self.record.mark and is_untouched(latest)
        self.latest = latest if is_latest else None
        return is_latest and is_untouched(self.record)


def repeat_last_run(project: Path, mark: str, options: RunOptions) -> QuickRun | Unchanged | None:
    """Returns the result of a quick run or, if an ordinary run must do it, what is known about unchanged accounts.

    If an ordinary run must do it, nothing was written, unless publishing failed: then a receipt may be left in the
    warehouse.

    Args:
        project: the project folder.
        mark: the mark of the installation.
        options: the options of the command.
    """
    warehouse = find_warehouse(project)
    record = read_record(record_path(warehouse))
    if not record or record.mark != mark or Path(record.warehouse) != warehouse:
        return None
    wanted = [options.account] if options.account else record.configured
    known = {one.account: one for one in record.accounts}
    chosen = [known[name] for name in wanted if name in known and _is_up_to_date(known[name])]
    if chosen:
        with suppress(PipelineError, OSError), lock_if_free(warehouse):
            return _repeat(record, wanted, chosen, project)
    return Unchanged(record)


def _is_up_to_date(one: AccountRecord) -> bool:
    """Returns whether nothing has changed by the time alone. On each day (UTC), the first run is an ordinary one."""
    now = machine_time()
    return one.machine_at <= now and one.machine_at.date() == now.date() and _holds(one, now)


def _holds(one: AccountRecord, now: datetime) -> bool:
    return one.unchanged_until is None or now < one.unchanged_until


def _repeat(
    record: QuickRecord, wanted: Sequence[str], chosen: Sequence[AccountRecord], project: Path
) -> QuickRun | Unchanged:
    if not is_untouched(record):
        return Unchanged(record)
    began = datetime.now(UTC)
    ping_url = read_place(record.ping, project, record.salt) if record.ping else None
    pairs = [[read_place(place, project, record.salt) for place in one.keys] for one in chosen]
    if not all(map(all, pairs)) or (record.ping and not ping_url):
        return Unchanged(record)
    started = time.monotonic()
    listed = _list_all(chosen, pairs, started + MAX_SECONDS)
    receipts = [_receipt(one, pages, began) for one, pages in zip(chosen, listed, strict=False) if pages]
    done = [receipt for receipt in receipts if receipt]
    for receipt in done:
        receipt.seconds_read = time.monotonic() - started
    is_all = len(done) == len(wanted) and not _has_incident(record)
    return _finish(record, done, ping_url) if is_all else Unchanged(record, done)


def is_untouched(record: QuickRecord) -> bool:
    """Returns whether both files are as the last run left them, and no later run has crashed while it loaded."""
    try:
        marks = [file_identity(Path(path)) for path in (record.warehouse, record.published)]
    except OSError:
        return False
    has_log = Path(f"{record.warehouse}.wal").exists()
    is_same_place = Path(record.published_through).resolve() == Path(record.published)
    has_crashed = any(left_packages(Path(one.pipeline_dir)) for one in record.accounts)
    is_same = marks == [record.warehouse_mark, record.published_mark] and is_same_place
    return is_same and not has_log and not has_crashed


def _has_incident(record: QuickRecord) -> bool:
    """Returns whether an ordinary run must report that an incident is over."""
    return any(path.exists() and path.stat().st_size for path in map(Path, record.incidents))


def _list_all(
    chosen: Sequence[AccountRecord], pairs: Sequence[list[str | None]], ends_at: float
) -> list[Listed | None]:
    listed: dict[int, Listed | None] = {}

    def read(number: int) -> None:
        one, (public, secret) = chosen[number], map(str, pairs[number])
        keys = SecretMask({"public_key": public, "secret_key": secret}, quote_plus if one.token_url else str)
        with suppress(Exception):  # whatever it is, an ordinary run finds out and reports it
            listed[number] = list_same_pages(one, keys, ends_at)

    run_concurrently(range(len(chosen)), read, WriteLock())
    return [listed.get(number) for number in range(len(chosen))]


def _receipt(one: AccountRecord, listed: Listed, began: datetime) -> Receipt | None:
    """Returns the receipt that an ordinary run would have written, or None if a clock is not plausible."""
    difference = largest_difference(listed.clocks)
    verdict = judge(listed.clocks, one.booked, one.observed_at)
    is_plausible = abs(difference) <= MAX_CLOCK_DIFFERENCE.total_seconds() and verdict.latest is not None
    clocks = [verdict.as_of, verdict.settled_by]
    is_same_day = verdict.as_of.date() == one.observed_at.date()
    if not (is_plausible and is_same_day) or not all(one.observed_at <= now and _holds(one, now) for now in clocks):
        return None
    receipt = to_receipt(one.receipt)
    receipt.started_at, receipt.is_quick = began, True
    stats = receipt.stats
    stats.observed_at, stats.clock_difference_seconds, stats.requests = verdict.as_of, difference, listed.requests
    stats.open_pickups = len(one.settles_at) - bisect_right(one.settles_at, verdict.settled_by)
    return receipt


def _is_recent(record: QuickRecord, now: datetime) -> bool:
    return record.published_at <= now < record.published_at + timedelta(minutes=record.max_age_minutes)


def _finish(record: QuickRecord, receipts: list[Receipt], ping_url: str | None) -> QuickRun:
    from pipelines.quick.receipts import record_and_publish

    warehouse, published = Path(record.warehouse), Path(record.published)
    now = machine_time()
    must_publish = not _is_recent(record, now)
    known = {one.account: one for one in record.accounts}
    for receipt in receipts:
        receipt.run_number = known[receipt.account].run_number + 1
    file = published if must_publish else None
    record_and_publish(warehouse, file, record.data_schema, receipts, may_share=record.share_blocks)
    for receipt in receipts:
        one = known[receipt.account]
        one.observed_at, one.unpublished_at = receipt.observed_at or one.observed_at, now
        one.run_number += 1
    if must_publish:
        record.published_at = now
        for one in record.accounts:
            one.unpublished_at = None
    record.warehouse_mark, record.published_mark = file_identity(warehouse), file_identity(published)
    with suppress(OSError):
        write_record(record_path(warehouse), record)
    covers_all = {receipt.account for receipt in receipts} >= {*record.configured}
    return QuickRun(receipts, ping_url if covers_all else None)
