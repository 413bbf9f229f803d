"""Says what has changed, who differs like with like, and what was only moved."""

from __future__ import annotations

from pipelines.output import visible
from pipelines.wording.numbers import NONE, count, day, difference, names, percent, points, short_day
from pipelines.wording.rows import SIDES, Row, Rows, Texts, sums

UNCERTAIN = 0.5  # above this share of rebookings by chance, little can be known of a carrier's net rate


def change_text(change: Row | None) -> str:
    """Returns a change in percentage points, with a mark if it is more than chance."""
    if change is None or change["difference"] is None:
        return NONE
    mark = ("▲ " if change["difference"] > 0 else "▼ ") if change["is_more_than_chance"] else ""
    return mark + points(change["difference"])


def change_words(change: Row | None) -> str:
    """Returns the periods, the rates at one mix, and the interval of a change."""
    if change is None or change["difference"] is None or change["difference_low"] is None:
        return "Too few pickups in the last eight weeks to compare"
    rates = [percent(change[f"{period}_rate_at_one_mix"]) for period in ("before", "now")]
    certain = "more than chance" if change["is_more_than_chance"] else "can be chance"
    return (
        f"{rates[0]} in the four weeks before {short_day(change['now_starts_utc'])}, {rates[1]} in the four weeks "
        f"after, at one mix; difference {difference(change)}, {certain}"
    )


def changes(changes: Rows) -> Texts:
    """Returns the carriers whose rate has changed by more than chance, with the interval of the difference.

    Args:
        changes: rows of `cancellation_changes`, one per carrier.
    """
    rows = sorted((row for row in changes if row["difference"] is not None), key=lambda row: -row["difference"])
    if not rows:
        return ["There are no two periods of four weeks to compare yet."] if changes else []
    changed = [(visible(row["carrier"]), row) for row in rows if row["is_more_than_chance"]]
    rates = [
        f"{name} {percent(row['before_rate_at_one_mix'])} before, {percent(row['now_rate_at_one_mix'])} now"
        for name, row in changed
    ]
    begin, end = max(row["now_starts_utc"] for row in rows), max(row["now_ends_utc"] for row in rows)
    return [
        f"Changed by more than chance: {names(rates)}."
        if rates
        else "No carrier's rate has changed by more than chance.",
        f"This compares the windows that ended from {day(begin)} until {day(end)} with those of the four weeks before.",
        f"Difference: {names([f'{name} {difference(row)}' for name, row in changed])}." if changed else "",
    ]


def ratio(expected: Row | None) -> str:
    """Returns observed / expected cancellations, with a mark if the carrier stands out."""
    if expected is None or expected["ratio"] is None or expected["ratio_low"] is None:
        return NONE
    mark = {"higher": " ▲", "lower": " ▼"}.get(expected["stands_out"] or "", "")
    return f"{expected['ratio']:.2f}{mark}"


def ratio_words(expected: Row | None) -> str:
    """Returns the cancellations that were observed and expected, with the interval of their ratio."""
    if expected is None or expected["ratio"] is None or expected["ratio_low"] is None:
        return "Nothing comparable: no other carrier has pickups like these"
    return f"{expected['observed']:,.0f} observed, {expected['expected']:.1f} expected; {_ratio_interval(expected)}"


def _ratio_interval(expected: Row) -> str:
    return f"95% interval {expected['ratio_low']:.2f} to {expected['ratio_high']:.2f}"


def expected(expected: Rows) -> Texts:
    """Returns which carriers stand out like with like, with the intervals of their ratios.

    Args:
        expected: rows of `carrier_expected`, one per carrier.
    """
    rows = sorted((row for row in expected if row["ratio"] is not None), key=lambda row: -row["ratio"])
    if len(rows) < 2:
        return []
    told = []
    for side, words in zip(SIDES, ("More cancellations than expected", "Fewer than expected"), strict=True):
        found = [row for row in rows if row["stands_out"] == side]
        named = [
            f"{visible(row['carrier'])} ({row['ratio']:.2f} times, {_ratio_interval(row)})"
            for row in (found if side == "higher" else found[::-1])
        ]
        told += [f"{words}: {names(named)}."] if named else []
    little = [row["carrier"] for row in rows if row["comparable_share"] < 0.5]
    return [
        " ".join(told) or "Like with like, no carrier stands out.",
        f"Less than half of the pickups can be compared: {names(little)}." if little else "",
    ]


def is_clear(net: Row) -> bool:
    """Returns whether a rebooking can be told from the next day's booking."""
    return (net["rebooked_by_chance_share"] or 0) <= UNCERTAIN


def net_rates(net: Rows) -> Texts:
    """Returns how many cancellations were rebooked on purpose, and of which carriers that can't be told.

    Args:
        net: rows of `carrier_net_cancellations`, one per carrier.
    """
    rows = [row for row in net if row["net_rated"]]
    if not sums(rows, "mature_cancelled")[0]:
        return []
    clear = [row for row in rows if is_clear(row)]
    vague = sorted(row["carrier"] for row in rows if not is_clear(row))
    cancelled, kept_out = sums(clear, "mature_cancelled", "net_cancelled")
    moved = round(cancelled - kept_out)
    finding = f"{moved:,} of {count(cancelled, 'cancellation')} were rebooked within a day, beyond chance."
    if not clear:
        return ["Bookings are too dense to tell a rebooking from the next day's pickup."]
    left_out = f"This leaves out {names(vague)}, where another booking always follows within a day."
    return [finding, left_out if vague else "This covers every carrier."]
