"""Builds the page's sections on cancellations: the weeks, the timing and the rebookings. Each has a sentence, a picture
and a table."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import NamedTuple

from pipelines.output import visible
from pipelines.report.charts import Range, Series, lines, ranges
from pipelines.report.marks import ENOUGH, scale_end
from pipelines.report.store import ALL_CARRIERS, Row, Selection, Store
from pipelines.report.tables import Column, Table
from pipelines.report.words import NONE, count, day, hours, names, percent, points, short_day, span

MOST_SERIES, MOST_RANGES = 4, 20


class Section(NamedTuple):
    """A section that opens.

    Attributes:
        name: its anchor.
        title: its heading.
        finding: one sentence.
        drawing: the SVG of its picture, or an empty text.
        tables: its tables.
        about: the definitions that a reader needs, in a fold.
        command: a command that prints its rows.
    """

    name: str
    title: str
    finding: str
    drawing: str
    tables: list[Table]
    about: str
    command: str = ""


def all_carriers(rows: Iterable[Row]) -> list[Row]:
    """Returns the rows for all accounts together."""
    return [row for row in rows if row["is_every_account"]]


def weeks_section(store: Store) -> Section:
    """Returns the rates by week of booking, over all carriers."""
    store.select(Selection(is_one_carrier=True))
    rows = sorted(
        all_carriers(store.rows("carrier_cancellations_weekly")), key=lambda row: row["booked_week_local_start"]
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
        for row in reversed(rows[-53:])
    ]
    table = Table("weeks", "Weeks of booking, all carriers", columns, cells, max(0, len(rows) - 53))
    about = (
        "A week is complete when at most 2% of its pickups have a window that has not ended. A single week says little: "
        "its interval is wide, and weeks differ in carriers and countries. A week without pickups is a gap in the line."
    )
    return Section(
        "weeks", "Week by week", finding, _weeks_picture(finding, mature), [table], about,
        "pickups show carrier_cancellations_weekly",
    )  # fmt: skip


def _weeks_picture(finding: str, rows: list[Row]) -> str:
    if len(rows) < 2:
        return ""
    rows = rows[-53:]
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


def timing_section(store: Store, carriers: list[str]) -> Section:
    """Returns how soon after the booking pickups are cancelled."""
    store.select(Selection(is_one_carrier=True))
    total = all_carriers(store.rows("cancellation_timing", "is_every_account"))
    store.select(Selection())
    rows = store.rows("cancellation_timing", "is_every_account")
    by_carrier: dict[str, list[Row]] = {}
    for row in sorted([*total, *rows], key=lambda row: row["age_hours"]):
        by_carrier.setdefault(row["carrier"], []).append(row)
    half = total[0]["half_age_hours"] if total else None
    finding = "No cancellation with a time is known yet."
    if half is not None:
        finding = f"Half of the cancellations come within {count(half, 'hour')} of the booking."
    cells = [
        [visible(name), hours_cell(found[0]["half_age_hours"]), *(percent(_share_at(found, age)) for age in (24, 48, 168)),
         percent(found[-1]["share_cancelled"])]
        for name in [ALL_CARRIERS, *carriers] if (found := by_carrier.get(name))
    ]  # fmt: skip
    columns = [
        Column("Carrier", "text"),
        Column("Half of them within", about="The age at which half of the cancellations have come"),
        *(Column(f"Cancelled by {age}") for age in ("24 h", "48 h", "7 days")),
        Column("In all"),
    ]
    shown = [ALL_CARRIERS, *[name for name in carriers if name in by_carrier][: MOST_SERIES - 1]]
    series = [_timing_series(name, by_carrier[name]) for name in shown if name in by_carrier]
    end = scale_end([(max(y or 0 for _, y, _ in one.points), ENOUGH) for one in series])
    ticks = [(0.0, "0"), (24.0, "1 day"), (48.0, "2"), (72.0, "3"), (120.0, "5"), (168.0, "7 days")]
    drawing = lines(finding, series, ticks, end) if half is not None else ""
    about = (
        "The share of all bookings that were cancelled by each age. Pickups that are not finished count for as long as "
        "they were observed (Aalen-Johansen estimate). The picture shows the carriers with most pickups."
    )
    return Section(
        "timing", "How soon after booking", finding, drawing, [Table("timing", "Cancelled by age", columns, cells)], about,
        "pickups show cancellation_timing",
    )  # fmt: skip


def hours_cell(age: int | None) -> str:
    """Returns an age in hours for a cell."""
    return NONE if age is None else f"{age:,} h"


def _share_at(rows: list[Row], age: int) -> float | None:
    """Returns the share cancelled by an age, or None if no pickup was observed for so long."""
    return next((row["share_cancelled"] for row in rows if row["age_hours"] == age), None)


def _timing_series(name: str, rows: list[Row]) -> Series:
    marked = (6, 12, 24, 48, 72, 120, 168)
    points = [
        (float(row["age_hours"]), row["share_cancelled"], f"{percent(row['share_cancelled'])} by {count(row['age_hours'], 'hour')}" if row["age_hours"] in marked else "")
        for row in rows if row["age_hours"] <= 168 and (row["age_hours"] % 2 == 0 or row["age_hours"] in marked)
    ]  # fmt: skip
    return Series(visible(name), points)


def rebookings_section(store: Store, carriers: list[str]) -> Section:
    """Returns the rates without cancellations that were only moved."""
    store.select(Selection())
    rows = {
        row["carrier"]: row for row in store.rows("carrier_net_cancellations", "is_every_account and country = 'all'")
    }
    plain = {row["carrier"]: row for row in store.rows("carrier_cancellations", "is_every_account and country = 'all'")}
    found = [rows[name] for name in carriers if name in rows and rows[name]["net_cancellation_rate"] is not None]
    unknown = [row["carrier"] for row in found if (row["rebooked_by_chance_share"] or 0) > MOSTLY_CHANCE]
    cancelled, rebooked = (sum(row[name] for row in found) for name in ("mature_cancelled", "mature_rebooked"))
    finding = "No cancellation is known yet."
    if cancelled:
        finding = (
            f"{rebooked:,} of {count(cancelled, 'cancellation')} were followed by a matching booking within 24 hours."
        )
        chance = sum(row["rebooked_by_chance"] or 0 for row in found)
        finding += f" About {chance:,.0f} of them would have been followed anyway."
        if unknown:
            finding += f" For {names(unknown)}, nearly all would have been, so the net rate is hardly known."
    cells = [
        [visible(row["carrier"]), percent(plain[row["carrier"]]["cancellation_rate"]), percent(row["net_cancellation_rate"]),
         span(row["net_cancellation_rate_low"], row["net_cancellation_rate_high"]), f"{row['mature_rebooked']:,}",
         f"{row['rebooked_by_chance'] or 0:,.0f}"]
        for row in found
    ]  # fmt: skip
    columns = [
        Column("Carrier", "text"),
        Column("Cancelled"),
        Column("Net", about="Without cancellations that were rebooked on purpose"),
        Column("95% interval"),
        Column("Rebooked", about="A matching booking followed within 24 hours"),
        Column("By chance", about="How many a matching booking would have followed anyway"),
    ]
    about = (
        "A pickup can't be edited: to move it, a shop cancels it and books another. The net rate leaves out "
        "cancellations that a booking of the same account, carrier, country and contract followed within 24 hours, "
        "beyond what chance explains. The square marks the rate with them."
    )
    return Section(
        "rebookings", "Cancelled or only moved", finding, _net_picture(finding, found, plain),
        [Table("rebookings", "Rates without rebookings", columns, cells)], about, "pickups show carrier_net_cancellations",
    )  # fmt: skip


MOSTLY_CHANCE = 0.8


def _net_picture(finding: str, found: list[Row], plain: dict[str, Row]) -> str:
    if not found:
        return ""
    end = scale_end([(row["net_cancellation_rate_high"] or 0, int(row["net_rated"] / row["design_effect"])) for row in found]
                    + [(plain[row["carrier"]]["cancellation_rate"], plain[row["carrier"]]["rated"]) for row in found])  # fmt: skip
    drawn = [
        Range(visible(row["carrier"]), row["net_cancellation_rate_low"], row["net_cancellation_rate"], row["net_cancellation_rate_high"],
              plain[row["carrier"]]["cancellation_rate"], f"net {percent(row['net_cancellation_rate'])}, all {percent(plain[row['carrier']]['cancellation_rate'])}")
        for row in found[:MOST_RANGES] if row["net_cancellation_rate_low"] is not None
    ]  # fmt: skip
    return ranges(
        finding,
        drawn,
        [(end * part, f"{end * part:.3g}" if False else percent(end * part)) for part in (0, 0.25, 0.5, 0.75, 1)],
    )
