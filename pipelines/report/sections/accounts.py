"""Builds the section on accounts."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.output import visible
from pipelines.report.glance.marks import scale_end
from pipelines.report.health import Health
from pipelines.report.sections.charts import Range, quarters, ranges
from pipelines.report.sections.section import Section
from pipelines.report.sections.tables import Column, Table
from pipelines.report.store import Row, Selection, Store
from pipelines.report.words import NONE, count, minute, percent, span

MOST_RANGES = 40
TOTALS = "outcome = 'cancelled' and breakdown = 'total' and not is_every_account"
COLUMNS = [
    Column("Account", "text"),
    Column("Pickups"),
    Column("Cancelled"),
    Column("95% interval"),
    Column("Read (UTC)", "text", "When its last successful run observed the list"),
    Column("Last run", "text"),
    Column("Quarantine", about="Records that could not be loaded"),
]


def accounts_section(store: Store, health: Health, quarantine: Mapping[str, int]) -> Section:
    """Returns the accounts with their rates and the times of their data."""
    store.select(Selection())
    totals = {row["account"]: row for row in store.rows("rates", TOTALS) if row["n"]}
    sizes = store.rows("pickups", "true group by account", "account, count(*) as n")
    pickups = {row["account"]: row["n"] for row in sizes}
    accounts = sorted({*pickups, *health.last_runs})
    rated = [totals[name] for name in accounts if name in totals]
    finding = f"{count(len(accounts), 'account')}, {count(sum(pickups.values()), 'pickup')}."
    if len(rated) > 1:
        low, high = (pick(rated, key=lambda row: row["rate"]) for pick in (min, max))
        ends = [f"{percent(row['rate'])} ({visible(row['account'])})" for row in (low, high)]
        finding = f"{count(len(accounts), 'account')}, with rates from {' to '.join(ends)}."
    cells = [_cells(name, pickups.get(name, 0), totals.get(name), health, quarantine) for name in accounts]
    table = Table("accounts", "Accounts", COLUMNS, cells)
    about = "Accounts differ in carriers, countries and customers, so a higher rate alone says little."
    return Section("accounts", "Accounts", finding, _picture(finding, rated), [table], about, "pickups status")


def _cells(name: str, pickups: int, total: Row | None, health: Health, quarantine: Mapping[str, int]) -> list[str]:
    last, good = health.last_runs.get(name), health.good_runs.get(name)
    rate = [percent(total["rate"]), span(total["rate_low"], total["rate_high"])] if total else [NONE, NONE]
    outcome = NONE if last is None else "succeeded" if last["has_succeeded"] else "failed"
    read = minute(good["observed_at_utc"] if good else None)
    return [visible(name), f"{pickups:,}", *rate, read, outcome, f"{quarantine.get(name, 0):,}"]


def _picture(finding: str, rated: list[Row]) -> str:
    if len(rated) < 2:
        return ""
    drawn = []
    for row in rated[:MOST_RANGES]:
        words = f"{percent(row['rate'])}, 95% interval {span(row['rate_low'], row['rate_high'])}"
        drawn.append(Range(visible(row["account"]), row["rate_low"], row["rate"], row["rate_high"], None, words))
    return ranges(finding, drawn, quarters(scale_end([(row["rate_high"], row["n"]) for row in rated])))
