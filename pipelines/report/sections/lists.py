"""Lists the pickups that need attention: those that are stuck, and those whose window opens on the next day."""

from __future__ import annotations

from datetime import datetime, timedelta

from pipelines.output import visible
from pipelines.report.sections.section import Section
from pipelines.report.sections.tables import Column, Table
from pipelines.report.store import Row, Selection, Store
from pipelines.report.words import NONE, count, day, hours, minute

MOST = 100
ABOUT = (
    "A pickup is stuck if it is still announcing although its window has ended, or if it has waited for longer than "
    "99% of acceptances took. This page contains no tracking numbers; the command prints them."
)


def to_do_section(store: Store, as_of: datetime | None) -> Section:
    """Returns the pickups that need attention."""
    stuck, upcoming = stuck_table(store), next_table(store, as_of)
    waiting, ahead = len(stuck.rows) + stuck.left_out, len(upcoming.rows) + upcoming.left_out
    finding = (
        f"{count(waiting, 'pickup')} stuck; {ahead:,} to come on {day(as_of.date() + timedelta(days=1))}."
        if as_of
        else ""
    )
    return Section("to-do", "Pickups to look at", finding, "", [stuck, upcoming], ABOUT, "pickups list --stuck")


def stuck_table(store: Store) -> Table:
    """Returns the stuck pickups that have waited longest."""
    store.select(Selection())
    rows = store.rows("stuck_pickups", f"true order by hours_waiting desc, account, pickup_id limit {MOST}")
    (counted,) = store.rows("stuck_pickups", "true", "count(*) as pickups")
    columns = [
        *_COLUMNS,
        Column("Waiting", about="From the booking to the time of the data"),
        Column("Window (UTC)", "text"),
    ]
    cells = [
        [*_cells(row), hours(row["hours_waiting"]), _window(row["pickup_from_utc"], row["pickup_until_utc"])]
        for row in rows
    ]
    return Table(
        "stuck-pickups", "Stuck pickups, the longest wait first", columns, cells, counted["pickups"] - len(rows)
    )


def next_table(store: Store, as_of: datetime | None) -> Table:
    """Returns the pickups whose window opens on the day after the data."""
    if as_of is None:
        return Table("next-pickups", "Pickups of the next day", _COLUMNS, [])
    store.select(Selection())
    tomorrow = as_of.date() + timedelta(days=1)
    where = (
        f"not is_cancelled and not is_failed and cast(window_opens_local as date) = date '{tomorrow}' "
        "and not is_mature and pickup_from_utc > as_of_utc"
    )
    rows = store.rows("pickups", f"{where} order by window_opens_local, account, pickup_id limit {MOST}")
    (counted,) = store.rows("pickups", where, "count(*) as pickups")
    columns = [*_COLUMNS, Column("Window (local)", "text"), Column("Status", "text")]
    cells = [
        [*_cells(row), _window(row["window_opens_local"], row["window_closes_local"]), visible(row["pickup_status"])]
        for row in rows
    ]
    return Table("next-pickups", f"Pickups of {day(tomorrow)}", columns, cells, counted["pickups"] - len(rows))


_COLUMNS = [Column("Account", "text"), Column("Pickup"), Column("Carrier", "text"), Column("Country", "text")]


def _cells(row: Row) -> list[str]:
    return [
        visible(row["account"]),
        str(row["pickup_id"]),
        visible(row["carrier"]),
        visible(row["country"] or "unknown"),
    ]


def _window(opens: datetime | None, closes: datetime | None) -> str:
    if opens is None:
        return NONE
    if closes is None:
        return f"{minute(opens)}, open-ended"
    return (
        f"{minute(opens)} to {closes:%H:%M}"
        if closes.date() == opens.date()
        else f"{minute(opens)} to {minute(closes)}"
    )
