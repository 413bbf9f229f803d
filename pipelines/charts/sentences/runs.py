"""Says whether runs succeed, in which order the API lists pickups, and what could not be loaded."""

from __future__ import annotations

import json

import pandas as pd

from pipelines.charts.rows import in_order_of_runs, last_successes
from pipelines.charts.words import Sentence, joined, plain, some

NOTHING = Sentence("There is nothing to look at yet: no run has been recorded.")


def run_headline(runs: pd.DataFrame) -> str:
    """Returns how many runs succeeded, and the longest time without news."""
    good = runs[runs["has_succeeded"].astype(bool)]
    if not len(good):
        return "No run has succeeded yet"
    gaps = runs["hours_since_last_success"].dropna()
    longest = f", the longest time without news was {some_hours(gaps.max())}" if len(gaps) else ""
    return f"{len(good):,} of {some(len(runs), 'run')} succeeded{longest}"


def some_hours(hours: float) -> str:
    """Returns a time in the unit that suits it."""
    return (
        f"{60 * hours:,.0f} minutes"
        if hours < 2
        else f"{hours:,.1f} hours"
        if hours < 48
        else f"{hours / 24:,.1f} days"
    )


def runs(runs: pd.DataFrame) -> Sentence:
    """Returns how many runs succeeded, how old the data are, and how long a run takes.

    Args:
        runs: the rows of `runs`.
    """
    if not len(runs):
        return NOTHING
    good = last_successes(runs)
    if not len(good):
        return Sentence(f"**{run_headline(runs)}.**")
    seconds = runs[runs["has_succeeded"].astype(bool)]["seconds"].dropna()
    last = f"The last success saw the API at {good['observed_at_utc'].max():%Y-%m-%d %H:%M} UTC."
    took = f"The median run took {seconds.median():.1f} seconds." if len(seconds) else ""
    return joined(f"**{run_headline(runs)}.**", last, took)


def order(runs: pd.DataFrame) -> Sentence:
    """Returns in how many runs the API listed the newest pickups first, and where the runs stopped."""
    seen = runs["is_newest_first"].dropna()
    if not len(seen):
        return Sentence()
    stops = runs["stopped_because"].value_counts()
    return Sentence(
        f"**{int(seen.sum()):,} of {some(len(seen), 'run')} found the list newest first.** "
        f"{stops.get('frontier', 0):,} stopped at the frontier, and {stops.get('end', 0):,} read to the end."
    )


def sweeps(runs: pd.DataFrame) -> Sentence:
    """Returns what the newest sweep found, or that there has been none."""
    if not len(runs):
        return Sentence()
    swept = in_order_of_runs(runs)
    swept = swept[swept["sweep"] == "complete"]
    if not len(swept):
        return Sentence(
            "**No sweep has been made yet** (`pickups run --sweep`), so changes made long after a window are not known."
        )
    last = swept.iloc[-1]
    return Sentence(
        f"The newest of {some(len(swept), 'sweep')} found **{int(last['rows_missed']):,} pickups changed outside the "
        f"frontier**, and {int(last['rows_unlisted']):,} that the API no longer lists."
    )


def quarantine(quarantine: pd.DataFrame) -> Sentence:
    """Returns how many records could not be loaded.

    Args:
        quarantine: the rows of `quarantine`.
    """
    resolved = int(quarantine["is_resolved"].astype(bool).sum())
    waiting = len(quarantine) - resolved
    loaded = f"{some(resolved, 'record that was there', 'records that were there')} could be loaded later."
    there = some(waiting, "record is", "records are") if waiting else "No record is"
    return joined(
        f"**{there} in quarantine.**",
        loaded if resolved else "",
    )


def unknown_fields(runs: pd.DataFrame) -> Sentence:
    """Returns the names of the fields that this program does not know."""
    names = sorted({field for text in runs["unknown_fields"].dropna() for field in json.loads(text)})
    if not len(runs):
        return Sentence()
    return Sentence(f"Unknown fields, kept in `extra`: {plain(', '.join(names))}." if names else "No field is unknown.")
