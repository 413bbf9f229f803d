"""Lays out the tables of carriers and of windows, which `pickups show` prints."""

from __future__ import annotations

from typing import Any, NamedTuple

from pipelines.output import as_of_words, visible

Row = dict[str, Any]


class Table(NamedTuple):
    """A table for the terminal or for Markdown. `note` is the text below it."""

    title: str
    columns: list[str]
    cells: list[list[str]]
    note: str = ""


def carriers_table(rows: list[Row]) -> Table:
    """Returns the table of carriers from the rows of `carrier_cancellations`, in the order of `cancellation_rank`."""
    carriers = [row for row in rows if row["is_every_account"] and row["country"] == "all"]
    columns = [
        "carrier",
        "pickups",
        "mature",
        "cancelled",
        "rate",
        "95 % interval",
        "stands out",
        "failed",
        "conflicts",
    ]
    ordered = sorted(carriers, key=lambda r: (r["cancellation_rank"] is None, r["cancellation_rank"], r["carrier"]))
    cells = [
        [
            r["carrier"],
            f"{r['pickups']:,}",
            f"{r['mature_pickups']:,}",
            f"{r['mature_cancelled']:,} of {r['rated']:,}",
            _percent(r["cancellation_rate"]),
            f"{_percent(r['cancellation_rate_low'])} to {_percent(r['cancellation_rate_high'])}",
            r["stands_out"] or "–",
            _percent(r["failure_rate"]),
            f"{r['status_conflicts']:,}",
        ]
        for r in ordered
    ]
    as_of = {row["account"]: row["as_of_utc"] for row in rows if not row["is_every_account"] and row["as_of_utc"]}
    note = "Rates cover mature pickups (the window has ended), excluding failed and pending pickups."
    note = "\n".join(filter(None, [_standing(ordered), note]))
    title = ", ".join(["Cancellations per carrier", *as_of_words(as_of)])
    return Table(title, columns, cells, note)


def _standing(ordered: list[Row]) -> str:
    """Returns a sentence that names the carriers that stand out, or says that none does."""
    rated = [row for row in ordered if row["rated"]]
    if len(rated) < 2:
        return ""
    sides = [
        f"{side.capitalize()} than the other carriers: {', '.join(names)}."
        for side in ("higher", "lower")
        if (names := [visible(row["carrier"]) for row in rated if row["stands_out"] == side])
    ]
    cancelled, n = (sum(row[name] for row in rated) for name in ("mature_cancelled", "rated"))
    return " ".join(sides) or f"No carrier stands out: {_percent(cancelled / n)} over all."


def first_week_note(rows: list[Row], upcoming: list[Row]) -> str:
    """Returns what is known already if there is no rate yet, or an empty text if there is one.

    Args:
        rows: the rows of `carrier_cancellations`.
        upcoming: the rows of `upcoming_pickups`.
    """
    carriers = [row for row in rows if row["is_every_account"] and row["country"] == "all"]
    if not carriers or any(row["rated"] for row in carriers):
        return ""
    names = ("pickups", "mature_pickups", "immature_cancelled", "mature_pending", "mature_failed")
    booked, mature, cancelled, stuck, failed = (sum(row[name] for row in carriers) for name in names)
    why = "no mature pickup was cancelled or kept" if mature else "no window has ended"
    parts = [f"{cancelled:,} cancelled already", f"{failed:,} failed", f"{stuck:,} stuck"]
    told = [part for part, number in zip(parts, (cancelled, failed, stuck), strict=True) if number]
    known = f"{booked:,} booked{''.join(f', {part}' for part in told)}."
    return f"There is no rate yet, because {why}. Known so far: {known}{_next_windows(upcoming)}"


def _next_windows(upcoming: list[Row]) -> str:
    rows = [row for row in upcoming if row["is_every_account"]]
    if not rows:
        return ""
    day = min(row["window_opens_day_local"] for row in rows)
    number = sum(row["pickups"] for row in rows if row["window_opens_day_local"] == day)
    return f" Next: {number:,} {'window opens' if number == 1 else 'windows open'} on {day:%A %Y-%m-%d}."


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
        if r["is_every_account"]
    ]
    note = "Opening times are local to the pickup's country. Lead time: hours from booking to opening."
    return Table("Pickup windows per carrier", columns, cells, note)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _hours(hours: float | None) -> str:
    return "–" if hours is None else f"{hours:.1f}"
