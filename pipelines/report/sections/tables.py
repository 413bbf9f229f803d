"""Renders the sections' tables. The page's script sorts them and writes them as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pipelines.output import to_html


class Column(NamedTuple):
    """A column: its heading, its kind ("text" or "number"), a definition for a tooltip, and a hint that is visible."""

    heading: str
    kind: str = "number"
    about: str = ""
    hint: str = ""


class Table(NamedTuple):
    """A table of texts. `name` is the name of its CSV file, and `left_out` the number of rows that are not shown."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    left_out: int = 0


def heading_cell(column: Column) -> str:
    """Returns a heading that sorts the table, with its definition for those who hover over it or focus it."""
    about = f'<span class="say" role="tooltip">{to_html(column.about)}</span>' if column.about else ""
    hint = f"<small>{to_html(column.hint)}</small>" if column.hint else ""
    kinds = f"{column.kind} tip" if about else column.kind
    return f'<th scope="col" class="{kinds}"><button type="button">{to_html(column.heading)}</button>{hint}{about}</th>'


def render_table(table: Table) -> str:
    """Returns the table as HTML. A table without rows is hidden, and a sentence is shown instead."""
    heads = "".join(map(heading_cell, table.columns))
    rows = "".join(f"<tr>{_cells(table.columns, row)}</tr>" for row in table.rows)
    caption = to_html(table.caption)
    without, with_rows = (" hidden" if is_hidden else "" for is_hidden in (table.rows, not table.rows))
    return (
        f'<div class="table"><p class="none"{without}>{caption}: none.</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}"{with_rows}>'
        f'<table data-csv="{table.name}"><caption>{caption}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        f'<p class="left"{"" if table.left_out else " hidden"}><span>{table.left_out:,}</span> more rows are not '
        "shown.</p></div>"
    )


def _cells(columns: Sequence[Column], row: Sequence[str]) -> str:
    first, *others = zip(columns, row, strict=True)
    cells = [f'<th scope="row" class="{first[0].kind}">{to_html(first[1])}</th>']
    cells += [f'<td class="{column.kind}">{to_html(text)}</td>' for column, text in others]
    return "".join(cells)
