"""Builds the section on accounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.output import visible
from pipelines.report.gather import Choices, Rates
from pipelines.report.glance.marks import scale_end
from pipelines.report.health import Health
from pipelines.report.sections.charts import Range, quarters, ranges
from pipelines.report.sections.section import Answer, Section, answer_of, grouped, place_of
from pipelines.report.sections.tables import Column, Table
from pipelines.report.store import Row
from pipelines.wording.numbers import NONE, count, interval, minute, percent
from pipelines.wording.rows import sums

MOST_RANGES = 40
FOLLOWS = (("account", "country", "period"),)
ABOUT = "Accounts differ in carriers, countries and customers, so a higher rate alone says little."
COLUMNS = [
    Column("Account", "text"),
    Column("Pickups"),
    Column("Cancelled"),
    Column("95% interval"),
    Column("Read (UTC)", "text", "When its last successful run observed the list"),
    Column("Last run", "text"),
    Column("Quarantine", about="Records that could not be loaded"),
]


def accounts_section(
    choices: Choices, rates: Sequence[Sequence[Rates]], health: Health, quarantine: Mapping[str, int]
) -> Section:
    """Returns the accounts with their rates and the times of their data.

    Args:
        choices: the choices of the page.
        rates: the rows of each country and period, in the order of the choices.
        health: how fresh and sound the data is.
        quarantine: the number of unresolved records in quarantine, by account.
    """
    first = _answer(rates[0][0], health, quarantine, sorted(health.last_runs))
    answers = {}
    for country, periods in enumerate(rates):
        for period, found in enumerate(periods):
            for account, name in enumerate(choices.accounts):
                answer = _answer(found, health, quarantine, [], name)
                if answer.rows[0]:
                    answers[place_of(0, account, country, period)] = answer
    picture = _picture(first.finding, list(_rated(rates[0][0]).values()))
    table = Table("accounts", "Accounts", COLUMNS, first.rows[0])
    return Section("accounts", "Accounts", first.finding, picture, [table], ABOUT, "pickups status", FOLLOWS, answers)


def _rated(found: Rates) -> dict[str, Row]:
    return {row["account"]: row for row in found.total if not row["is_every_account"] and row["n"]}


def _answer(
    found: Rates, health: Health, quarantine: Mapping[str, int], others: Sequence[str], only: str | None = None
) -> Answer:
    """Returns the accounts that have pickups, and the others that are named."""
    own = [row for row in found.carriers if not row["is_every_account"] and only in (None, row["account"])]
    pickups = {name: int(sums(rows, "pickups")[0]) for name, rows in grouped(own, lambda row: row["account"]).items()}
    rated, names = _rated(found), sorted({*pickups, *others})
    shown = [rated[name] for name in names if name in rated]
    finding = f"{count(len(names), 'account')}, {count(sum(pickups.values()), 'pickup')}."
    if len(shown) > 1:
        low, high = (pick(shown, key=lambda row: row["rate"]) for pick in (min, max))
        ends = [f"{percent(row['rate'])} ({visible(row['account'])})" for row in (low, high)]
        finding = f"{count(len(names), 'account')}, with rates from {' to '.join(ends)}."
    cells = [_cells(name, pickups.get(name, 0), rated.get(name), health, quarantine) for name in names]
    return answer_of(finding, Table("", "", COLUMNS, cells))


def _cells(name: str, pickups: int, total: Row | None, health: Health, quarantine: Mapping[str, int]) -> list[str]:
    last, good = health.last_runs.get(name), health.good_runs.get(name)
    rate = [percent(total["rate"]), interval(total["rate_low"], total["rate_high"])] if total else [NONE, NONE]
    outcome = NONE if last is None else "succeeded" if last["has_succeeded"] else "failed"
    read = minute(good["observed_at_utc"] if good else None)
    return [visible(name), f"{pickups:,}", *rate, read, outcome, f"{quarantine.get(name, 0):,}"]


def _picture(finding: str, rated: list[Row]) -> str:
    if len(rated) < 2:
        return ""
    drawn = []
    for row in rated[:MOST_RANGES]:
        words = f"{percent(row['rate'])}, 95% interval {interval(row['rate_low'], row['rate_high'])}"
        drawn.append(Range(visible(row["account"]), row["rate_low"], row["rate"], row["rate_high"], None, words))
    return ranges(finding, drawn, quarters(scale_end([(row["rate_high"], row["n"]) for row in rated])))
