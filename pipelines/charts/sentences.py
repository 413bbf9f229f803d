"""Sentences about the views, in Markdown: what was found, how sure it is, and what can't be told.

Each function takes the frame of a view and returns a `Sentence`, which is empty if there is nothing to say. A sentence
names a carrier, a country or a band only if the view says that it stands out. `pipelines.wording` contains the words.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import update_wrapper
from typing import TYPE_CHECKING

import pandas as pd

from pipelines.charts.rows import bands as bands_of
from pipelines.charts.rows import countries, every_row, over_accounts, records, whole_carriers, whole_weeks
from pipelines.charts.words import Sentence, sentence
from pipelines.wording import comparisons, coverage, current, rates, receipts, weekly, window_times
from pipelines.wording.rows import Rows, Texts

if TYPE_CHECKING:
    from pipelines.destinations.snapshot import Snapshot

Words = Callable[[Rows], Texts]
Say = Callable[[pd.DataFrame], Sentence]


def _about(words: Words, select: Callable[[pd.DataFrame], pd.DataFrame]) -> Say:
    """Returns a function that takes the frame of a view, and words those rows that `select` returns."""

    def say(frame: pd.DataFrame) -> Sentence:
        return sentence(words(records(select(frame))))

    return update_wrapper(say, words, assigned=("__doc__", "__name__"))


def source(snapshot: Snapshot) -> Sentence:
    """Returns the filter of a snapshot, and a warning if its pickups are those of the demo."""
    demo = [f"{coverage.DEMO}: {coverage.DEMO_EXPLANATION}"] if snapshot.is_demo else []
    filtered = " · ".join(snapshot.only.words())
    return sentence([*demo, f"The numbers cover {filtered}." if filtered else ""], is_finding=snapshot.is_demo)


def weeks(frame: pd.DataFrame, since: str | date | None = None, until: str | date | None = None) -> Sentence:
    """Returns how many weeks are complete.

    Args:
        frame: the rows of `carrier_cancellations_weekly`, with `by="booking"`.
        since: the earliest booking in `frame`.
        until: the time before which the bookings in `frame` were made.
    """
    rows = records(whole_weeks(frame, since, until))
    return sentence(weekly.complete_weeks(rows, is_cut=bool(since or until)))


def bands(by_booking: pd.DataFrame, measure: str) -> Sentence:
    """Returns the bands of a measure that stand out, and by how much.

    Args:
        by_booking: the rows of `cancellations_by_booking`.
        measure: such as "lead time" or "window length".
    """
    return sentence(rates.bands(records(bands_of(by_booking, measure)), measure))


acceptance = _about(current.acceptance, over_accounts)
busiest_hour = _about(window_times.busiest_hour, over_accounts)
by_age = _about(weekly.by_age, over_accounts)
cancellation_rates = _about(rates.cancellation_rates, whole_carriers)
changes = _about(comparisons.changes, over_accounts)
country_rates = _about(rates.country_rates, countries)
early_signal = _about(weekly.early_signal, over_accounts)
expected = _about(comparisons.expected, over_accounts)
failure_rates = _about(rates.failure_rates, whole_carriers)
haste = _about(coverage.haste, whole_carriers)
late_cancellations = _about(rates.late_cancellations, whole_carriers)
lead_times = _about(window_times.lead_times, over_accounts)
lengths = _about(window_times.lengths, over_accounts)
moved = _about(current.moved, over_accounts)
net_rates = _about(comparisons.net_rates, whole_carriers)
order = _about(receipts.order, every_row)
overview = _about(coverage.overview, every_row)
quarantine = _about(receipts.quarantine, every_row)
runs = _about(receipts.runs, every_row)
stuck = _about(current.stuck, every_row)
sweeps = _about(receipts.sweeps, every_row)
unknown_fields = _about(receipts.unknown_fields, every_row)
upcoming = _about(current.upcoming, over_accounts)
windows = _about(window_times.windows, over_accounts)
