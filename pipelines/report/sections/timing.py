"""Builds the section on how soon after the booking pickups are cancelled."""

from __future__ import annotations

from pipelines.output import visible
from pipelines.report.gather import Choices, of_account
from pipelines.report.glance.marks import ENOUGH, scale_end
from pipelines.report.sections.charts import Series, lines
from pipelines.report.sections.section import Answer, Section, answer_of, grouped, place_of
from pipelines.report.sections.tables import Column, Table
from pipelines.report.store import ALL_CARRIERS, Row, Selection, Store
from pipelines.wording.numbers import NONE, count, percent
from pipelines.wording.weekly import half_age

MOST_SERIES = 4
AGES, IN_ALL = {24: "24 h", 48: "48 h", 168: "7 days"}, 720
MARKED = (6, 12, 24, 48, 72, 120, 168)  # the ages whose values a reader can focus
TICKS = [(0.0, "0"), (24.0, "1 day"), (48.0, "2"), (72.0, "3"), (120.0, "5"), (168.0, "7 days")]
FOLLOWS = (("account", "carrier"),)
SHOWN = f"is_every_account or age_hours in ({', '.join(map(str, (*AGES, IN_ALL)))})"
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
ByCarrier = dict[str, list[Row]]


def timing_section(store: Store, choices: Choices) -> Section:
    """Returns how soon after the booking pickups are cancelled."""
    store.select(Selection(is_one_carrier=True))
    total = store.rows("cancellation_timing", SHOWN)
    store.select(Selection())
    rows = sorted([*total, *store.rows("cancellation_timing", SHOWN)], key=lambda row: row["age_hours"])
    names = [ALL_CARRIERS, *choices.carriers]
    by_carrier = grouped(of_account(rows, None), lambda row: str(row["carrier"]))
    finding, table = _table(by_carrier, names)
    shown = [name for name in names if name in by_carrier][:MOST_SERIES]
    picture = _picture(finding, [_series(name, by_carrier[name]) for name in shown])
    answers = _answers(choices, rows)
    command = "pickups show cancellation_timing"
    return Section("timing", "How soon after booking", finding, picture, [table], ABOUT, command, FOLLOWS, answers)


def _answers(choices: Choices, rows: list[Row]) -> dict[str, Answer]:
    answers = {}
    for account, name in enumerate(choices.accounts):
        by_carrier = grouped(of_account(rows, name), lambda row: str(row["carrier"]))
        for carrier, listed in enumerate([[ALL_CARRIERS, *choices.carriers], *([one] for one in choices.carriers)]):
            finding, table = _table(by_carrier, listed)
            if table.rows:
                answers[place_of(0, account, carrier)] = answer_of(finding, table)
    return answers


def _table(by_carrier: ByCarrier, names: list[str]) -> tuple[str, Table]:
    """Returns the sentence about the first of the names, and the table of all."""
    cells = [_cells(name, by_carrier[name]) for name in names if name in by_carrier]
    return half_age(by_carrier.get(names[0], [])), Table("timing", "Cancelled by age", COLUMNS, cells)


def _cells(name: str, rows: list[Row]) -> list[str]:
    half, by_age = rows[0]["half_age_hours"], {row["age_hours"]: row["share_cancelled"] for row in rows}
    shares = [percent(by_age.get(age)) for age in (*AGES, IN_ALL)]
    return [visible(name), NONE if half is None else f"{half:,} h", *shares]


def _picture(finding: str, series: list[Series]) -> str:
    values = [(y, ENOUGH) for one in series for _, y, _ in one.points if y]
    return lines(finding, series, TICKS, scale_end(values)) if values else ""


def _series(name: str, rows: list[Row]) -> Series:
    """Returns the line of a carrier. Every second hour is enough for a picture of this size."""
    points: list[tuple[float, float | None, str]] = []
    for row in rows:
        age, share = row["age_hours"], row["share_cancelled"]
        if age <= MARKED[-1] and age % 2 == 0:
            words = f"{percent(share)} cancelled by {count(age, 'hour')}" if age in MARKED else ""
            points.append((float(age), share, words))
    return Series(visible(name), points)
