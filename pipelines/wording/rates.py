"""Says which carriers, countries and bands stand out by their rates, and how many pickups the rates count."""

from __future__ import annotations

from typing import NamedTuple

from pipelines.output import visible
from pipelines.wording.numbers import NONE, count, difference, names, percent
from pipelines.wording.rows import ENOUGH_TO_COMPARE, SIDES, Row, Rows, Texts, sums

MARKS = {"higher": "▲ higher", "lower": "▼ lower", "no": "no clear difference"}
CARRIERS, COUNTRIES = "the other carriers", "the same carrier's other countries"


class Outcome(NamedTuple):
    """An outcome of a finished pickup, with the columns that count and rate it."""

    verb: str
    past: str
    k: str
    n: str
    rate: str
    stands_out: str


CANCELLED = Outcome("cancelled", "was cancelled", "mature_cancelled", "rated", "cancellation_rate", "stands_out")
FAILED = Outcome("failed", "failed", "mature_failed", "failure_n", "failure_rate", "failure_stands_out")


def k_of_n(k: float, n: float) -> str:
    """Returns how many finished pickups had an outcome, such as "30 of 120 finished pickups"."""
    return f"{k:,.0f} of {count(n, 'finished pickup')}"


def standing(carriers: Rows, outcome: Outcome = CANCELLED) -> str:
    """Returns which carriers stand out, or that none does. The text is empty if no carrier has a rate.

    Args:
        carriers: rows of `carrier_cancellations`, one per carrier.
        outcome: the outcome to compare.
    """
    rated = [row for row in carriers if row[outcome.n]]
    k, n = sums(rated, outcome.k, outcome.n)
    if not rated:
        return ""
    if len(rated) == 1:
        return f"{visible(rated[0]['carrier'])} is the only carrier with a rate, so there is nothing to compare."
    if not k:
        return f"No finished pickup {outcome.past}."
    named = [(visible(row["carrier"]), row) for row in rated]
    none = f"No carrier stands out: {percent(k / n)} over all, and the differences can be chance."
    return _sides(named, outcome, CARRIERS) or none


def unclear(carriers: Rows) -> str:
    """Returns which carriers can't be told apart if others stand out."""
    rated = [row for row in carriers if row["rated"]]
    others = [row["carrier"] for row in rated if row["stands_out"] not in SIDES]
    return f"Can't be told apart from the others: {names(others)}." if 0 < len(others) < len(rated) else ""


def _sides(named: list[tuple[str, Row]], outcome: Outcome, others: str) -> str:
    words = dict(zip(SIDES, (f"{outcome.verb.capitalize()} more often than {others}", "Less often"), strict=True))
    if not any(row[outcome.stands_out] == "higher" for _, row in named):
        words["lower"] = f"{outcome.verb.capitalize()} less often than {others}"
    told = []
    for side in SIDES:
        found = [(name, row[outcome.rate]) for name, row in named if row[outcome.stands_out] == side]
        found.sort(key=lambda item: item[1], reverse=side == "higher")
        told += [f"{words[side]}: {names([f'{name} ({percent(rate)})' for name, rate in found])}."] if found else []
    return " ".join(told)


def differences(named: list[tuple[str, Row]]) -> str:
    """Returns how far each group that stands out is from the others, the greatest difference first."""
    out = [(name, row) for name, row in named if row["stands_out"] in SIDES]
    out.sort(key=lambda item: -item[1]["difference"])
    told = names([f"{name} {difference(row)}" for name, row in out])
    return f"Difference from the others: {told}." if told else ""


def cancellation_rates(carriers: Rows) -> Texts:
    """Returns which carriers stand out, by how much, and the rate of all carriers.

    Args:
        carriers: rows of `carrier_cancellations`, one per carrier.
    """
    rated = [row for row in carriers if row["rated"]]
    if not rated:
        return []
    cancelled, n = sums(rated, "mature_cancelled", "rated")
    few = [row["carrier"] for row in rated if row["clustered_by"] == "assumption"]
    return [
        standing(rated),
        differences([(visible(row["carrier"]), row) for row in rated]),
        f"Cancelled: {k_of_n(cancelled, n)}, {percent(cancelled / n)}.",
        f"Fewer than ten clusters, so wide by assumption: {names(few)}." if few else "",
    ]


