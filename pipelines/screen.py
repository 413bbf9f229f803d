"""How things look in a terminal: progress, receipts, tables. Plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:  # rich is imported where there is something to draw: a run by a scheduler does without (40 ms, 4 MB)
    from rich.console import Console
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
def progress() -> Iterator[Callable[[str, Reading], None]]:
    """What to call with a phase and what was read so far: a moving bar on a terminal, else a line now and then.

    The bar only moves: nobody knows how long the list is, so the date reached tells how far it has come. Goes to
    stderr: stdout is for results.
    """
    if not sys.stderr.isatty():
        yield _plain_lines()
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(bar_width=20), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as moving:
        task = moving.add_task("asking Sendcloud", total=None)
        yield lambda phase, reading: moving.update(task, description=_so_far(phase, reading))


def _plain_lines() -> Callable[[str, Reading], None]:
    last_phase, last_at = "", 0.0

    def line(phase: str, reading: Reading) -> None:
        nonlocal last_phase, last_at
        now = time.monotonic()
        if phase != last_phase or now - last_at >= SECONDS_BETWEEN_LINES:
            last_phase, last_at = phase, now
            typer.echo(_so_far(phase, reading), err=True)

    return line


def _so_far(phase: str, reading: Reading) -> str:
    pages = "1 page" if reading.pages == 1 else f"{reading.pages:,} pages"
    back_to = f", back to {reading.reached:%Y-%m-%d}" if reading.reached else ""
    waits = f", waited {reading.waited_seconds:.0f} s" if reading.waited_seconds >= 1 else ""
    pickups = "1 pickup" if reading.rows_read == 1 else f"{reading.rows_read:,} pickups"
    return f"{phase}: {pages}, {pickups}{back_to}{waits}"


def told(receipt: Receipt) -> str:
    """The receipt for a person: its line, and a line for every remark."""
    return "\n".join([str(receipt), *(f"  {remark}" for remark in receipt.remarks())])


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
