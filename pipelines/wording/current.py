"""Says what is still to come, what is stuck, how fast carriers accept pickups, and which windows were moved."""

from __future__ import annotations

from pipelines.output import visible
from pipelines.wording.numbers import count, counts, day, percent
from pipelines.wording.rows import ENOUGH_TO_COMPARE, Rows, Texts, sums


def expected_cancellations(upcoming: Rows) -> str:
    """Returns how many of the pickups to come will probably be cancelled, or an empty text without pickups."""
    known = [row for row in upcoming if row["expected_cancellations"] is not None]
    if not known:
        return "Too few past pickups to say how many will be cancelled." if upcoming else ""
    (expected,), (left_out,) = sums(known, "expected_cancellations"), sums(upcoming, "without_estimate")
    words = f"About {expected:,.0f}" if expected >= 0.95 else "Fewer than one"
    return f"{words} will probably still be cancelled{f' ({left_out:,.0f} without an estimate)' if left_out else ''}."


def next_day(upcoming: Rows) -> str:
    """Returns how many pickups the next day with pickups has."""
    if not upcoming:
        return "No later pickup is booked."
    first = min(row["window_opens_day_local"] for row in upcoming)
    (pickups,) = sums([row for row in upcoming if row["window_opens_day_local"] == first], "pickups")
    return f"Next: {count(pickups, 'pickup')} on {day(first)}."


def upcoming(upcoming: Rows) -> Texts:
    """Returns what is to come on the next day and in all.

    Args:
        upcoming: rows of `upcoming_pickups`.
    """
    if not upcoming:
        return [next_day(upcoming)]
    first, last = (pick(row["window_opens_day_local"] for row in upcoming) for pick in (min, max))
    pickups, pending = sums(upcoming, "pickups", "pending")
    told = counts([(pending, "is still announcing", "are still announcing")])
    return [
        next_day(upcoming),
        expected_cancellations([row for row in upcoming if row["window_opens_day_local"] == first]),
        f"In all, {count(pickups, 'pickup is', 'pickups are')} to come until {day(last)}.",
        expected_cancellations(upcoming) if last > first else "",
        f"{told}." if told else "",
    ]


def stuck_words(by_carrier: dict[str, int]) -> str:
    """Returns which carriers have most of the stuck pickups."""
    if not by_carrier:
        return "No pickup waits too long for its carrier."
    largest = sorted(by_carrier.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{visible(carrier)} {number:,}" for carrier, number in largest[:3])
    return f"Not accepted by the carrier in time: {shown}{' and others' if len(largest) > 3 else ''}."


def stuck(stuck: Rows) -> Texts:
    """Returns how many pickups need a look, and why.

    Args:
        stuck: the rows of `stuck_pickups`.
    """
    if not stuck:
        return ["No pickup is stuck."]
    ended = sum(bool(row["has_window_ended"]) for row in stuck)
    by_carrier: dict[str, int] = {}
    for row in stuck:
        by_carrier[row["carrier"]] = by_carrier.get(row["carrier"], 0) + 1
    worst = max(stuck, key=lambda row: row["hours_waiting"])
    why = counts(
        [
            (ended, "because its window has ended", "because their windows have ended"),
            (
                len(stuck) - ended,
                "because it waits for longer than 99% of acceptances took",
                "because they wait for longer than 99% of acceptances took",
            ),
        ]
    )
    return [
        f"{count(len(stuck), 'pickup is', 'pickups are')} stuck: {why}.",
        stuck_words(by_carrier),
        f"The longest has waited for {worst['hours_waiting'] / 24:,.1f} days, with {visible(worst['carrier'])}.",
    ]


def acceptance(times: Rows) -> Texts:
    """Returns how soon carriers accept pickups, as far as runs have observed it.

    Args:
        times: rows of `acceptance_times`.
    """
    every = [row for row in times if row["is_every_carrier"]]
    (accepted,) = sums(every, "accepted")
    if not times:
        return []
    if not accepted:
        return ["No acceptance has been observed yet."]
    if accepted < ENOUGH_TO_COMPARE:
        seen = count(accepted, "acceptance has been", "acceptances have been")
        return [f"Only {seen} observed so far, too few to say how long an acceptance takes."]
    (row,) = every
    share = row["accepted_at_first_observation_share"]
    vague = "Most had been accepted before a run first saw them, so the times mainly show how often runs take place."
    return [
        f"Half of {count(accepted, 'acceptance')} came within {row['median_hours_to_acceptance']:.1f} hours, "
        f"and 99% within {row['p99_hours_to_acceptance']:.1f} hours.",
        f"{percent(share)} had been accepted when a run first saw them.",
        vague if share > 0.5 else "",
    ]


def moved(moved: Rows) -> Texts:
    """Returns how many windows were moved after the booking.

    Args:
        moved: rows of `moved_windows`, one per carrier.
    """
    watched, number, later, earlier = sums(moved, "watched", "moved", "moved_later", "moved_earlier")
    if not watched:
        return ["No pickup has been observed both before and after its window could move."] if moved else []
    return [
        f"{number:,.0f} of {count(watched, 'watched window')} moved ({percent(number / watched)}).",
        f"{later:,.0f} moved to a later time and {earlier:,.0f} to an earlier one.",
    ]
