"""Says what is still to come, what is stuck, how fast carriers accept pickups, and which windows were moved."""

from __future__ import annotations

import pandas as pd

from pipelines.charts.rows import ENOUGH_TO_COMPARE, over_accounts
from pipelines.charts.words import Sentence, count_words, joined, percent, plain, some


def upcoming_headline(upcoming: pd.DataFrame) -> str:
    """Returns how many pickups the next day with pickups has, and how many of them will probably be cancelled."""
    rows = over_accounts(upcoming)
    if not len(rows):
        return "No window is still to open"
    day = rows["window_opens_day_local"].min()
    found = rows[rows["window_opens_day_local"] == day]
    return f"Next, on {day:%A %Y-%m-%d}: {some(found['pickups'].sum(), 'pickup')}{_expected(found)}"


def upcoming(upcoming: pd.DataFrame) -> Sentence:
    """Returns what is to come on the next day and in all.

    Args:
        upcoming: the rows of `upcoming_pickups`.
    """
    rows = over_accounts(upcoming)
    if not len(rows):
        return Sentence("No window is still to open.")
    last = rows["window_opens_day_local"].max()
    told = count_words(
        [
            (rows["pending"].sum(), "is still announcing", "are still announcing"),
            (rows["without_estimate"].sum(), "has no estimate", "have no estimate"),
        ]
    )
    whole = f"{some(rows['pickups'].sum(), 'window opens', 'windows open')} until {last:%Y-%m-%d}{_expected(rows)}"
    return joined(
        f"**{upcoming_headline(upcoming)}.**", f"In all, {whole}.", f"{told[:1].upper()}{told[1:]}." if told else ""
    )


def stuck(stuck: pd.DataFrame) -> Sentence:
    """Returns how many pickups need a look, and why.

    Args:
        stuck: the rows of `stuck_pickups`.
    """
    if not len(stuck):
        return Sentence("**No pickup is stuck.**")
    ended = int(stuck["has_window_ended"].astype(bool).sum())
    why = [f"the window of {ended:,} has ended"] if ended else []
    if waiting := len(stuck) - ended:
        why.append(f"{waiting:,} {'has' if waiting == 1 else 'have'} waited for longer than 99 % of acceptances took")
    worst = plain(stuck.sort_values("hours_waiting", ascending=False)["carrier"].iloc[0])
    return Sentence(
        f"**{some(len(stuck), 'pickup is', 'pickups are')} still announcing**: {', and '.join(why)}. The longest has "
        f"waited for {stuck['hours_waiting'].max() / 24:,.1f} days, with {worst}."
    )


def acceptance(times: pd.DataFrame) -> Sentence:
    """Returns how soon carriers accept pickups, as far as runs have observed it.

    Args:
        times: the rows of `acceptance_times`.
    """
    rows = over_accounts(times)
    every = rows[rows["is_every_carrier"].astype(bool)]
    accepted = every["accepted"].sum()
    if len(rows) and not accepted:
        return Sentence("No acceptance has been observed yet.")
    if not len(every) or accepted < ENOUGH_TO_COMPARE:
        seen = some(accepted, "acceptance has been", "acceptances have been")
        return (
            Sentence(f"Only {seen} observed so far, too few to say how long an acceptance takes.")
            if len(rows)
            else Sentence()
        )
    row = every.iloc[0]
    share = row["accepted_at_first_observation_share"]
    vague = "Most had been accepted before a run first saw them, so the times mainly show how often runs take place."
    return joined(
        f"**Half of {some(accepted, 'acceptance')} came within {row['median_hours_to_acceptance']:.1f} hours**, "
        f"and 99 % within {row['p99_hours_to_acceptance']:.1f} hours.",
        f"{percent(share)} had been accepted when a run first saw them.",
        vague if share > 0.5 else "",
    )


def moved(moved: pd.DataFrame) -> Sentence:
    """Returns how many windows were moved after the booking.

    Args:
        moved: the rows of `moved_windows`.
    """
    rows = over_accounts(moved)
    watched, count = rows["watched"].sum(), rows["moved"].sum()
    if not watched:
        return (
            Sentence("No pickup has been observed both before and after its window could move.")
            if len(rows)
            else Sentence()
        )
    return Sentence(
        f"**{count:,} of {some(watched, 'watched window')} moved ({percent(count / watched)})**: "
        f"{rows['moved_later'].sum():,} to a later time and {rows['moved_earlier'].sum():,} to an earlier one."
    )


def _expected(rows: pd.DataFrame) -> str:
    cancelled = rows["expected_cancellations"].astype(float)
    return f", of which about {cancelled.sum():.0f} will still be cancelled" if cancelled.notna().any() else ""
