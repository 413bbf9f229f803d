"""Implements `pickups show`, which prints the main views to the terminal."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pipelines.errors import DestinationError
from pipelines.output import print_csv, print_json, print_table, print_text
from pipelines.warehouse import read_rows

Row = dict[str, Any]


def print_view(name: str, form: Literal["table", "csv", "json"] = "table") -> None:
    """Prints `carriers` or `windows` to stdout.

    Args:
        name: `carriers` for the `carrier_cancellations` view, `windows` for the `carrier_windows` view.
        form: `table` prints selected columns. `csv` and `json` print all columns, with timestamps in ISO 8601.

    Raises:
        NoData: nothing has been published yet.
        DestinationError: the view can't be read, or another version wrote it.
    """
    view = {"carriers": "carrier_cancellations", "windows": "carrier_windows"}[name]
    rows = read_rows(view)
    if form == "json":
        print_json([_serializable(row) for row in rows])
    elif form == "csv":
        print_csv(rows)
    else:
        try:
            _print_carriers(rows) if name == "carriers" else _print_windows(rows)
        except KeyError as error:  # on a server, the version that ran last defines the views
            missing = f"the view {view} lacks the column {error.args[0]}, because another version wrote it"
            raise DestinationError("the published data", missing, "To update the views: pickups run") from None


def _serializable(row: Row) -> Row:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


def _print_carriers(rows: list[Row]) -> None:
    columns = ["carrier", "pickups", "mature", "cancelled", "rate", "95 % interval", "failed", "conflicts"]
    rows = [row for row in rows if row["country"] == "all"]
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
    print_table(f"Cancellations per carrier{_as_of(as_of)}", columns, cells)
    print_text("Rates cover mature pickups (the window has ended), excluding failed and pending pickups.")


def _print_windows(rows: list[Row]) -> None:
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
    print_table("Pickup windows per carrier", columns, cells)
    print_text("Opening times are local to the pickup's country. Lead time: hours from booking to opening.")


def _as_of(instant: Any) -> str:
    return f", as of {instant:%Y-%m-%d %H:%M} UTC" if instant else ""


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _hours(hours: float | None) -> str:
    return "–" if hours is None else f"{hours:.1f}"
