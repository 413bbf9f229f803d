"""Lays out the tables of carriers and of windows, which `pickups show` prints. Important columns come first."""

from __future__ import annotations

from typing import NamedTuple

from pipelines.output import as_of_words
from pipelines.wording.numbers import NONE, hours, interval, percent
from pipelines.wording.rates import standing
from pipelines.wording.rows import Rows
from pipelines.wording.window_times import opening, spread


class Table(NamedTuple):
    """A table for the terminal or for Markdown. `note` is the text below it."""

    title: str
    columns: list[str]
    cells: list[list[str]]
    note: str = ""


def carriers_table(rows: Rows) -> Table:
    """Returns the table of carriers from the rows of `carrier_cancellations`, in the order of `cancellation_rank`."""
    carriers = [row for row in rows if row["is_every_account"] and row["country"] == "all"]
    columns = [
        "carrier",
        "rate",
        "95% interval",
        "cancelled",
        "stands out",
        "pickups",
        "mature",
        "failed",
        "conflicts",
    ]
    ordered = sorted(carriers, key=lambda r: (r["cancellation_rank"] is None, r["cancellation_rank"], r["carrier"]))
    cells = [
        [
            r["carrier"],
            percent(r["cancellation_rate"]),
            interval(r["cancellation_rate_low"], r["cancellation_rate_high"]),
            f"{r['mature_cancelled']:,} of {r['rated']:,}",
            r["stands_out"] or NONE,
            f"{r['pickups']:,}",
            f"{r['mature_pickups']:,}",
            percent(r["failure_rate"]),
            f"{r['status_conflicts']:,}",
        ]
        for r in ordered
    ]
    as_of = {row["account"]: row["as_of_utc"] for row in rows if not row["is_every_account"] and row["as_of_utc"]}
    note = "Rates cover mature pickups (the window has ended), excluding failed and pending pickups."
    note = "\n".join(filter(None, [standing(ordered), note]))
    title = ", ".join(["Cancellations per carrier", *as_of_words(as_of)])
    return Table(title, columns, cells, note)


def windows_table(rows: Rows) -> Table:
    """Returns the table of windows from the rows of `carrier_windows`."""
    columns = [
        "carrier",
        "windows",
        "length, median",
        "lead time, median",
        "opens most often at",
        "open-ended",
        "length, 10% to 90%",
    ]
    cells = [
        [
            r["carrier"],
            f"{r['with_window']:,}",
            hours(r["median_window_hours"]),
            hours(r["median_lead_time_hours"]),
            opening(r),
            percent(r["open_ended_share"]),
            spread(r, "window_hours"),
        ]
        for r in sorted(rows, key=lambda r: str(r["carrier"]))
        if r["is_every_account"]
    ]
    note = "Opening times are local to the pickup's country. Lead time: from booking to opening."
    return Table("Pickup windows per carrier", columns, cells, note)
