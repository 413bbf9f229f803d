"""Shows the progress, receipts and errors of a run. If the output is not a terminal, it consists of plain lines."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines import json_logs
from pipelines.errors import Interrupted, exit_code_of, one_line
from pipelines.output import console, print_text, print_traceback, visible

if TYPE_CHECKING:
    from rich.progress import Progress

    from pipelines.receipt import Receipt
    from sources.sendcloud import ReadStats

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def show_progress(
    accounts: Sequence[str] = (), unchanged: Sequence[str] = (), *, is_quiet: bool = False
) -> Iterator[Callable[[str, ReadStats], None]]:
    """Yields a callback that shows the progress of a run on stderr.

    On a terminal, the callback updates a bar for each account. The total number of pickups is unknown, so the bar shows
    the date reached instead of a percentage. Without a terminal, the callback writes a line at the start of each phase
    and then every SECONDS_BETWEEN_LINES seconds. With `--log-format json`, each line is an event.

    Args:
        accounts: the run's accounts. If there are several accounts, each line names its account.
        unchanged: the accounts that need not be read, and therefore have no bar.
        is_quiet: whether to suppress the progress display.

    Yields:
        A function that takes the phase (reading, loading, publishing) and the statistics so far.
    """
    several = len(accounts) > 1
    if is_quiet:
        yield lambda _phase, _reading: None
        return
    if json_logs.is_enabled():
        yield _throttled(_log_progress)
        return
    if not sys.stderr.isatty():
        yield _throttled(
            lambda phase, reading: print_text(f"{_now()} {_progress_line(phase, reading, several)}", err=True)
        )
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(bar_width=20), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as moving:
        yield _progress_bars(moving, [name for name in accounts if name not in unchanged] if several else [])


def _progress_bars(moving: Progress, accounts: Sequence[str]) -> Callable[[str, ReadStats], None]:
    waiting = {account: f"{account}: waiting" for account in accounts} or {"": "contacting Sendcloud"}
    tasks = {account: moving.add_task(description, total=None) for account, description in waiting.items()}

    def update(phase: str, reading: ReadStats) -> None:
        for account, task in tasks.items():
            if account in ("", reading.account) or not reading.account:
                moving.update(task, description=_progress_line(phase, reading, several=bool(accounts)))

    return update


def _throttled(line: Callable[[str, ReadStats], None]) -> Callable[[str, ReadStats], None]:
    """Returns a callback that calls `line` when the phase changes and then every SECONDS_BETWEEN_LINES seconds."""
    last: dict[str, tuple[str, float]] = {}

    def called(phase: str, reading: ReadStats) -> None:
        now = time.monotonic()
        last_phase, last_at = last.get(reading.account, ("", 0.0))
        if phase != last_phase or now - last_at >= SECONDS_BETWEEN_LINES:
            last[reading.account] = phase, now
            line(phase, reading)

    return called


def _now() -> str:
    """Returns this machine's current time in UTC, for progress lines that may be written to a file."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z"


def _log_progress(phase: str, reading: ReadStats) -> None:
    facts = {"pages": reading.pages, "rows_read": reading.rows_read, "waited_seconds": round(reading.waited_seconds, 3)}
    json_logs.log_event(phase, reading.account, reading.run_id, **facts)


def _progress_line(phase: str, reading: ReadStats, several: bool) -> str:
    pages = "1 page" if reading.pages == 1 else f"{reading.pages:,} pages"
    back_to = f", back to {reading.oldest_read_at:%Y-%m-%d}" if reading.oldest_read_at else ""
    waits = f", waited {reading.waited_seconds:.0f} s" if reading.waited_seconds >= 1 else ""
    pickups = "1 pickup" if reading.rows_read == 1 else f"{reading.rows_read:,} pickups"
    whose = f"{reading.account}: " if several and reading.account else ""
    return f"{whose}{phase}: {pages}, {pickups}{back_to}{waits}"


def format_receipt(receipt: Receipt, *, several: bool = False) -> str:
    """Returns the receipt as text: one line of numbers, then one line for each remark.

    Args:
        receipt: the receipt.
        several: whether the run covered several accounts; if so, the text begins with the account's name.
    """
    whose = f"{receipt.account}: " if several else ""
    return "\n".join([f"{whose}{receipt}", *(f"  {visible(remark)}" for remark in receipt.remarks())])


def print_receipts(receipts: Sequence[Receipt], *, as_json: bool, is_quiet: bool) -> None:
    """Prints the receipts of the runs that did not fail, as text or as one JSON object per line (then all of them).

    Args:
        receipts: the receipts of a run.
        as_json: whether to print JSON.
        is_quiet: whether to omit the receipts of runs without new findings.
    """
    for receipt in [one for one in receipts if one.is_remarkable() or not is_quiet]:
        if as_json:
            print_text(receipt.as_json())
        elif not receipt.failure:
            print_text(format_receipt(receipt, several=len(receipts) > 1))


def report_error(error: BaseException, accounts: str = "") -> int:
    """Prints the error and the accounts it affects as one line on stderr, and returns the error's exit code."""
    if isinstance(error, KeyboardInterrupt):
        error = Interrupted()
    if os.environ.get("PICKUPS_DEBUG"):
        print_traceback(error)
    code = exit_code_of(error)
    json_logs.print_or_log("error", f"{accounts}: {one_line(error)}" if accounts else one_line(error), exit_code=code)
    return code
