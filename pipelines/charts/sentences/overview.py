"""Says what the numbers cover: whose pickups, how recent, and how many of them can be rated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from pipelines.charts.rows import total, whole_carriers
from pipelines.charts.words import Sentence, joined, percent, plain, some

if TYPE_CHECKING:
    from pipelines.destinations.snapshot import Snapshot


def source(snapshot: Snapshot) -> Sentence:
    """Returns the filter of a snapshot, and a warning if its pickups are those of the demo."""
    demo = "**DEMO DATA**: no run has published anything yet, so these are the pickups of `pickups demo`."
    filtered = plain(" · ".join(snapshot.only.words()))
    return joined(demo if snapshot.is_demo else "", f"The numbers cover {filtered}." if filtered else "")


def overview(cancellations: pd.DataFrame) -> Sentence:
    """Returns what has been booked, how much of it can be rated, and what is known of the rest.

    Args:
        cancellations: the rows of `carrier_cancellations`.
    """
    carriers = whole_carriers(cancellations)
    counts = total(carriers)
    as_of = _as_of(cancellations)
    if not len(carriers) or not counts.pickups or not len(as_of):
        return Sentence("There is nothing to rate yet: no run has succeeded, or no pickup has been loaded.")
    stale = as_of[as_of < as_of.max() - pd.Timedelta(days=1)]
    what = f"**{some(counts.pickups, 'pickup')}** of {some(len(carriers), 'carrier')}"
    when = f"{what}, as of {as_of.drop(stale.index).min():%Y-%m-%d %H:%M} UTC."
    old = [f"The account {plain(account)} was last read at {at:%Y-%m-%d %H:%M} UTC." for account, at in stale.items()]
    gone = some(counts.immature_cancelled, "pickup that is not mature is", "pickups that are not mature are")
    early = f"{gone} cancelled already." if counts.immature_pickups else ""
    if not counts.rated:
        return joined("There is nothing to rate yet, so charts of rates are left out.", when, *old, early)
    return joined(when, *old, f"{some(counts.mature_pickups, 'is', 'are')} mature.", early)


def haste(cancellations: pd.DataFrame) -> Sentence:
    """Returns what the rate would be if pickups counted as soon as they are known to be cancelled."""
    counts = total(whole_carriers(cancellations))
    if not counts.rated or not counts.immature_cancelled:
        return Sentence()
    early = (counts.mature_cancelled + counts.immature_cancelled) / (counts.rated + counts.immature_cancelled)
    share = counts.immature_cancelled / counts.immature_pickups
    return Sentence(
        f"Counted too early, the rate of all carriers would be **{early:.2%}** instead of "
        f"**{counts.mature_cancelled / counts.rated:.2%}**. It would already count "
        f"{some(counts.immature_cancelled, 'cancelled pickup')} whose window has not ended "
        f"({percent(share)} of those pickups), but not the kept ones."
    )


def _as_of(cancellations: pd.DataFrame) -> pd.Series:
    rows = cancellations[~cancellations["is_every_account"].astype(bool)]
    return rows.groupby("account")["as_of_utc"].min().dropna()
