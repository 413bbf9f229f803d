"""Says what has changed, who differs like with like, and what was only moved."""

from __future__ import annotations

import pandas as pd

from pipelines.charts.rows import SIDES, comparable, each, over_accounts
from pipelines.charts.words import Sentence, joined, listed, percent, plain, points, some

UNCERTAIN = 0.5  # above this share of rebookings by chance, little can be known of a carrier's net rate


def change_headline(changes: pd.DataFrame) -> str:
    """Returns the carriers whose rate has changed by more than chance, or that none has."""
    rows = comparable(changes)
    changed = rows[rows["is_more_than_chance"].astype(bool)]
    told = [
        f"{row.carrier} {percent(row.before_rate_at_one_mix)} before, {percent(row.now_rate_at_one_mix)} now"
        for row in each(changed)
    ]
    return (
        f"Changed by more than chance: {listed(told)}" if told else "No carrier's rate has changed by more than chance"
    )


def changes(changes: pd.DataFrame) -> Sentence:
    """Returns the carriers whose rate has changed by more than chance, with the interval of the difference.

    Args:
        changes: the rows of `cancellation_changes`.
    """
    rows = comparable(changes)
    if not len(rows):
        return Sentence("There are no two periods of four weeks to compare yet.") if len(changes) else Sentence()
    changed = rows[rows["is_more_than_chance"].astype(bool)]
    told = [
        f"{row.carrier} {100 * row.difference:+.1f} percentage points "
        f"(95 % interval {points(row.difference_low, row.difference_high)})"
        for row in each(changed)
    ]
    begin, end = rows["now_starts_utc"].max(), rows["now_ends_utc"].max()
    return joined(
        f"**{plain(change_headline(changes))}**, comparing the windows that ended from {begin:%Y-%m-%d} until "
        f"{end:%Y-%m-%d} with those of the four weeks before.",
        f"Difference: {plain(listed(told))}." if told else "",
    )


def expected_headline(expected: pd.DataFrame) -> str:
    """Returns the carriers with more or fewer cancellations than their pickups would have with the others."""
    rows = over_accounts(expected)
    told = []
    for side, words in zip(SIDES, ("More cancellations than expected", "Fewer than expected"), strict=True):
        found = rows[rows["stands_out"] == side].sort_values("ratio", ascending=side == "lower")
        names = [f"{row.carrier} ({row.ratio:.2f} times)" for row in each(found)]
        told += [f"{words}: {listed(names)}"] if names else []
    return ". ".join(told) or "Like with like, no carrier stands out"


def expected(expected: pd.DataFrame) -> Sentence:
    """Returns which carriers stand out like with like, with the intervals of their ratios.

    Args:
        expected: the rows of `carrier_expected`.
    """
    rows = over_accounts(expected)
    rows = rows[rows["ratio"].notna()]
    if len(rows) < 2:
        return Sentence()
    out = rows[rows["stands_out"].isin(SIDES)].sort_values("ratio", ascending=False)
    intervals = [f"{row.carrier} {row.ratio_low:.2f} to {row.ratio_high:.2f}" for row in each(out)]
    little = rows[rows["comparable_share"] < 0.5]["carrier"]
    return joined(
        f"**{plain(expected_headline(expected))}.**",
        f"95 % intervals: {plain(listed(intervals))}." if len(out) else "",
        f"Less than half of the pickups can be compared: {plain(listed(little))}." if len(little) else "",
    )


def is_clear(net: pd.DataFrame) -> pd.Series:
    """Returns, for each row, whether a rebooking can be told from the next day's booking."""
    return net["rebooked_by_chance_share"].astype(float).fillna(0) <= UNCERTAIN


def whole_net(net: pd.DataFrame) -> pd.DataFrame:
    """Returns a row per carrier of `carrier_net_cancellations` that has a net rate."""
    rows = over_accounts(net)
    return rows[(rows["country"] == "all") & (rows["net_rated"] > 0)]


def net_headline(net: pd.DataFrame) -> str:
    """Returns how many cancellations were rebooked on purpose."""
    rows = whole_net(net)
    clear = rows[is_clear(rows)]
    if not len(clear):
        return "Bookings are too dense to tell a rebooking from the next day's pickup"
    cancelled = clear["mature_cancelled"].sum()
    moved = round(cancelled - clear["net_cancelled"].sum())
    return f"{moved:,} of {some(cancelled, 'cancellation')} were rebooked within a day, beyond chance"


def net_rates(net: pd.DataFrame) -> Sentence:
    """Returns how many cancellations were rebooked on purpose, and of which carriers that can't be told.

    Args:
        net: the rows of `carrier_net_cancellations`.
    """
    rows = whole_net(net)
    if not rows["mature_cancelled"].sum():
        return Sentence()
    vague = rows[~is_clear(rows)].sort_values("carrier")["carrier"]
    limits = (
        f"This can't be told for {plain(listed(vague))}: some booking comes within any day there."
        if len(vague)
        else "This can be told for every carrier."
    )
    return joined(f"**{plain(net_headline(net))}.**", limits)