def failure_rates(carriers: Rows) -> Texts:
    """Returns which carriers stand out by their failures, the rate of all carriers, and how many pickups are stuck."""
    rated = [row for row in carriers if row["failure_n"]]
    if not rated:
        return []
    failed, n = sums(rated, "mature_failed", "failure_n")
    (stuck,) = sums(carriers, "mature_pending")
    pending = f"{count(stuck, 'more pickup is', 'more pickups are')} stuck: still announcing after the window."
    return [
        standing(rated, FAILED),
        f"Failed: {k_of_n(failed, n)}, {percent(failed / n)}.",
        pending if stuck else "",
    ]


def country_rates(countries: Rows) -> Texts:
    """Returns which countries stand out within their carrier, and by how much.

    Args:
        countries: rows of `carrier_cancellations`, one per carrier and country.
    """
    rated = [row for row in countries if row["rated"] >= ENOUGH_TO_COMPARE]
    if not rated:
        return []
    if len({row["carrier"] for row in rated}) == len(rated):
        return ["There is nothing to compare: no carrier has 30 rated pickups in each of two countries."]
    named = [(f"{visible(row['carrier'])} in {visible(row['country'])}", row) for row in rated]
    return [
        _sides(named, CANCELLED, COUNTRIES) or "No country stands out with any carrier.",
        differences(named),
        "The countries of each carrier are compared separately. Even without any difference, about one carrier in "
        "twenty would be named.",
    ]


def late_share(rows: Rows) -> str:
    """Returns the share of late cancellations, of those that could have been early."""
    late, ahead = sums(rows, "mature_late_cancellations_booked_ahead", "mature_cancelled_booked_ahead")
    return percent(late / ahead) if ahead else NONE


def late_count(rows: Rows) -> str:
    """Returns how many cancellations were late, of those that could have been early."""
    late, ahead = sums(rows, "mature_late_cancellations_booked_ahead", "mature_cancelled_booked_ahead")
    if not ahead:
        return "No cancelled pickup was booked at least 24 hours ahead"
    return f"{late:,.0f} of {count(ahead, 'cancelled pickup')} booked at least 24 hours ahead"


def late_cancellations(carriers: Rows) -> Texts:
    """Returns how many cancellations were late, and which of them could have been early."""
    cancelled, ahead, after = sums(
        carriers, "mature_cancelled", "mature_cancelled_booked_ahead", "mature_cancelled_after_start"
    )
    if not cancelled:
        return []
    counted = f"{late_count(carriers)} were late ({late_share(carriers)})." if ahead else f"{late_count(carriers)}."
    return [
        counted,
        "Late means less than 24 hours before the window opened." if ahead else "",
        f"This share leaves out {count(cancelled - ahead, 'cancellation')} of other pickups.",
        f"In all, {after:,.0f} came after the window had opened.",
    ]


def bands(bands: Rows, measure: str) -> Texts:
    """Returns the bands of a measure that stand out, and by how much.

    Args:
        bands: the rows of `cancellations_by_booking` over all carriers, each with a `name`.
        measure: such as "lead time" or "window length".
    """
    title = measure.capitalize()
    if not bands:
        return []
    if len(bands) < 2:
        return [f"{title}: there is nothing to compare."]
    cancelled, n = sums(bands, "mature_cancelled", "rated")
    out = [row for row in bands if row["stands_out"] in SIDES]
    told = names([f"{row['name']} is {row['stands_out']} ({percent(row['cancellation_rate'])})" for row in out])
    none = f"no band stands out, {percent(cancelled / n)} over all"
    return [f"{title}: {told or none}.", differences([(row["name"], row) for row in bands])]
