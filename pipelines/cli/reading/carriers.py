"""Lays out the tables of carriers and of windows, which `pickups show` prints."""

from __future__ import annotations

from typing import Any, NamedTuple

Row = dict[str, Any]


class Table(NamedTuple):
    """A table for the terminal or for Markdown. `note` is a line below it."""

    title: str
    columns: list[str]
    cells: list[list[str]]
    note: str = ""


def carriers_table(rows: list[Row]) -> Table:
    """Returns the table of carriers from the rows of `carrier_cancellations`."""
    rows = [row for row in rows if row["country"] == "all"]
    columns = ["carrier", "pickups", "mature", "cancelled", "rate", "95 % interval", "failed", "conflicts"]
    ordered = sorted(rows, key=lambda r: (r["cancellation_rank"] is None, r["cancellation_rank"], r["carrier"]))
    cells = [
        [
            r["carrier"],
            f"{r['pickups']:,}",
            f"{r['mature_pickups']:,}",
            f"{r['mature_cancelled']:,} of {r['rated']:,}",
            _percent(r["cancellation_rate"]),
            f"{_percent(r['cancellation_rate_low'])} to {_percent(r['cancellation_rate_high'])}",
            _percent(r["failure_rate"]),
            f"{r['status_conflicts']:,}",
        ]
        for r in ordered
    ]
    as_of = min((r["as_of_utc"] for r in rows if r["as_of_utc"]), default=None)
    note = "Rates cover mature pickups (the window has ended), excluding failed and pending pickups."
    return Table(f"Cancellations per carrier{_as_of(as_of)}", columns, cells, note)


def windows_table(rows: list[Row]) -> Table:
    """Returns the table of windows from the rows of `carrier_windows`."""
    columns = [
        "carrier",
        "windows",
        "open-ended",
        "hours, median (p10 to p90)",
        "lead time h",
        "opens most at",
        "share",
    ]
    cells = [
        [
            r["carrier"],
            f"{r['with_window']:,}",
            _percent(r["open_ended_share"]),
            f"{_hours(r['median_window_hours'])} ({_hours(r['p10_window_hours'])} to {_hours(r['p90_window_hours'])})",
            f"{_hours(r['median_lead_time_hours'])}",
            "–" if r["most_common_opening_hour_local"] is None else f"{r['most_common_opening_hour_local']:02}:00",
            _percent(r["most_common_opening_hour_share"]),
        ]
        for r in sorted(rows, key=lambda r: str(r["carrier"]))
    ]
    note = "Opening times are local to the pickup's country. Lead time: hours from booking to opening."
    return Table("Pickup windows per carrier", columns, cells, note)


def _as_of(instant: Any) -> str:
    return f", as of {instant:%Y-%m-%d %H:%M} UTC" if instant else ""


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _hours(hours: float | None) -> str:
    return "–" if hours is None else f"{hours:.1f}"
