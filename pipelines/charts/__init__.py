"""Charts, tables and sentences about the views, for notebooks and other tools that show matplotlib figures.

Each function takes the frame of a view and returns a new figure. For example:

    from pipelines import charts
    from pipelines.warehouse import read

    charts.cancellation_rates(read("carrier_cancellations"))

The functions need the extra `notebooks`. They select the rows for all accounts themselves.
"""

from pipelines.charts import sentences, tables
from pipelines.charts.comparisons import changes, expected, net_rates
from pipelines.charts.current import acceptance_times, data_age, upcoming
from pipelines.charts.figure import Chart, show
from pipelines.charts.rates import cancellation_rates, country_rates, failure_rates, late_cancellations
from pipelines.charts.weeks import cancelled_by_age, early_signal, weekly_rates
from pipelines.charts.windows import lead_times, opening_hours, opening_hours_by_carrier, rates_by_band, window_lengths

__all__ = [
    "Chart",
    "acceptance_times",
    "cancellation_rates",
    "cancelled_by_age",
    "changes",
    "country_rates",
    "data_age",
    "early_signal",
    "expected",
    "failure_rates",
    "late_cancellations",
    "lead_times",
    "net_rates",
    "opening_hours",
    "opening_hours_by_carrier",
    "rates_by_band",
    "sentences",
    "show",
    "tables",
    "upcoming",
    "weekly_rates",
    "window_lengths",
]
