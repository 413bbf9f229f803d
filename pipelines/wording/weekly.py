"""Says how the rate and the early signal run from week to week, and how soon pickups are cancelled."""

from __future__ import annotations

from pipelines.wording.numbers import count, day, interval, percent, short_day
from pipelines.wording.rows import Row, Rows, Texts, sums

WEEK = "booked_week_local_start"
ENOUGH = 20  # a week with fewer pickups sets no bound


def complete_weeks(weeks: Rows, *, is_cut: bool = False) -> Texts:
    """Returns how many weeks are complete.

    Args:
        weeks: rows of `carrier_cancellations_weekly`, with the value `is_whole`.
        is_cut: whether the first or the last booking that the rows include may lie within a week.
    """
    if not any(row["rated"] for row in weeks):
        return []
    is_whole: dict[object, bool] = {}
    for row in weeks:
        is_whole[row[WEEK]] = is_whole.get(row[WEEK], True) and bool(row["is_whole"])
    whole = sum(is_whole.values())
    cut = " The chosen period may begin or end within a week." if is_cut and whole < len(is_whole) else ""
    return [f"Complete for every carrier: {whole:,} of {count(len(is_whole), 'week')}.{cut}"]


def rate_by_week(weeks: Rows) -> Texts:
    """Returns the rate of the latest complete week, and between which rates the complete weeks lie.

    Args:
        weeks: rows of `carrier_cancellations_weekly`, one per week, the earliest first.
    """
    mature = [row for row in weeks if row["is_week_mature"] and row["rated"]]
    if not mature:
        return ["No week is complete yet."]
    first, last = mature[0], mature[-1]
    told = [
        f"In the week of {day(last[WEEK])}, the latest complete one, {percent(last['cancellation_rate'])} of "
        f"{count(last['rated'], 'pickup')} were cancelled."
    ]
    if len(mature) > 1:
        rates = [row["cancellation_rate"] for row in mature if row["rated"] >= ENOUGH or row in (first, last)]
        bounds = f"between {percent(min(rates))} and {percent(max(rates))}"
        told.append(f"Over {count(len(mature), 'complete week')}, the rate was {bounds}.")
    return told


def week_words(week: Row) -> str:
    """Returns the rate of a week with its interval."""
    bounds = interval(week["cancellation_rate_low"], week["cancellation_rate_high"])
    rated = count(week["rated"], "pickup")
    return f"week of {day(week[WEEK])}: {percent(week['cancellation_rate'])}, 95% interval {bounds}, {rated}"


def early_signal(weeks: Rows) -> Texts:
    """Returns the share of the last complete week's pickups that were cancelled within 48 hours.

    Args:
        weeks: rows of `carrier_cancellations_weekly`.
    """
    if not sums(weeks, "watched_48_hours")[0]:
        return []
    known = [row for row in weeks if row["is_early_signal_complete"] and row["watched_48_hours"]]
    if not known:
        return ["No week has an early signal yet."]
    last = max(row[WEEK] for row in known)
    k, n = sums([row for row in known if row[WEEK] == last], "cancelled_within_48_hours", "watched_48_hours")
    return [
        f"Booked in the week of {short_day(last)}: {k:,.0f} of {count(n, 'pickup')} cancelled within 48 hours "
        f"({percent(k / n)})."
    ]


def half_age(timing: Rows) -> str:
    """Returns how soon half of the cancellations have come, from the shortest time of a carrier to the longest.

    Args:
        timing: rows of `cancellation_timing`.
    """
    halves = [row["half_age_hours"] for row in timing if row["half_age_hours"] is not None]
    if not halves:
        return "No cancellation within 30 days of its booking is known yet."
    low, high = min(halves), max(halves)
    span = count(low, "hour") if low == high else f"{low:,.0f} to {high:,.0f} hours"
    return f"Half of the cancellations come within {span} of the booking{'' if low == high else ', by carrier'}."


def by_age(timing: Rows) -> Texts:
    """Returns how soon half of the cancellations have come, and how many there are."""
    if not timing:
        return []
    (came,) = sums(timing, "cancelled")
    return [half_age(timing), f"{count(came, 'cancellation')} came within 30 days of the booking." if came else ""]
