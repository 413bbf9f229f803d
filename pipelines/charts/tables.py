"""Prepares tables for a notebook: chosen columns, with names and numbers for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pipelines.charts.rows import (
    in_order_of_runs,
    over_accounts,
    records,
    whole_carriers,
)
from pipelines.output import csv_cell
from pipelines.wording.numbers import NONE
from pipelines.wording.receipts import failed_checks, in_order
from pipelines.wording.rows import ENOUGH_TO_COMPARE

SHARE, HOURS, COUNT, TIME = "{:.1%}", "{:,.1f}", "{:,.0f}", "{:%Y-%m-%d %H:%M}"


def table(rows: pd.DataFrame, columns: Mapping[str, tuple[str, str] | str]) -> pd.DataFrame:
    """Returns the columns as text, with the first one as the index.

    Args:
        rows: the rows of a view.
        columns: the heading of each column, or the heading and the format of its values, such as SHARE.
    """
    made = {}
    for column, how in columns.items():
        heading, form = (how, "{}") if isinstance(how, str) else how
        made[heading] = [form.format(value) if pd.notna(value) else NONE for value in rows[column]]
    first, *_ = made
    return pd.DataFrame(made).set_index(first)


def carriers(cancellations: pd.DataFrame) -> pd.DataFrame:
    """Returns a row per carrier: what became of its pickups, its rates, and whether it stands out."""
    counts = {"pickups": "pickups", "immature_pickups": "not mature"}
    counts |= {f"mature_{what}": what for what in ("cancelled", "kept", "failed", "pending")}
    shares = {"cancellation_rate": "cancelled, %", "cancellation_rate_low": "from", "cancellation_rate_high": "to"}
    shares |= {"failure_rate": "failed, %"}
    columns: dict[str, tuple[str, str] | str] = {"carrier": "carrier"}
    columns |= {column: (heading, COUNT) for column, heading in counts.items()}
    columns |= {column: (heading, SHARE) for column, heading in shares.items()}
    return table(whole_carriers(cancellations), columns | {"stands_out": "stands out"})


def opening_habits(windows: pd.DataFrame) -> pd.DataFrame:
    """Returns the most common opening hour of each carrier that has 30 windows in local time."""
    rows = over_accounts(windows).sort_values("carrier")
    rows = rows[rows["windows_with_zone"] >= ENOUGH_TO_COMPARE]
    columns: dict[str, tuple[str, str] | str] = {
        "carrier": "carrier",
        "windows_with_zone": ("windows", COUNT),
        "most_common_opening_hour_local": ("most common hour", "{:.0f}:00"),
        "most_common_opening_hour_share": ("share", SHARE),
        "weekend_share": ("on weekends", SHARE),
        "median_window_hours": ("length, h", HOURS),
        "median_lead_time_hours": ("lead time, h", HOURS),
    }
    return table(rows, columns)


def upcoming(upcoming: pd.DataFrame) -> pd.DataFrame:
    """Returns what is to come on the next day with pickups, by carrier and hour."""
    rows = over_accounts(upcoming)
    rows = rows[rows["window_opens_day_local"] == rows["window_opens_day_local"].min()]
    rows = rows.sort_values(["carrier", "window_opens_hour_local"])
    columns: dict[str, tuple[str, str] | str] = {
        "carrier": "carrier",
        "window_opens_day_local": ("day", "{:%Y-%m-%d}"),
        "window_opens_hour_local": ("opens, local", "{:.0f}:00"),
        "pickups": ("pickups", COUNT),
        "pending": ("still announcing", COUNT),
        "expected_cancellations": ("expected cancellations", HOURS),
    }
    return table(rows, columns)


def stuck(stuck: pd.DataFrame, most: int = 20) -> pd.DataFrame:
    """Returns the stuck pickups that have waited longest, with what is needed to ask about them."""
    rows = stuck.sort_values("hours_waiting", ascending=False)[:most]
    columns: dict[str, tuple[str, str] | str] = {
        "account": "account",
        "pickup_id": "id",
        "carrier": "carrier",
        "country": "country",
        "tracking_number": "tracking number",
        "created_at_utc": ("booked, UTC", TIME),
        "pickup_from_utc": ("window opens, UTC", TIME),
        "hours_waiting": ("hours waiting", COUNT),
    }
    return table(rows, columns)


def failed_runs(runs: pd.DataFrame, most: int = 5) -> pd.DataFrame:
    """Returns the last failed runs and their errors."""
    rows = in_order_of_runs(runs)
    rows = rows[~rows["has_succeeded"].astype(bool)].tail(most)
    return table(rows, {"started_at_utc": ("began, UTC", TIME), "account": "account", "error": "error"})


def quarantine(quarantine: pd.DataFrame) -> pd.DataFrame:
    """Returns why records are in quarantine, the most frequent reason first."""
    rows = quarantine[~quarantine["is_resolved"].astype(bool)]
    reasons = rows.groupby("reason").agg(records=("record_hash", "size"), seen=("last_seen_at_utc", "max"))
    rows = reasons.sort_values("records", ascending=False).reset_index()
    return table(rows, {"reason": "reason", "records": ("records", COUNT), "seen": ("last seen, UTC", TIME)})


def findings(runs: pd.DataFrame) -> pd.DataFrame:
    """Returns what the checks of each account's last successful run found."""
    last = {run["account"]: run for run in in_order(records(runs)) if run["has_succeeded"]}
    found = [
        (account, check, rows, ", ".join(json.loads(run["new_words"] or "{}").get(check, [])) or NONE)
        for account, run in last.items()
        for check, rows in failed_checks(run).items()
    ]
    return pd.DataFrame(found, columns=["account", "check", "rows", "new words"]).set_index("account")


def conflicts(cancellations: pd.DataFrame) -> pd.DataFrame:
    """Returns the carriers that list pickups as `Created` although they have a cancellation time."""
    rows = whole_carriers(cancellations)
    rows = rows[rows["status_conflicts"] > 0].assign(share=lambda of: of["status_conflicts"] / of["pickups"])
    columns: dict[str, tuple[str, str] | str] = {"carrier": "carrier", "pickups": ("pickups", COUNT)}
    return table(rows, columns | {"status_conflicts": ("in conflict", COUNT), "share": ("share", SHARE)})


def save(rows: pd.DataFrame, path: str | Path) -> Path:
    """Writes every column and row to a CSV or Parquet file, and returns the file's absolute path.

    A spreadsheet that opens the CSV file never evaluates text from the data as a formula.

    Args:
        rows: the rows of a view or of a query.
        path: the file, which ends in `.csv` or `.parquet`. An existing file is replaced.

    Raises:
        ValueError: the path has another ending.
    """
    file = Path(path).absolute()
    if file.suffix == ".parquet":
        rows.to_parquet(file, index=False)
    elif file.suffix == ".csv":
        rows.astype(object).map(csv_cell, na_action="ignore").to_csv(file, index=False)
    else:
        raise ValueError(f"{file.name} must end in .csv or .parquet")
    return file
