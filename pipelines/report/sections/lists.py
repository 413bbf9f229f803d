"""Lists the pickups that need attention: those that are stuck, and those whose window opens on the next day."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import NamedTuple

from pipelines.output import visible
from pipelines.report.gather import Choices
from pipelines.report.sections.section import Answer, Section, place_of
from pipelines.report.sections.tables import Column, Table
from pipelines.report.store import Row, Selection, Store
from pipelines.wording.numbers import NONE, count, day, hours, minute

MOST, MOST_CHOSEN, MOST_READ = 100, 20, 500  # rows of the page, rows of a choice, and rows to choose from
FOLLOWS = (("account", "carrier", "country"),)
ABOUT = (
    "A pickup is stuck if it is still announcing although its window has ended, or if it has waited for longer than "
    "99% of acceptances took. This page contains no tracking numbers; the command prints them."
)
Names = tuple[str | None, str | None, str | None]
Place = tuple[int, ...]


class Listed(NamedTuple):
    """Pickups in order, and how many there are by account, carrier and country. None stands for all of them."""

    rows: list[Row]
    counts: dict[Names, int]

    def of(self, names: Names) -> list[Row]:
        """Returns the rows of an account, a carrier and a country."""
        account, carrier, country = names
        return [
            row
            for row in self.rows
            if account in (None, row["account"])
            and carrier in (None, row["carrier"])
            and country in (None, row["country"] or "unknown")
        ]


def to_do_section(store: Store, choices: Choices, as_of: datetime | None) -> Section:
    """Returns the pickups that need attention."""
    store.select(Selection())
    stuck = _read(store, "stuck_pickups", "true", "hours_waiting desc")
    upcoming = _read(store, "pickups", _of_next_day(as_of), "window_opens_local") if as_of else Listed([], {})
    first = _answer(choices, stuck, upcoming, as_of, (0, 0, 0), MOST)
    answers = {
        place_of(0, *place): _answer(choices, stuck, upcoming, as_of, place, MOST_CHOSEN)
        for place in itertools.product(
            range(len(choices.accounts)), range(len(choices.carriers) + 1), range(len(choices.countries))
        )
        if any(_names(choices, place) in listed.counts for listed in (stuck, upcoming))
    }
    tables = [
        Table(name, title, columns, rows, left_out)
        for (name, title, columns), rows, left_out in zip(_tables(as_of), first.rows, first.left_out, strict=True)
    ]
    command = "pickups list --stuck"
    nothing = _finding(0, 0, as_of)
    return Section("to-do", "Pickups to look at", first.finding, "", tables, ABOUT, command, FOLLOWS, answers, nothing)


def _tables(as_of: datetime | None) -> list[tuple[str, str, list[Column]]]:
    waiting = [Column("Waiting", about="From the booking to the time of the data"), Column("Window (UTC)", "text")]
    window = [Column("Window (local)", "text"), Column("Status", "text")]
    following = day(as_of.date() + timedelta(days=1)) if as_of else "the next day"
    return [
        ("stuck-pickups", "Stuck pickups, the longest wait first", [*_COLUMNS, *waiting]),
        ("next-pickups", f"Pickups of {following}", [*_COLUMNS, *window]),
    ]


def _of_next_day(as_of: datetime) -> str:
    return (
        f"not is_cancelled and not is_failed and cast(window_opens_local as date) = date "
        f"'{as_of.date() + timedelta(days=1)}' and not is_mature and pickup_from_utc > as_of_utc"
    )


def _read(store: Store, view: str, where: str, order: str) -> Listed:
    """Returns the first rows, and the number of rows by account, carrier and country. None stands for all of them."""
    rows = store.rows(view, f"{where} order by {order}, account, pickup_id limit {MOST_READ}")
    columns = ("account", "carrier", "coalesce(country, 'unknown')")
    groups = f"{where} group by cube ({', '.join(columns)})"
    names = ", ".join(f"{column} as name_{place}" for place, column in enumerate(columns))
    counted = store.rows(view, groups, f"{names}, count(*) as pickups")
    return Listed(rows, {(row["name_0"], row["name_1"], row["name_2"]): row["pickups"] for row in counted})


def _names(choices: Choices, place: Place) -> Names:
    account, carrier, country = place
    return choices.accounts[account], choices.carriers[carrier - 1] if carrier else None, choices.countries[country]


def _answer(
    choices: Choices, stuck: Listed, upcoming: Listed, as_of: datetime | None, place: Place, most: int
) -> Answer:
    names = _names(choices, place)
    waiting, ahead = (listed.counts.get(names, 0) for listed in (stuck, upcoming))
    first = [_stuck_cells(row) for row in stuck.of(names)[:most]]
    second = [_next_cells(row) for row in upcoming.of(names)[:most]]
    return Answer(_finding(waiting, ahead, as_of), [first, second], [waiting - len(first), ahead - len(second)])


def _finding(waiting: int, ahead: int, as_of: datetime | None) -> str:
    following = f"; {ahead:,} to come on {day(as_of.date() + timedelta(days=1))}." if as_of else "."
    return f"{count(waiting, 'pickup')} stuck{following}"


def _stuck_cells(row: Row) -> list[str]:
    return [*_cells(row), hours(row["hours_waiting"]), _window(row["pickup_from_utc"], row["pickup_until_utc"])]


def _next_cells(row: Row) -> list[str]:
    window = _window(row["window_opens_local"], row["window_closes_local"])
    return [*_cells(row), window, visible(row["pickup_status"])]


_COLUMNS = [Column("Account", "text"), Column("Pickup"), Column("Carrier", "text"), Column("Country", "text")]


def _cells(row: Row) -> list[str]:
    return [
        visible(row["account"]),
        str(row["pickup_id"]),
        visible(row["carrier"]),
        visible(row["country"] or "unknown"),
    ]


def _window(opens: datetime | None, closes: datetime | None) -> str:
    if opens is None:
        return NONE
    if closes is None:
        return f"{minute(opens)}, open-ended"
    return (
        f"{minute(opens)} to {closes:%H:%M}"
        if closes.date() == opens.date()
        else f"{minute(opens)} to {minute(closes)}"
    )
