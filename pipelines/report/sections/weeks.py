"""Builds the section on the rates week by week."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from pipelines.report.gather import Choices, Present, of_account
from pipelines.report.glance.marks import scale_end
from pipelines.report.sections.charts import Series, lines
from pipelines.report.sections.section import Answer, Section, answer_of, grouped, place_of
from pipelines.report.sections.tables import Column, Table
from pipelines.report.store import Row
from pipelines.wording.numbers import NONE, interval, percent, short_day
from pipelines.wording.weekly import WEEK, rate_by_week, week_words

MOST_WEEKS = 53
FOLLOWS = (("account", "country"), ("carrier", "country"))
ABOUT = (
    "A week is complete when the windows of at least 98% of its pickups have ended. A single week says little: its "
    "interval is wide, and weeks differ in carriers and countries. A week without pickups is a gap in the line."
)
COLUMNS = [
    Column("Week of booking", "text", "Monday, in local time"),
    Column("Pickups"),
    Column("Cancelled", about="Of pickups whose window has ended, in weeks that are complete"),
    Column("95% interval"),
    Column("Early signal", about="Cancelled within 48 hours of booking, of pickups booked at least 48 hours ago"),
]


def weeks_section(now: Present) -> Section:
    """Returns the rates by week of booking, over all carriers and countries, without answers."""
    rows = _in_order(of_account(now.all_weeks, None))
    finding = " ".join(rate_by_week(rows))
    picture = _picture(finding, [row for row in rows if row["is_week_mature"] and row["rated"]])
    command = "pickups show carrier_cancellations_weekly"
    return Section("weeks", "Week by week", finding, picture, [_table(rows)], ABOUT, command, FOLLOWS)


def weeks_answers(choices: Choices, now: Present, country: int) -> dict[str, Answer]:
    """Returns the answers for a country, which is its place in the choices."""
    answers = {}
    for account, name in enumerate(choices.accounts):
        if rows := _in_order(of_account(now.all_weeks, name)):
            answers[place_of(0, account, country)] = _answer(rows)
    by_carrier = grouped(of_account(now.weeks, None), lambda row: str(row["carrier"]))
    for carrier, name in enumerate(choices.carriers, 1):
        if rows := _in_order(by_carrier.get(name, [])):
            answers[place_of(1, carrier, country)] = _answer(rows)
    return answers


def _in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row[WEEK])


def _answer(rows: list[Row]) -> Answer:
    return answer_of(" ".join(rate_by_week(rows)), _table(rows))


def _table(rows: list[Row]) -> Table:
    shown = [_cells(row) for row in reversed(rows[-MOST_WEEKS:])]
    return Table("weeks", "Weeks of booking", COLUMNS, shown, max(0, len(rows) - MOST_WEEKS))


def _cells(row: Row) -> list[str]:
    rate = ["not complete", NONE]
    if row["is_week_mature"]:
        bounds = interval(row["cancellation_rate_low"], row["cancellation_rate_high"])
        rate = [percent(row["cancellation_rate"]), bounds]
    early = percent(row["cancelled_within_48_hours_rate"]) if row["is_early_signal_complete"] else NONE
    return [f"{row[WEEK]:%Y-%m-%d}", f"{row['pickups']:,}", *rate, early]


def _picture(finding: str, rows: list[Row]) -> str:
    if len(rows) < 2:
        return ""
    rows = rows[-MOST_WEEKS:]
    known = {row[WEEK]: row for row in rows}
    first, last = rows[0][WEEK], rows[-1][WEEK]
    mondays = [first + timedelta(weeks=number) for number in range((last - first).days // 7 + 1)][-106:]
    end = scale_end([(row["cancellation_rate"] * 1.1, row["rated"]) for row in rows])
    points = [
        (float(number), known[monday]["cancellation_rate"], week_words(known[monday]))
        if monday in known
        else (float(number), None, "")
        for number, monday in enumerate(mondays)
    ]
    step = max(1, len(mondays) // 5)
    ticks = [(float(number), f"{short_day(monday)}") for number, monday in enumerate(mondays) if number % step == 0]
    ticks = [*ticks, *([(float(len(mondays) - 1), "")] if ticks[-1][0] < len(mondays) - 1 else [])]
    return lines(finding, [Series("all carriers", points)], ticks, end)
