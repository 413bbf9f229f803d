"""Sentences about the views, in Markdown: what was found, how sure it is, and what can't be told.

Each function takes the frame of a view and returns a `Sentence`, which is empty if there is nothing to say. A sentence
names a carrier, a country or a band only if the view says that it stands out.
"""

from pipelines.charts.sentences.comparisons import changes, expected, net_rates
from pipelines.charts.sentences.current import acceptance, moved, stuck, upcoming
from pipelines.charts.sentences.overview import haste, overview, source
from pipelines.charts.sentences.rates import cancellation_rates, country_rates, failure_rates, late_cancellations
from pipelines.charts.sentences.runs import order, quarantine, runs, sweeps, unknown_fields
from pipelines.charts.sentences.weeks import by_age, early_signal, weeks
from pipelines.charts.sentences.windows import bands, busiest_hour, lead_times, lengths, windows

__all__ = [
    "acceptance",
    "bands",
    "busiest_hour",
    "by_age",
    "cancellation_rates",
    "changes",
    "country_rates",
    "early_signal",
    "expected",
    "failure_rates",
    "haste",
    "late_cancellations",
    "lead_times",
    "lengths",
    "moved",
    "net_rates",
    "order",
    "overview",
    "quarantine",
    "runs",
    "source",
    "stuck",
    "sweeps",
    "unknown_fields",
    "upcoming",
    "weeks",
    "windows",
]
