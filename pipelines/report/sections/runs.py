"""Builds the section on the runs and the checks of the data."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from pipelines.output import visible
from pipelines.report.gather import Choices
from pipelines.report.health import Health
from pipelines.report.sections.charts import columns
from pipelines.report.sections.section import Section, answer_of, place_of
from pipelines.report.sections.tables import Column, Table
from pipelines.report.store import RUN_DAYS, Row
from pipelines.wording.numbers import NONE, minute, short_day
from pipelines.wording.receipts import NO_RUN, failed_checks, success

FOLLOWS = (("account",),)
MOST_CHECKS, MOST_ERRORS = 100, 20
ABOUT = (
    "Most checks only warn: they count pickups with unusual values, which are loaded and counted. If a must-pass check "
    "fails, the numbers are incomplete. Outlined parts of the columns are failed runs."
)


def health_section(choices: Choices, runs: list[Row], health: Health, judge: Callable[[str], Health]) -> Section:
    """Returns the runs of the last four weeks and the checks of each account's last good run.

    Args:
        choices: the choices of the page.
        runs: rows of `runs`.
        health: how fresh and sound the data is.
        judge: returns how fresh and sound the data of an account is.
    """
    newest = max((run["started_at_utc"].date() for run in runs), default=None)
    since = newest - timedelta(days=RUN_DAYS - 1) if newest else date.max
    recent = [run for run in runs if run["started_at_utc"].date() >= since]
    finding, *tables = _answer(recent, health)
    by_account: dict[str, list[Row]] = {}
    for run in recent:
        by_account.setdefault(run["account"], []).append(run)
    answers = {
        place_of(0, account): answer_of(*_answer(by_account.get(name, []), judge(name)))
        for account, name in enumerate(choices.accounts)
        if name
    }
    drawing = columns(finding, _bars(recent, since)) if recent else ""
    return Section("health", "Data health", finding, drawing, tables, ABOUT, "pickups status", FOLLOWS, answers)


def _answer(recent: list[Row], health: Health) -> tuple[str, Table, Table]:
    told = success(recent, "in four weeks") if recent else NO_RUN
    return (
        " ".join([told, *health.problems]),
        _checks(health),
        _errors([run for run in recent if not run["has_succeeded"]]),
    )


def _bars(recent: list[Row], since: date) -> list[tuple[str, int, int, str]]:
    """Returns the counts of good and of failed runs for each day."""
    days = {since + timedelta(days=number): [0, 0] for number in range(RUN_DAYS)}
    for run in recent:
        days[run["started_at_utc"].date()][not run["has_succeeded"]] += 1
    return [(short_day(day), good, bad, f"{good:,} succeeded, {bad:,} failed") for day, (good, bad) in days.items()]


def _checks(health: Health) -> Table:
    cells = [
        [visible(account), check, f"{rows:,}"]
        for account, run in sorted(health.good_runs.items())
        for check, rows in failed_checks(run).items()
    ]
    heads = [Column("Account", "text"), Column("Check", "text"), Column("Rows")]
    left_out = max(0, len(cells) - MOST_CHECKS)
    return Table("checks", "Checks that found rows in the last good runs", heads, cells[:MOST_CHECKS], left_out)


def _errors(failed: list[Row]) -> Table:
    newest_first = sorted(failed, key=lambda run: run["started_at_utc"], reverse=True)
    cells = [
        [visible(run["account"]), minute(run["started_at_utc"]), visible(run["error"] or NONE)] for run in newest_first
    ]
    heads = [Column("Account", "text"), Column("Started (UTC)", "text"), Column("Error", "text")]
    left_out = max(0, len(cells) - MOST_ERRORS)
    return Table("failed-runs", "Failed runs of the last four weeks", heads, cells[:MOST_ERRORS], left_out)
