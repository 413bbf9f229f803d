"""Builds the section on the rates week by week."""

from __future__ import annotations

from datetime import timedelta

from pipelines.report.glance.marks import ENOUGH, scale_end
from pipelines.report.sections.charts import Series, lines
from pipelines.report.sections.section import Section
from pipelines.report.sections.tables import Column, Table
from pipelines.report.store import Row, Selection, Store
from pipelines.report.words import NONE, count, day, percent, short_day, span

MOST_WEEKS = 53


def weeks_section(store: Store) -> Section:
    """Returns the rates by week of booking, over all carriers."""
    store.select(Selection(is_one_carrier=True))
    rows = sorted(
        store.rows("carrier_cancellations_weekly", "is_every_account"), key=lambda row: row["booked_week_local_start"]
    )
    mature = [row for row in rows if row["is_week_mature"] and row["rated"]]
    finding = "No week is complete yet."
    if mature:
        first, last = mature[0], mature[-1]
        finding = (
            f"In the week of {day(last['booked_week_local_start'])}, the latest complete one, "
            f"{percent(last['cancellation_rate'])} of {count(last['rated'], 'pickup')} were cancelled."
        )
        if len(mature) > 1:
            low, high = (
                pick(row["cancellation_rate"] for row in mature if row["rated"] >= ENOUGH or row in (first, last))
                for pick in (min, max)
            )
            finding += (
                f" Over {count(len(mature), 'complete week')}, the rate lay between {percent(low)} and {percent(high)}."
            )
    columns = [
        Column("Week of booking", "text", "Monday, in local time"),
        Column("Pickups"),
        Column("Cancelled", about="Of pickups whose window has ended, in weeks that are complete"),
        Column("95% interval"),
        Column("Early signal", about="Cancelled within 48 hours of booking, of pickups booked at least 48 hours ago"),
    ]
    cells = [
        [
            f"{row['booked_week_local_start']:%Y-%m-%d}",
            f"{row['pickups']:,}",
            percent(row["cancellation_rate"]) if row["is_week_mature"] else "not complete",
            span(row["cancellation_rate_low"], row["cancellation_rate_high"]) if row["is_week_mature"] else NONE,
            percent(row["cancelled_within_48_hours_rate"]) if row["is_early_signal_complete"] else NONE,
        ]
        for row in reversed(rows[-MOST_WEEKS:])
    ]
    table = Table("weeks", "Weeks of booking, all carriers", columns, cells, max(0, len(rows) - MOST_WEEKS))
    about = (
        "A week is complete when the windows of at least 98% of its pickups have ended. A single week says little: its "
        "interval is wide, and weeks differ in carriers and countries. A week without pickups is a gap in the line."
    )
    return Section(
        "weeks", "Week by week", finding, _weeks_picture(finding, mature), [table], about,
        "pickups show carrier_cancellations_weekly",
    )  # fmt: skip


def _weeks_picture(finding: str, rows: list[Row]) -> str:
    if len(rows) < 2:
        return ""
    rows = rows[-MOST_WEEKS:]
    known = {row["booked_week_local_start"]: row for row in rows}
    first, last = rows[0]["booked_week_local_start"], rows[-1]["booked_week_local_start"]
    mondays = [first + timedelta(weeks=number) for number in range((last - first).days // 7 + 1)][-106:]
    end = scale_end([(row["cancellation_rate"] * 1.1, row["rated"]) for row in rows])
    points = [
        (float(number), known[monday]["cancellation_rate"], _week_words(known[monday]))
        if monday in known
        else (float(number), None, "")
        for number, monday in enumerate(mondays)
    ]
    step = max(1, len(mondays) // 5)
    ticks = [(float(number), f"{short_day(monday)}") for number, monday in enumerate(mondays) if number % step == 0]
    ticks = [*ticks, *([(float(len(mondays) - 1), "")] if ticks[-1][0] < len(mondays) - 1 else [])]
    return lines(finding, [Series("all carriers", points)], ticks, end)


def _week_words(row: Row) -> str:
    return (
        f"week of {day(row['booked_week_local_start'])}: {percent(row['cancellation_rate'])}, 95% interval "
        f"{span(row['cancellation_rate_low'], row['cancellation_rate_high'])}, {count(row['rated'], 'pickup')}"
    )
