"""Computes the finished texts for every choice of account, country and period. The page's script only selects them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from pipelines.report.gather import Present, Rates, of_account
from pipelines.report.glance.carriers import PRESENT_CELLS, RATE_CELLS, present_cells, rate_rows, standing
from pipelines.report.glance.figures import (
    change_figure,
    next_figure,
    rate_figure,
    stuck_figure,
    total_of,
    total_of_carrier,
)
from pipelines.report.glance.marks import scale_end
from pipelines.report.store import Row

Answer = dict[str, Any]


def rate_answer(found: Rates, account: str | None, places: Mapping[str, int]) -> Answer | None:
    """Returns the texts of an account's rates, or None if it has no pickups. A carrier is its place in `places`."""
    carriers = list(of_account(found.carriers, account))
    if not carriers:
        return None
    total = next(of_account(found.total, account), None)
    expected = {row["carrier"]: row for row in of_account(found.expected, account)}
    rows, scale = rate_rows(carriers, total if total and total["n"] else None, expected)
    figures = {row["carrier"]: rate_figure([row], total_of_carrier(row)) for row in carriers}
    names = [row["carrier"] for row in _in_order(carriers)]
    return {
        "say": standing(carriers),
        "scale": scale,
        "rate": rate_figure(carriers, total_of(total)),
        "rows": [
            [places[name], *(cells[key] for key in RATE_CELLS[1:]), *figures[name]]
            for name, cells in zip(names, rows, strict=True)
        ],
    }


def _in_order(carriers: list[Row]) -> list[Row]:
    return sorted(carriers, key=lambda row: (-(row["cancellation_rate_shrunken"] or -1), row["carrier"]))


def present_answer(found: Present, account: str | None, places: Mapping[str, int]) -> Answer:
    """Returns the texts about an account's present. A carrier is its place in `places`."""
    changes = {row["carrier"]: row for row in of_account(found.changes, account)}
    weeks: dict[str, list[Row]] = {}
    for row in of_account(found.weeks, account):
        if row["is_early_signal_complete"]:
            weeks.setdefault(row["carrier"], []).append(row)
    upcoming = list(of_account(found.upcoming, account))
    stuck = [row for row in found.stuck if account in (None, row["account"])]
    as_of = found.as_of.get(account)
    every_week = [row for rows in weeks.values() for row in rows if row["watched_48_hours"]]
    last: date | None = max((row["booked_week_local_start"] for row in every_week), default=None)
    end = scale_end([(row["cancelled_within_48_hours_rate"], row["watched_48_hours"]) for row in every_week])
    rows = {}
    for name in sorted({*changes, *weeks, *(row["carrier"] for row in [*upcoming, *stuck])} & places.keys()):
        cells = present_cells(changes.get(name), weeks.get(name, []), last, end)
        ahead, waiting = ([row for row in rows_ if row["carrier"] == name] for rows_ in (upcoming, stuck))
        rows[places[name]] = [
            *(cells[key] for key in PRESENT_CELLS),
            *change_figure(changes.get(name)),
            *next_figure(ahead, as_of),
            *stuck_figure(waiting),
        ]
    return {
        "change": change_figure(next(of_account(found.total_changes, account), None)),
        "next": next_figure(upcoming, as_of),
        "stuck": stuck_figure(stuck),
        "rows": rows,
    }
