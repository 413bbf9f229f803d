"""Prints tables that fit into the width of the terminal. No number and no name is shortened."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pipelines.output import WIDE_GAP, console, print_table, print_text, visible

NARROW_GAP, EDGES = 2, 2
LONGEST_LINE = 30  # In a table that does not fit, longer texts such as errors take several lines.


class Layout(NamedTuple):
    """The part of a table that is printed.

    Attributes:
        heads: the columns' names, which may have several lines.
        widths: the columns' widths. A longer text takes several lines.
        rows: the rows' cells.
        gap: the number of spaces between two columns.
        common: the columns that are not printed because they have the same value in every row, with this value.
        left_out: how many other columns are not printed.
    """

    heads: Sequence[str]
    widths: Sequence[int]
    rows: Sequence[Sequence[str]]
    gap: int = WIDE_GAP
    common: Sequence[tuple[str, str]] = ()
    left_out: int = 0


def print_fitting(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Prints the columns that fit, and below them the values that are the same in every row if not all columns fit.

    Args:
        title: the line above the table.
        columns: the names of the columns, with the most important ones first.
        rows: the cells of each row.

    Returns:
        How many columns are missing.
    """
    layout = lay_out(columns, [[visible(cell) for cell in row] for row in rows], console().width)
    print_table(title, layout.heads, layout.rows, widths=layout.widths, gap=layout.gap)
    if layout.common:
        print_text(f"The same in every row: {', '.join(map(' '.join, layout.common))}")
    return layout.left_out


def lay_out(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Layout:
    """Returns the whole table if it fits. Otherwise, returns the first columns that fit, but at least one.

    In a table that does not fit, names of columns take several lines, and columns with a single value are left out.
    """
    cells = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    widths = [max(map(_width, [name, *texts])) for name, texts in zip(columns, cells, strict=True)]
    if _fitting(widths, WIDE_GAP, width) == len(columns):
        return Layout(columns, widths, rows)
    common = _common(cells)
    kept = [number for number in range(len(columns)) if number not in common]
    heads = [_in_lines(columns[n], max(map(_width, cells[n]), default=0)) for n in kept]
    texts = [[*head.split("\n"), *cells[n]] for head, n in zip(heads, kept, strict=True)]
    widths = [min(max(map(_width, lines)), LONGEST_LINE, width - EDGES) for lines in texts]
    shown = max(1, _fitting(widths, NARROW_GAP, width))
    printed = [[row[n] for n in kept[:shown]] for row in rows]
    values = [(columns[n], cells[n][0]) for n in sorted(common)]
    return Layout(heads[:shown], widths[:shown], printed, NARROW_GAP, values, len(kept) - shown)


def _fitting(widths: Sequence[int], gap: int, width: int) -> int:
    """Returns how many of the first columns fit."""
    ends = [sum(widths[: n + 1]) + n * gap + EDGES for n in range(len(widths))]
    return sum(end <= width for end in ends)


def _common(cells: Sequence[Sequence[str]]) -> set[int]:
    """Returns the numbers of the columns with the same value in every row, unless there is only one such row."""
    same = {number for number, texts in enumerate(cells) if len(texts) > 1 and len(set(texts)) == 1}
    return same if len(same) < len(cells) else set()


def _in_lines(name: str, width: int) -> str:
    """Breaks a name such as "expected_cancellations" after underscores and spaces, as far as its cells are narrower."""
    parts = re.findall(r"[^_ ]+[_ ]?", name) or [name]
    limit = max([width, *map(len, parts)])
    lines = [""]
    for part in parts:
        lines = [*lines[:-1], lines[-1] + part] if len((lines[-1] + part).rstrip()) <= limit else [*lines, part]
    return "\n".join(line.rstrip(" ") for line in lines)


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)
