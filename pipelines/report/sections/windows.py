"""Builds the section on pickup windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.output import to_html, visible
from pipelines.report.gather import Choices, Present, of_account
from pipelines.report.sections.section import Answer, Section, answer_of, grouped, place_of
from pipelines.report.sections.tables import Column, Table
from pipelines.report.store import Row
from pipelines.wording.numbers import DAYS, hours, percent
from pipelines.wording.window_times import DAY, HOUR, busiest_hour, opening, spread

SHADES = 6
FOLLOWS = (("account", "carrier", "country"),)
ABOUT = "Darker cells are hours in which more windows open, in the local time of the pickup's country."
COLUMNS = [
    Column("Carrier", "text"),
    Column("Windows"),
    Column("Length, median"),
    Column("10% to 90%", "text"),
    Column("Booked ahead, median", about="From the booking to the opening of the window"),
    Column("10% to 90%", "text"),
    Column("Opens most often at", "text", "In the local time of the pickup's country"),
    Column("Open-ended", about="Windows with a start but no end"),
]
Grid = Mapping[tuple[int, int], int]


def windows_section(choices: Choices, now: Present) -> Section:
    """Returns when windows open, how long they are, and how far ahead they are booked, without answers."""
    grid: dict[tuple[int, int], int] = {}
    for row in of_account(now.grid, None):
        grid[row[DAY], row[HOUR]] = grid.get((row[DAY], row[HOUR]), 0) + row["pickups"]
    first = _answer(*_of(now, None), choices.carriers)
    table = Table("windows", "Windows by carrier", COLUMNS, first.rows[0])
    drawing, about = _shaded(first.finding, grid), ABOUT if grid else ""
    command = "pickups show carrier_windows"
    return Section("windows", "Pickup windows", first.finding, drawing, [table], about, command, FOLLOWS)


def windows_answers(choices: Choices, now: Present, country: int) -> dict[str, Answer]:
    """Returns the answers for a country, which is its place in the choices."""
    answers = {}
    for account, name in enumerate(choices.accounts):
        rows, opened = _of(now, name)
        for carrier, listed in enumerate([choices.carriers, *([one] for one in choices.carriers)]):
            answer = _answer(rows, opened, listed)
            if answer.rows[0]:
                answers[place_of(0, account, carrier, country)] = answer
    return answers


def _of(now: Present, account: str | None) -> tuple[dict[str, Row], dict[str, list[Row]]]:
    """Returns the row of each carrier with windows, and its rows of the grid."""
    rows = {row["carrier"]: row for row in of_account(now.windows, account) if row["with_window"]}
    return rows, grouped(of_account(now.grid, account), lambda row: str(row["carrier"]))


def _answer(rows: Mapping[str, Row], opened: Mapping[str, list[Row]], carriers: Sequence[str]) -> Answer:
    cells = [_cells(rows[name]) for name in carriers if name in rows]
    said = busiest_hour([row for name in carriers for row in opened.get(name, [])])
    finding = " ".join(said) or "No window is in a country with a known time zone."
    return answer_of(finding, Table("", "", COLUMNS, cells))


def _cells(row: Row) -> list[str]:
    length = [hours(row["median_window_hours"]), spread(row, "window_hours")]
    ahead = [hours(row["median_lead_time_hours"]), spread(row, "lead_time_hours")]
    share = percent(row["open_ended_share"])
    return [visible(row["carrier"]), f"{row['with_window']:,}", *length, *ahead, opening(row), share]


def _shaded(finding: str, grid: Grid) -> str:
    """Returns the hours of the week as a shaded table, so that every value is text."""
    if not grid:
        return ""
    shown = range(min(hour for _, hour in grid), max(hour for _, hour in grid) + 1)
    most = max(grid.values())
    heads = "".join(f'<th scope="col">{hour:02}</th>' for hour in shown)
    rows = ""
    for day in range(1, 8):
        cells = "".join(_shaded_cell(grid.get((day, hour), 0), most) for hour in shown)
        rows += f'<tr><th scope="row">{DAYS[day - 1][:3]}</th>{cells}</tr>'
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Windows by weekday and hour"><table class="grid">'
        f"<caption>{to_html(finding)}</caption><thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _shaded_cell(pickups: int, most: int) -> str:
    return f'<td class="h{-(-pickups * SHADES // most)}">{pickups:,}</td>' if pickups else "<td></td>"
