"""Implements `pickups show`, which prints a view as a table, CSV, JSON or Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import typer

from pipelines.analytics.views import grain_of, select_all, view_files
from pipelines.cli.reading.carriers import Table, carriers_table, windows_table
from pipelines.cli.reading.demo_data import demo_words
from pipelines.cli.reading.rows import count_rows, fetch_rows
from pipelines.cli.reading.table_layout import print_fitting
from pipelines.cli.reading.view_columns import by_importance, order_by
from pipelines.destinations.filter import ALL_PICKUPS, PickupFilter
from pipelines.errors import DestinationError
from pipelines.output import (
    markdown_text,
    print_csv,
    print_json_rows,
    print_markdown,
    print_text,
    visible,
)
from pipelines.quick.unpublished import nothing_new_until
from pipelines.warehouse import reading
from pipelines.wording.coverage import first_week
from pipelines.wording.numbers import NONE, minute
from pipelines.wording.rows import Rows

if TYPE_CHECKING:
    from pipelines.destinations.base import Session

Form = Literal["table", "csv", "json", "markdown"]
SHORT_NAMES = {"carriers": "carrier_cancellations", "windows": "carrier_windows"}
TABLES = {"carriers": carriers_table, "windows": windows_table}
OF_ACCOUNTS = ("runs", "quarantine")  # only the accounts of a filter limit these views
TABLE_ROWS = 100
UNTIL_COLON = re.compile(r": (?![^(]*\))")  # a colon in parentheses does not end the grain


def print_view(name: str, form: Form = "table", only: PickupFilter = ALL_PICKUPS) -> None:
    """Prints a view to stdout.

    Args:
        name: the name of a view, or `carriers` for `carrier_cancellations`, or `windows` for `carrier_windows`.
        form: `csv` and `json` print all columns and rows, with timestamps in ISO 8601. `table` and `markdown` print
            selected columns of `carriers` and `windows`. Of any other view, `markdown` prints all columns and rows, and
            `table` prints the first rows. A `table` leaves out the least important columns if the terminal is narrow.
        only: the pickups to include.

    Raises:
        BadParameter: there is no such view.
        NoData: nothing has been published yet.
        DestinationError: the view can't be read, or another version wrote it.
        FilterError: the filter names an account, a carrier or a country that no pickup has.
    """
    grain = _grains().get(name)
    if grain is None:
        raise typer.BadParameter(_unknown_view(name), param_hint="VIEW")
    query = select_all(SHORT_NAMES.get(name, name))
    until = nothing_new_until()
    before, after = demo_words(form), [f"runs until {minute(until)} UTC found nothing new"] if until else []
    title = " · ".join([*before, _title(name, grain, only), *after])
    with reading(only=only) as session:
        if form == "csv":
            print_csv(*fetch_rows(session, query))
        elif form == "json":
            print_json_rows(*fetch_rows(session, query))
        elif lay_out := TABLES.get(name):
            rows = fetch_rows(session, query).as_dicts()
            table = _lay_out(lay_out, name, rows)
            if name == "carriers" and (known := _first_week(session, rows)):
                table = table._replace(note=known)
            _print_laid_out(table._replace(title=" · ".join([*before, table.title, *after])), name, form, only)
        elif form == "markdown":
            columns, values = fetch_rows(session, _in_order(session, name, query))
            print_markdown(title, columns, ([cell_text(value) for value in row] for row in values))
        else:
            _print_first(session, name, query, title)


def _in_order(session: Session, name: str, query: str) -> str:
    columns = session.sql(f"{query} limit 0").to_arrow_table().column_names  # a reader would have to be read to its end
    return query + order_by(name, columns)


def _lay_out(lay_out: Callable[[Rows], Table], name: str, rows: Rows) -> Table:
    """Returns the table. On a server, the views are those of the last run's version, so they may lack columns."""
    try:
        return lay_out(rows)
    except KeyError as error:
        missing = f"the view {SHORT_NAMES[name]} lacks the column {error.args[0]}, because another version wrote it"
        raise DestinationError("the published data", missing, "To update the views: pickups run") from None


def _first_week(session: Session, rows: Rows) -> str:
    """Returns what is known already if there is no rate yet, or an empty text."""
    if any(row["rated"] for row in rows):
        return ""
    return first_week(rows, fetch_rows(session, select_all("upcoming_pickups")).as_dicts())


def cell_text(value: Any) -> str:
    """Returns a value as the text of a table's cell."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.1f}"
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value)


def _grains() -> dict[str, str]:
    grains = {path.stem: grain_of(path) for path in view_files()}
    return {name: grains[view] for name, view in SHORT_NAMES.items()} | dict(sorted(grains.items()))


def _unknown_view(name: str) -> str:
    views = (f"  {view}: {grain}" for view, grain in _grains().items())
    return "\n".join([f"unknown view {visible(name)!r}; available views:", *views])


def _title(name: str, grain: str, only: PickupFilter) -> str:
    if name in OF_ACCOUNTS:
        only = PickupFilter(only.accounts)
    return " · ".join([UNTIL_COLON.split(grain)[0].rstrip("."), *only.words()])


def _print_laid_out(table: Table, name: str, form: Form, only: PickupFilter) -> None:
    title = " · ".join([table.title, *only.words()])
    if form == "markdown":
        print_markdown(title, table.columns, table.cells)
        print_text(f"\n{markdown_text(' '.join(table.note.splitlines()))}")
        return
    missing = print_fitting(title, table.columns, table.cells)
    print_text(table.note)
    _print_left_out(name, missing)


def _print_first(session: Session, name: str, query: str, title: str) -> None:
    """Prints the first rows of a view and the most important columns, and says how much is left out."""
    columns, rows = fetch_rows(session, f"{_in_order(session, name, query)} limit {TABLE_ROWS}")
    order = by_importance(name, columns)
    cells = [[cell_text(row[place]) for place in order] for row in rows]
    missing = print_fitting(title, [columns[place] for place in order], cells)
    _print_left_out(name, missing, count_rows(session, query) - len(cells) if len(cells) == TABLE_ROWS else 0)


def _print_left_out(name: str, columns: int, rows: int = 0) -> None:
    if left_out := left_out_words(column=columns, row=rows):
        print_text(f"{left_out} not shown; to print everything: pickups show {name} --format csv")


def left_out_words(**numbers: int) -> str:
    """Returns how much of a table is not printed, such as "1 column and 2 rows", or an empty text."""
    told = [f"{number:,} {what}{'' if number == 1 else 's'}" for what, number in numbers.items() if number]
    return " and ".join(told)
