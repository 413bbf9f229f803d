"""Implements `pickups list`, which prints the pickups behind a number."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from pipelines.cli.reading.demo_data import demo_words
from pipelines.cli.reading.rows import Row, count_rows, fetch_rows
from pipelines.cli.reading.show import cell_text, left_out_words
from pipelines.cli.reading.table_layout import print_fitting
from pipelines.destinations.filter import ALL_PICKUPS, PickupFilter
from pipelines.output import print_csv, print_json_rows, print_text
from pipelines.warehouse import reading

if TYPE_CHECKING:
    from pipelines.destinations.base import Session

Form = Literal["table", "csv", "json"]
TABLE_ROWS = 50
COLUMNS = [
    "account",
    "id",
    "carrier",
    "status",
    "window (local)",
    "cancelled (UTC)",
    "booked (UTC)",
    "country",
    "tracking number",
]
_NEWEST_FIRST = "order by created_at_utc desc, account, pickup_id desc"


class Selection(NamedTuple):
    """Selects pickups by the columns of `analytics.pickups`.

    Attributes:
        states: the states to include. No state includes all.
        conditions: what must be true, such as the column `is_late_cancellation`.
        is_mature: whether to include only mature or only immature pickups. None includes both.
    """

    states: Sequence[str] = ()
    conditions: Sequence[str] = ()
    is_mature: bool | None = None

    def query(self) -> str:
        """Returns the query for the pickups, in no order."""
        parts = [*self.conditions]
        if self.states:
            parts.append(f"({' or '.join(f'is_{state}' for state in self.states)})")
        if self.is_mature is not None:
            parts.append("is_mature" if self.is_mature else "not is_mature")
        return f"select * from analytics.pickups where {' and '.join(parts) or 'true'}"  # noqa: S608  # own column names


def print_pickups(
    selection: Selection, form: Form = "table", limit: int | None = None, only: PickupFilter = ALL_PICKUPS
) -> None:
    """Prints the selected pickups to stdout, the newest booking first.

    Args:
        selection: the states to include.
        form: `table` prints selected columns. `csv` and `json` print all columns of `analytics.pickups`.
        limit: the largest number of rows; default TABLE_ROWS for `table`, and no limit otherwise.
        only: the pickups to include.

    Raises:
        NoData: nothing has been published yet.
        FilterError: the filter names an account, a carrier or a country that no pickup has.
    """
    demo = demo_words(form)
    with reading(only=only) as session:
        if form == "table":
            _print_table(
                session, selection, limit or TABLE_ROWS, [*demo, "Pickups, newest booking first", *only.words()]
            )
            return
        rows = fetch_rows(session, _ordered(selection, limit))
        (print_csv if form == "csv" else print_json_rows)(*rows)


def _ordered(selection: Selection, limit: int | None) -> str:
    return f"{selection.query()} {_NEWEST_FIRST}{f' limit {limit}' if limit else ''}"


def _print_table(session: Session, selection: Selection, limit: int, title: list[str]) -> None:
    rows = fetch_rows(session, _ordered(selection, limit)).as_dicts()
    if not rows:
        print_text("No pickup matches.")
        return
    missing = print_fitting(" · ".join(title), COLUMNS, map(_cells, rows))
    if words := left_out_words(column=missing):
        print_text(f"{words} not shown; to print everything, add --format csv.")
    if len(rows) == limit and (more := count_rows(session, selection.query()) - limit):
        print_text(f"{more:,} more; to print all of them, add --format csv or --limit {limit + more}.")


def _cells(row: Row) -> list[str]:
    return [
        row["account"],
        cell_text(row["pickup_id"]),
        row["carrier"],
        row["pickup_status"],
        _window(row["window_opens_local"], row["window_closes_local"], has_local_time=row["has_local_time"]),
        cell_text(row["cancelled_at_utc"]),
        cell_text(row["created_at_utc"]),
        cell_text(row["country"]),
        cell_text(row["tracking_number"]),
    ]


def _window(opens: datetime | None, closes: datetime | None, *, has_local_time: bool) -> str:
    """Returns the window in the local time of the pickup's country, or in UTC if its time zone is not known."""
    if opens is None:
        return "–"
    end = "open" if closes is None else f"{closes:%H:%M}" if closes.date() == opens.date() else cell_text(closes)
    return f"{cell_text(opens)} to {end}{'' if has_local_time else ' UTC'}"
