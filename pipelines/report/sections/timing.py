"""Builds the section on how soon after the booking pickups are cancelled."""

from __future__ import annotations

from pipelines.output import visible
from pipelines.report.glance.marks import ENOUGH, scale_end
from pipelines.report.sections.charts import Series, lines
from pipelines.report.sections.section import Section
from pipelines.report.sections.tables import Column, Table
from pipelines.report.store import ALL_CARRIERS, Row, Selection, Store
from pipelines.report.words import NONE, count, percent

MOST_SERIES = 4


AGES = {24: "24 h", 48: "48 h", 168: "7 days"}
MARKED = (6, 12, 24, 48, 72, 120, 168)  # the ages whose values a reader can focus
TICKS = [(0.0, "0"), (24.0, "1 day"), (48.0, "2"), (72.0, "3"), (120.0, "5"), (168.0, "7 days")]
ABOUT = (
    "The share of all bookings that were cancelled by each age. Pickups that are not finished count for as long as "
    "they were observed (Aalen-Johansen estimate). The picture shows the carriers with most pickups."
)
COLUMNS = [
    Column("Carrier", "text"),
    Column("Half of them within", about="The age at which half of the cancellations have come"),
    *(Column(f"Cancelled by {words}") for words in AGES.values()),
    Column("In all"),
]


def timing_section(store: Store, carriers: list[str]) -> Section:
    """Returns how soon after the booking pickups are cancelled."""
    store.select(Selection(is_one_carrier=True))
    total = store.rows("cancellation_timing", "is_every_account")
    store.select(Selection())
    by_carrier: dict[str, list[Row]] = {}
    for row in sorted(
        [*total, *store.rows("cancellation_timing", "is_every_account")], key=lambda row: row["age_hours"]
    ):
        by_carrier.setdefault(row["carrier"], []).append(row)
    half = total[0]["half_age_hours"] if total else None
    finding = "No cancellation with a time is known yet."
    if half is not None:
        finding = f"Half of the cancellations come within {count(half, 'hour')} of the booking."
    shown = [name for name in [ALL_CARRIERS, *carriers] if name in by_carrier]
    table = Table("timing", "Cancelled by age", COLUMNS, [_cells(name, by_carrier[name]) for name in shown])
    drawing = ""
    if half is not None:
        series = [_series(name, by_carrier[name]) for name in shown[:MOST_SERIES]]
        drawing = lines(
            finding, series, TICKS, scale_end([(y, ENOUGH) for one in series for _, y, _ in one.points if y])
        )
    return Section(
        "timing", "How soon after booking", finding, drawing, [table], ABOUT, "pickups show cancellation_timing"
    )


def _cells(name: str, rows: list[Row]) -> list[str]:
    half, by_age = rows[0]["half_age_hours"], {row["age_hours"]: row["share_cancelled"] for row in rows}
    shares = [percent(by_age.get(age)) for age in AGES]
    return [visible(name), NONE if half is None else f"{half:,} h", *shares, percent(rows[-1]["share_cancelled"])]


def _series(name: str, rows: list[Row]) -> Series:
    """Returns the line of a carrier. Every second hour is enough for a picture of this size."""
    points: list[tuple[float, float | None, str]] = []
    for row in rows:
        age, share = row["age_hours"], row["share_cancelled"]
        if age <= MARKED[-1] and age % 2 == 0:
            words = f"{percent(share)} cancelled by {count(age, 'hour')}" if age in MARKED else ""
            points.append((float(age), share, words))
    return Series(visible(name), points)
