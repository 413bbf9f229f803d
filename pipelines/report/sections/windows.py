"""Builds the section on pickup windows."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.output import to_html, visible
from pipelines.report.sections.section import Section
from pipelines.report.sections.tables import Column, Table
from pipelines.report.store import Row, Selection, Store
from pipelines.report.words import NONE, count, hours, percent

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SHADES = 6
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


def windows_section(store: Store, carriers: list[str]) -> Section:
    """Returns when windows open, how long they are, and how far ahead they are booked."""
    store.select(Selection())
    rows = {row["carrier"]: row for row in store.rows("carrier_windows", "is_every_account")}
    grid: dict[tuple[int, int], int] = {}
    for row in store.rows("carrier_window_grid", "is_every_account"):
        place = row["window_opens_isodow_local"], row["window_opens_hour_local"]
        grid[place] = grid.get(place, 0) + row["pickups"]
    cells = [_cells(rows[name]) for name in carriers if name in rows and rows[name]["with_window"]]
    table, finding = Table("windows", "Windows by carrier", COLUMNS, cells), _finding(grid)
    command = "pickups show carrier_windows"
    return Section(
        "windows", "Pickup windows", finding, _shaded(finding, grid), [table], ABOUT if grid else "", command
    )


def _finding(grid: Grid) -> str:
    total = sum(grid.values())
    if not total:
        return "No window is in a country with a known time zone."
    (weekday, hour), most = max(grid.items(), key=lambda item: (item[1], item[0]))
    weekend = sum(pickups for (day, _), pickups in grid.items() if day > 5)
    return (
        f"The busiest hour is {DAYS[weekday - 1]} at {hour:02}:00, with {most:,} of {count(total, 'window')}. "
        f"{weekend:,} {'opens' if weekend == 1 else 'open'} at the weekend."
    )


def _cells(row: Row) -> list[str]:
    length = [hours(row["median_window_hours"]), _spread(row, "window_hours")]
    ahead = [hours(row["median_lead_time_hours"]), _spread(row, "lead_time_hours")]
    share = percent(row["open_ended_share"])
    return [visible(row["carrier"]), f"{row['with_window']:,}", *length, *ahead, _opening(row), share]


def _spread(row: Row, what: str) -> str:
    low, high = row[f"p10_{what}"], row[f"p90_{what}"]
    return NONE if low is None else f"{hours(low)} to {hours(high)}"


def _opening(row: Row) -> str:
    hour = row["most_common_opening_hour_local"]
    return NONE if hour is None else f"{hour:02}:00 ({percent(row['most_common_opening_hour_share'])})"


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
