"""Reads the views of a warehouse as frames, as `pipelines.warehouse.read` returns them."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pandas as pd

from pipelines import charts
from pipelines.charts import sentences, tables


class Frames:
    """The views of a warehouse by name, each read once."""

    def __init__(self, con: Any) -> None:
        self._read = cache(lambda view: con.execute(f"select * from analytics.{view}").df())

    def __getattr__(self, view: str) -> pd.DataFrame:
        return self._read(view)


def every_chart(frames: Frames) -> list[Callable[[], charts.Chart]]:
    """Returns a function for each chart of the notebooks."""
    cancellations, weeks = frames.carrier_cancellations, frames.carrier_cancellations_weekly
    of_one_frame = [
        (charts.cancellation_rates, cancellations),
        (charts.failure_rates, cancellations),
        (charts.country_rates, cancellations),
        (charts.late_cancellations, cancellations),
        (charts.expected, frames.carrier_expected),
        (charts.changes, frames.cancellation_changes),
        (charts.weekly_rates, weeks),
        (charts.early_signal, weeks),
        (charts.cancelled_by_age, frames.cancellation_timing),
        (charts.opening_hours, frames.carrier_window_grid),
        (charts.opening_hours_by_carrier, frames.carrier_window_grid),
        (charts.window_lengths, frames.carrier_windows),
        (charts.lead_times, frames.carrier_windows),
        (charts.upcoming, frames.upcoming_pickups),
        (charts.acceptance_times, frames.acceptance_times),
        (charts.data_age, frames.runs),
    ]
    return [
        *(partial(draw, frame) for draw, frame in of_one_frame),
        partial(charts.net_rates, frames.carrier_net_cancellations, cancellations),
        *(
            partial(charts.rates_by_band, frames.cancellations_by_booking, name)
            for name in ("lead time", "window length")
        ),
    ]


def every_sentence(frames: Frames) -> list[str]:
    """Returns what the notebooks say, except for what says nothing."""
    cancellations, runs = frames.carrier_cancellations, frames.runs
    said = [
        *(getattr(sentences, name)(cancellations) for name in ("overview", "haste", "cancellation_rates")),
        *(getattr(sentences, name)(cancellations) for name in ("failure_rates", "country_rates", "late_cancellations")),
        sentences.expected(frames.carrier_expected),
        sentences.changes(frames.cancellation_changes),
        sentences.net_rates(frames.carrier_net_cancellations),
        *(getattr(sentences, name)(frames.carrier_cancellations_weekly) for name in ("weeks", "early_signal")),
        sentences.by_age(frames.cancellation_timing),
        *(getattr(sentences, name)(frames.carrier_windows) for name in ("windows", "lengths", "lead_times")),
        sentences.busiest_hour(frames.carrier_window_grid),
        sentences.bands(frames.cancellations_by_booking, "lead time"),
        sentences.upcoming(frames.upcoming_pickups),
        sentences.stuck(frames.stuck_pickups),
        sentences.acceptance(frames.acceptance_times),
        sentences.moved(frames.moved_windows),
        *(getattr(sentences, name)(runs) for name in ("runs", "order", "sweeps", "unknown_fields")),
        sentences.quarantine(frames.quarantine),
    ]
    return [str(sentence) for sentence in said if sentence]


def every_table(frames: Frames) -> list[pd.DataFrame]:
    """Returns the tables of the notebooks."""
    of_cancellations = (tables.carriers, tables.conflicts)
    return [
        *(make(frames.carrier_cancellations) for make in of_cancellations),
        tables.opening_habits(frames.carrier_windows),
        tables.upcoming(frames.upcoming_pickups),
        tables.stuck(frames.stuck_pickups),
        tables.failed_runs(frames.runs),
        tables.findings(frames.runs),
        tables.quarantine(frames.quarantine),
    ]
