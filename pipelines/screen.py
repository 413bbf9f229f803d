"""How things look in a terminal: progress, receipts, tables. Plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from pipelines import log_lines

if TYPE_CHECKING:  # rich is imported where there is something to draw: a run by a scheduler does without (40 ms, 4 MB)
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from pipelines.receipt import Receipt
    from sources.sendcloud import Reading

SECONDS_BETWEEN_LINES = 10.0


def console(*, stderr: bool = False) -> Console:
    """Rich's console; into a pipe or file tables keep their full width, for there is no edge to wrap at."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=160)


@contextmanager
def progress(accounts: Sequence[str] = ()) -> Iterator[Callable[[str, Reading], None]]:
    """What to call with a phase and what was read so far: a moving bar on a terminal, else a line, or an event, now
    and then.

    For several accounts a bar each, and each line begins with the account. The bar only moves: nobody knows how long
    the list is, so the date reached tells how far it has come. Goes to stderr: stdout is for results.
    """
    several = len(accounts) > 1
    if log_lines.are_wanted():
        yield _now_and_then(_note)
        return
    if not sys.stderr.isatty():
        yield _now_and_then(lambda phase, reading: typer.echo(_so_far(phase, reading, several), err=True))
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(bar_width=20), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as moving:
        yield _bars(moving, accounts if several else [])


def _bars(moving: Progress, accounts: Sequence[str]) -> Callable[[str, Reading], None]:
    waiting = {account: f"{account}: waiting" for account in accounts} or {"": "asking Sendcloud"}
    tasks = {account: moving.add_task(description, total=None) for account, description in waiting.items()}

    def update(phase: str, reading: Reading) -> None:
        for account, task in tasks.items():
            if account in ("", reading.account) or not reading.account:
                moving.update(task, description=_so_far(phase, reading, several=bool(accounts)))

    return update


def _now_and_then(line: Callable[[str, Reading], None]) -> Callable[[str, Reading], None]:
    """A line for each phase of an account, and for one that takes long another every SECONDS_BETWEEN_LINES."""
    last: dict[str, tuple[str, float]] = {}

    def called(phase: str, reading: Reading) -> None:
        now = time.monotonic()
        last_phase, last_at = last.get(reading.account, ("", 0.0))
        if phase != last_phase or now - last_at >= SECONDS_BETWEEN_LINES:
            last[reading.account] = phase, now
            line(phase, reading)

    return called


def _note(phase: str, reading: Reading) -> None:
    facts = {"pages": reading.pages, "rows_read": reading.rows_read, "waited_seconds": round(reading.waited_seconds, 3)}
    log_lines.note(phase, reading.account, reading.run_id, **facts)


def _so_far(phase: str, reading: Reading, several: bool) -> str:
    pages = "1 page" if reading.pages == 1 else f"{reading.pages:,} pages"
    back_to = f", back to {reading.reached:%Y-%m-%d}" if reading.reached else ""
    waits = f", waited {reading.waited_seconds:.0f} s" if reading.waited_seconds >= 1 else ""
    pickups = "1 pickup" if reading.rows_read == 1 else f"{reading.rows_read:,} pickups"
    whose = f"{reading.account}: " if several and reading.account else ""
    return f"{whose}{phase}: {pages}, {pickups}{back_to}{waits}"


def told(receipt: Receipt, *, several: bool = False) -> str:
    """The receipt for a person: its line, with the account where there are several, and a line for every remark."""
    whose = f"{receipt.account}: " if several else ""
    return "\n".join([f"{whose}{receipt}", *(f"  {remark}" for remark in receipt.remarks())])


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose first column is text and whose others are numbers."""
    from rich import box
    from rich.table import Table

    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        made.add_column(column, justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        made.add_row(*row)
    return made
