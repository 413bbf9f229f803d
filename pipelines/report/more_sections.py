"""Builds the page's sections on windows, accounts and the health of the data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from pipelines.output import to_html, visible
from pipelines.report.charts import Range, columns, ranges
from pipelines.report.health import Health, failed_checks
from pipelines.report.marks import scale_end
from pipelines.report.sections import MOST_RANGES, Section, all_carriers
from pipelines.report.store import Row, Selection, Store
from pipelines.report.tables import Column, Table
from pipelines.report.words import NONE, count, hours, minute, names, percent, short_day, span

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SHADES = 6
RUN_DAYS = 28


def windows_section(store: Store, carriers: list[str]) -> Section:
    """Returns when windows open, how long they are, and how far ahead they are booked."""
    store.select(Selection())
    rows = {row["carrier"]: row for row in store.rows("carrier_windows", "is_every_account")}
    grid: dict[tuple[int, int], int] = {}
    for row in store.rows("carrier_window_grid", "is_every_account"):
        place = row["window_opens_isodow_local"], row["window_opens_hour_local"]
        grid[place] = grid.get(place, 0) + row["pickups"]
    finding = "No pickup has a window."
    if grid:
        (weekday, hour), most = max(grid.items(), key=lambda item: (item[1], item[0]))
        finding = (
            f"Most windows open on {_DAY_NAMES[weekday - 1]}s at {hour:02}:00: {percent(most / sum(grid.values()))} of "
            f"{count(sum(grid.values()), 'window')}."
        )
        weekend = sum(pickups for (day, _), pickups in grid.items() if day > 5)
        finding += f" {percent(weekend / sum(grid.values()))} open at the weekend."
    found = [rows[name] for name in carriers if name in rows and rows[name]["with_window"]]
    cells = [
        [visible(row["carrier"]), f"{row['with_window']:,}", hours(row["median_window_hours"]), _spread(row, "window_hours"),
         hours(row["median_lead_time_hours"]), _spread(row, "lead_time_hours"), _opening(row), percent(row["open_ended_share"])]
        for row in found
    ]  # fmt: skip
    table_columns = [
        Column("Carrier", "text"), Column("Windows"), Column("Length, median"), Column("10% to 90%", "text"),
        Column("Booked ahead, median", about="From the booking to the opening of the window"), Column("10% to 90%", "text"),
        Column("Opens most often at", "text", "In the local time of the pickup's country"),
        Column("Open-ended", about="Windows with a start but no end"),
    ]  # fmt: skip
    about = "Darker cells are hours in which more windows open, in the local time of the pickup's country."
    return Section(
        "windows", "Pickup windows", finding, _grid(finding, grid), [Table("windows", "Windows by carrier", table_columns, cells)],
        about, "pickups show carrier_windows",
    )  # fmt: skip


_DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _spread(row: Row, what: str) -> str:
    low, high = row[f"p10_{what}"], row[f"p90_{what}"]
    return NONE if low is None else f"{hours(low)} to {hours(high)}"


def _opening(row: Row) -> str:
    hour = row["most_common_opening_hour_local"]
    return NONE if hour is None else f"{hour:02}:00 ({percent(row['most_common_opening_hour_share'])})"


def _grid(finding: str, grid: Mapping[tuple[int, int], int]) -> str:
    """Returns the hours of the week as a shaded table, so that every value is text."""
    if not grid:
        return ""
    first, last = min(hour for _, hour in grid), max(hour for _, hour in grid)
    most = max(grid.values())
    heads = "".join(f'<th scope="col">{hour:02}</th>' for hour in range(first, last + 1))
    lines = []
    for day in range(1, 8):
        cells = "".join(
            f'<td class="h{-(-grid.get((day, hour), 0) * SHADES // most)}">{grid.get((day, hour), 0) or "":,}</td>'
            if grid.get((day, hour)) else "<td></td>"
            for hour in range(first, last + 1)
        )  # fmt: skip
        lines.append(f'<tr><th scope="row">{DAYS[day - 1]}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Windows by weekday and hour"><table class="grid">'
        f"<caption>{to_html(finding)}</caption><thead><tr><td></td>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def accounts_section(store: Store, health: Health, quarantine: Mapping[str, int]) -> Section:
    """Returns the accounts with their rates and the times of their data."""
    store.select(Selection())
    totals = {
        row["account"]: row
        for row in store.rows("rates", "outcome = 'cancelled' and breakdown = 'total' and not is_every_account")
    }
    pickups = {
        row["account"]: row["n"] for row in store.rows("pickups", "true group by account", "account, count(*) as n")
    }
    accounts = sorted({*pickups, *health.last_runs})
    rated = [totals[name] for name in accounts if name in totals and totals[name]["n"]]
    finding = f"{count(len(accounts), 'account')}, {count(sum(pickups.values()), 'pickup')}."
    if len(rated) > 1:
        low, high = (pick(rated, key=lambda row: row["rate"]) for pick in (min, max))
        finding = (
            f"{count(len(accounts), 'account')}, with rates from {percent(low['rate'])} ({visible(low['account'])}) to "
            f"{percent(high['rate'])} ({visible(high['account'])}). Accounts differ in carriers and countries."
        )
    cells = [_account_cells(name, pickups.get(name, 0), totals.get(name), health, quarantine) for name in accounts]
    table_columns = [
        Column("Account", "text"), Column("Pickups"), Column("Cancelled"), Column("95% interval"),
        Column("Read (UTC)", "text", "When its last successful run observed the list"), Column("Last run", "text"),
        Column("Quarantine", about="Records that could not be loaded"),
    ]  # fmt: skip
    drawing = ""
    if len(rated) > 1:
        end = scale_end([(row["rate_high"], row["n"]) for row in rated])
        drawn = [Range(visible(row["account"]), row["rate_low"], row["rate"], row["rate_high"], None,
                       f"{percent(row['rate'])}, 95% interval {span(row['rate_low'], row['rate_high'])}") for row in rated[:40]]  # fmt: skip
        drawing = ranges(finding, drawn, [(end * part, percent(end * part)) for part in (0, 0.25, 0.5, 0.75, 1)])
    return Section(
        "accounts",
        "Accounts",
        finding,
        drawing,
        [Table("accounts", "Accounts", table_columns, cells)],
        "",
        "pickups status",
    )


def _account_cells(
    name: str, pickups: int, total: Row | None, health: Health, quarantine: Mapping[str, int]
) -> list[str]:
    last, good = health.last_runs.get(name), health.good_runs.get(name)
    rate = (
        [percent(total["rate"]), span(total["rate_low"], total["rate_high"])] if total and total["n"] else [NONE, NONE]
    )
    outcome = NONE if last is None else "succeeded" if last["has_succeeded"] else "failed"
    read = minute(good["observed_at_utc"] if good else None)
    return [visible(name), f"{pickups:,}", *rate, read, outcome, f"{quarantine.get(name, 0):,}"]


def health_section(runs: list[Row], health: Health) -> Section:
    """Returns the runs of the last four weeks and the checks of each account's last run."""
    newest = max((run["started_at_utc"] for run in runs), default=None)
    since = newest - timedelta(days=RUN_DAYS - 1) if newest else None
    recent = [run for run in runs if since and run["started_at_utc"].date() >= since.date()]
    failed = sum(not run["has_succeeded"] for run in recent)
    finding = "No run is recorded."
    if recent:
        finding = f"{len(recent) - failed:,} of {count(len(recent), 'run')} in the last four weeks succeeded."
    days: dict[date, list[int]] = {}
    for run in recent:
        days.setdefault(run["started_at_utc"].date(), [0, 0])[not run["has_succeeded"]] += 1
    bars = []
    if since and newest:
        for number in range(RUN_DAYS):
            when = since.date() + timedelta(days=number)
            good, bad = days.get(when, [0, 0])
            bars.append((short_day(when), good, bad, f"{good:,} succeeded, {bad:,} failed"))
    checks = [
        [visible(account), check, f"{rows:,}"]
        for account, run in sorted(health.good_runs.items()) for check, rows in failed_checks(run).items()
    ]  # fmt: skip
    errors = [
        [visible(run["account"]), minute(run["started_at_utc"]), visible(run["error"] or NONE)]
        for run in sorted(recent, key=lambda run: run["started_at_utc"], reverse=True) if not run["has_succeeded"]
    ]  # fmt: skip
    tables = [
        Table("checks", "Checks that found rows in the last good runs",
              [Column("Account", "text"), Column("Check", "text"), Column("Rows")], checks[:100], max(0, len(checks) - 100)),
        Table("failed-runs", "Failed runs of the last four weeks",
              [Column("Account", "text"), Column("Started (UTC)", "text"), Column("Error", "text")], errors[:20], max(0, len(errors) - 20)),
    ]  # fmt: skip
    finding = " ".join([finding, *health.problems])
    about = (
        "Most checks only warn: they count pickups with unusual values, which are loaded and counted. If a must-pass "
        "check fails, the numbers are incomplete. Hatched parts of the columns are failed runs."
    )
    return Section(
        "health", "Data health", finding, columns(finding, bars) if bars else "", tables, about, "pickups status"
    )
