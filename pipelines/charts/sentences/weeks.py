"""Says how complete the weeks are, what the early signal shows, and how soon pickups are cancelled."""

from __future__ import annotations

from datetime import date

import pandas as pd

from pipelines.charts.rows import over_accounts, whole_weeks
from pipelines.charts.words import Sentence, percent, some


def weeks(weekly: pd.DataFrame, since: str | date | None = None, until: str | date | None = None) -> Sentence:
    """Returns how many weeks are complete.

    Args:
        weekly: the rows of `carrier_cancellations_weekly`, with `by="booking"`.
        since: the earliest booking in `weekly`.
        until: the time before which the bookings in `weekly` were made.
    """
    rows = whole_weeks(weekly, since, until)
    if not (rows["rated"] > 0).any():
        return Sentence()
    is_whole = rows.groupby("booked_week_local_start")["is_whole"].all()
    cut = ", or `since` or `until` cuts into them" if since or until else ""
    complete = some(is_whole.sum(), "week is", "weeks are") if is_whole.any() else "No week is"
    return Sentence(f"**{complete} complete for every carrier**, {(~is_whole).sum():,} not yet{cut}.")


def early_headline(weekly: pd.DataFrame) -> str:
    """Returns the share of all carriers' pickups of the last complete week that were cancelled within 48 hours."""
    rows = over_accounts(weekly)
    rows = rows[rows["is_early_signal_complete"].astype(bool) & (rows["watched_48_hours"] > 0)]
    if not len(rows):
        return "No week has an early signal yet"
    last = rows[rows["booked_week_local_start"] == rows["booked_week_local_start"].max()]
    n, k = last["watched_48_hours"].sum(), last["cancelled_within_48_hours"].sum()
    return (
        f"Booked in the week of {last['booked_week_local_start'].max():%Y-%m-%d}: {percent(k / n)} of "
        f"{some(n, 'pickup')} cancelled within 48 hours"
    )


def early_signal(weekly: pd.DataFrame) -> Sentence:
    """Returns what the last complete week's early signal is."""
    if not over_accounts(weekly)["watched_48_hours"].sum():
        return Sentence()
    return Sentence(f"**{early_headline(weekly)}.**")


def age_headline(timing: pd.DataFrame) -> str:
    """Returns how soon half of a carrier's cancellations have come, from the shortest time to the longest."""
    halves = over_accounts(timing).groupby("carrier")["half_age_hours"].first().dropna()
    if not len(halves):
        return "Nothing was cancelled within 30 days of its booking"
    low, high = int(halves.min()), int(halves.max())
    hours = some(low, "hour") if low == high else f"{low:,} to {high:,} hours, depending on the carrier"
    return f"Half of the cancellations come within {hours}"


def by_age(timing: pd.DataFrame) -> Sentence:
    """Returns how soon half of the cancellations have come, and how many there are.

    Args:
        timing: the rows of `cancellation_timing`.
    """
    rows = over_accounts(timing)
    if not len(rows):
        return Sentence()
    came = rows["cancelled"].sum()
    counted = f" {some(came, 'cancellation')} came within 30 days of the booking." if came else ""
    return Sentence(f"**{age_headline(timing)}.**{counted}")
