"""Says which carriers and countries stand out, from the rows of `carrier_cancellations`."""

from __future__ import annotations

import pandas as pd

from pipelines.charts.rows import countries, each, standing, total, whole_carriers
from pipelines.charts.words import Sentence, joined, listed, percent, plain, points, some


def standing_words(groups: pd.DataFrame, rate: str, stands_out: str, over_all: float | None, kind: str) -> str:
    """Returns the groups that stand out, or that none does.

    Args:
        groups: the groups in order, each with a `name`.
        rate: the column of the rate.
        stands_out: the column of the view that says whether a group stands out.
        over_all: the rate of all groups together, or None if they are not compared with each other.
        kind: what a group is, such as "carrier".
    """
    told = []
    for side in ("higher", "lower"):
        rows = groups[groups[stands_out] == side]
        names = [f"{name} ({percent(share)})" for name, share in zip(rows["name"], rows[rate], strict=True)]
        told += [f"{side.capitalize()} than the others: {listed(names)}"] if names else []
    none = f"No {kind} stands out" + (f": {percent(over_all)} over all" if over_all is not None else "")
    return ". ".join(told) or none


def differences(groups: pd.DataFrame) -> str:
    """Returns how far each group that stands out is from the others, with the interval of the difference."""
    told = [
        f"{row.name} {100 * row.difference:+.1f} percentage points "
        f"(95 % interval {points(row.difference_low, row.difference_high)})"
        for row in each(standing(groups))
    ]
    return f"Difference from the others: {listed(told)}." if told else ""


def cancellation_headline(cancellations: pd.DataFrame) -> str:
    """Returns which carriers stand out."""
    rated = _rated(cancellations)
    counts = total(rated)
    if not len(rated):
        return "There is nothing to rate yet"
    if not counts.mature_cancelled:
        return "No mature pickup was cancelled"
    rate = counts.mature_cancelled / counts.rated
    if len(rated) == 1:
        return f"{percent(rate)} were cancelled, all of them with {rated['carrier'].iloc[0]}"
    return standing_words(rated, "cancellation_rate", "stands_out", rate, "carrier")


def cancellation_rates(cancellations: pd.DataFrame) -> Sentence:
    """Returns which carriers stand out, by how much, and the rate of all carriers."""
    rated = _rated(cancellations)
    if not len(rated):
        return Sentence()
    counts = total(rated)
    few = rated[rated["clustered_by"] == "assumption"]["carrier"]
    assumed = f"Fewer than ten clusters, so wide by assumption: {listed(few)}." if len(few) else ""
    return joined(
        f"**{plain(cancellation_headline(cancellations))}.**",
        plain(differences(rated)),
        f"Cancelled: {counts.mature_cancelled:,} of {some(counts.rated, 'pickup')}, "
        f"{percent(counts.mature_cancelled / counts.rated)}.",
        plain(assumed),
    )


def failure_headline(cancellations: pd.DataFrame) -> str:
    """Returns which carriers fail more or less often than the others."""
    rows = failed(cancellations)
    counts = total(rows)
    if not len(rows) or not counts.mature_failed:
        return "No mature pickup failed"
    rate = counts.mature_failed / counts.failure_n
    if len(rows) == 1:
        return f"{percent(rate)} failed, all of them with {rows['carrier'].iloc[0]}"
    return standing_words(rows, "failure_rate", "failure_stands_out", rate, "carrier")


def failure_rates(cancellations: pd.DataFrame) -> Sentence:
    """Returns which carriers stand out by their failures, the rate of all carriers, and how many pickups are stuck."""
    rows = failed(cancellations)
    if not len(rows):
        return Sentence()
    counts = total(rows)
    stuck = total(whole_carriers(cancellations)).mature_pending
    pending = f"{some(stuck, 'more pickup is', 'more pickups are')} stuck: still announcing after the window."
    return joined(
        f"**{plain(failure_headline(cancellations))}.**",
        f"Failed: {counts.mature_failed:,} of {some(counts.failure_n, 'pickup')}, "
        f"{percent(counts.mature_failed / counts.failure_n)}.",
        pending if stuck else "",
    )


def country_headline(cancellations: pd.DataFrame) -> str:
    """Returns which countries stand out within their carrier."""
    rows = countries(cancellations)
    if not len(standing(rows)):
        return "No country stands out with any carrier"
    return standing_words(rows, "cancellation_rate", "stands_out", None, "country")


def country_rates(cancellations: pd.DataFrame) -> Sentence:
    """Returns which countries stand out within their carrier, and by how much."""
    rows = countries(cancellations)
    if not len(rows):
        return Sentence()
    if not rows["carrier"].duplicated().any():
        return Sentence("There is nothing to compare: no carrier has 30 rated pickups in each of two countries.")
    return joined(
        f"**{plain(country_headline(cancellations))}.**",
        plain(differences(rows)),
        "The countries of each carrier are compared separately. Even without any difference, about one carrier in "
        "twenty would be named.",
    )


def late_headline(cancellations: pd.DataFrame) -> str:
    """Returns what share of the cancellations that could have been early was late."""
    counts = total(whole_carriers(cancellations))
    ahead, late = counts.mature_cancelled_booked_ahead, counts.mature_late_cancellations_booked_ahead
    if not ahead:
        return "No pickup that was booked a day ahead was cancelled"
    return f"Booked a day ahead or more: {late / ahead:.0%} of cancellations are late"


def late_cancellations(cancellations: pd.DataFrame) -> Sentence:
    """Returns how many cancellations were late, and which of them could have been early."""
    counts = total(whole_carriers(cancellations))
    if not counts.mature_cancelled:
        return Sentence()
    ahead, late = counts.mature_cancelled_booked_ahead, counts.mature_late_cancellations_booked_ahead
    share = f" ({percent(late / ahead)})" if ahead else ""
    return Sentence(
        f"**{late:,} of {some(ahead, 'cancellation')}{share}** of pickups booked at least 24 hours ahead came less "
        f"than 24 hours before the window opened. This share leaves out "
        f"{some(counts.mature_cancelled - ahead, 'cancellation')} of other pickups. "
        f"In all, {counts.mature_cancelled_after_start:,} came after the window had opened."
    )


def failed(cancellations: pd.DataFrame) -> pd.DataFrame:
    """Returns the carriers that have a failure rate, in the order of `failure_rank`, each with a `name`."""
    rows = whole_carriers(cancellations)
    rows = rows[rows["failure_n"] > 0].sort_values(["failure_rank", "carrier"], ignore_index=True)
    return rows.assign(name=rows["carrier"])


def _rated(cancellations: pd.DataFrame) -> pd.DataFrame:
    rows = whole_carriers(cancellations)
    rows = rows[rows["rated"] > 0]
    return rows.assign(name=rows["carrier"])
