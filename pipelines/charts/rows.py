"""Selects the rows that a chart, a table or a sentence is about."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pandas as pd

from pipelines.wording.rows import ENOUGH_TO_COMPARE, SIDES, Rows

MOST_DRAWN = 12  # hundreds of lines or panels would take minutes to draw


def records(rows: pd.DataFrame) -> Rows:
    """Returns the rows as dicts. Missing values become None."""
    values = rows.astype(object)
    found: list[dict[Any, Any]] = values.where(values.notna(), None).to_dict("records")
    return found


def every_row(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns all rows, of a view without rows for all accounts together."""
    return rows


def over_accounts(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows for all accounts together."""
    return rows[rows["is_every_account"].astype(bool)]


def whole_carriers(cancellations: pd.DataFrame) -> pd.DataFrame:
    """Returns a row per carrier of a view that also has rows per country, in the order of `cancellation_rank`."""
    rows = over_accounts(cancellations)
    order = [column for column in ("cancellation_rank", "carrier") if column in rows]
    return rows[rows["country"] == "all"].sort_values(order, ignore_index=True)


def countries(cancellations: pd.DataFrame) -> pd.DataFrame:
    """Returns a row per carrier and country of `carrier_cancellations` that has 30 rated pickups."""
    rows = over_accounts(cancellations)
    rows = rows[(rows["country"] != "all") & (rows["rated"] >= ENOUGH_TO_COMPARE)]
    return rows.sort_values(["cancellation_rank", "carrier"], ignore_index=True)


def drawn(rows: pd.DataFrame, by: str, stands_out: str | None = None) -> pd.DataFrame:
    """Returns the rows of the carriers that a chart shows: those with most pickups, and the first that stand out.

    Args:
        rows: one row or several per carrier, in the order of the chart.
        by: the column that counts pickups.
        stands_out: the column that says whether a carrier stands out, if there is one.
    """
    most = rows.groupby("carrier", sort=False)[by].max().nlargest(MOST_DRAWN).index
    named = standing(rows, stands_out)["carrier"].drop_duplicates()[:MOST_DRAWN].tolist() if stands_out else []
    return rows[rows["carrier"].isin([*most, *named])]


def standing(rows: pd.DataFrame, column: str = "stands_out") -> pd.DataFrame:
    """Returns the rows that differ from the others by more than chance."""
    return rows[rows[column].isin(SIDES)]


def comparable(changes: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of `cancellation_changes` that compare something, the greatest rise first."""
    rows = over_accounts(changes)
    return rows[rows["difference"].notna()].sort_values("difference", ascending=False, ignore_index=True)


def whole_weeks(weekly: pd.DataFrame, since: str | date | None = None, until: str | date | None = None) -> pd.DataFrame:
    """Returns the rows of `carrier_cancellations_weekly` for all accounts, with the columns `is_whole` and `is_inside`.

    A week is whole if it is mature and if neither `since` nor `until` cuts into it. A local day begins up to two hours
    before the day in UTC, in which `since` and `until` are.
    """
    rows = over_accounts(weekly).sort_values("booked_week_local_start")
    begin = _naive(since) + pd.Timedelta(hours=2) if since else pd.Timestamp(1970, 1, 1)
    end = (_naive(until) if until else pd.Timestamp(2200, 1, 1)) - pd.Timedelta(days=7)
    is_inside = rows["booked_week_local_start"].between(begin, end)
    return rows.assign(is_inside=is_inside, is_whole=rows["is_week_mature"].astype(bool) & is_inside)


def bands(by_booking: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Returns the bands of one measure over all carriers, shortest first, each with its `name`."""
    rows = over_accounts(by_booking)
    rows = rows[rows["is_every_carrier"].astype(bool) & (rows["measure"] == measure)].sort_values("from_hours")
    ends = [f"to {hours:.0f} h" if hours > 0 else "h or more" for hours in rows["until_hours"].fillna(0)]
    return rows.assign(name=[f"{hours:.0f} {end}" for hours, end in zip(rows["from_hours"], ends, strict=True)])


def in_order_of_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of `runs` in the order in which they took place, which no clock decides."""
    order = [column for column in ("run_number", "started_at_utc") if column in runs]
    return runs.sort_values(order, na_position="first", ignore_index=True)


def each(rows: pd.DataFrame) -> Iterator[Any]:
    """Yields the rows as tuples with a field for each column."""
    return iter(rows.itertuples(index=False))


def _naive(day: str | date) -> pd.Timestamp:
    return pd.to_datetime(day, utc=True).tz_localize(None)
