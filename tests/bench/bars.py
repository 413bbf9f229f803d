"""What was promised, beside what was measured: ratios within one case, so that the machine hardly matters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from listing import PAGE
from measure import Summary

Results = Mapping[str, Summary]
DELAYED, DELAY_SECONDS = 20_000, 0.05
LARGEST = "10,000,000 rows"


class Bar(NamedTuple):
    """One promise: of which case, what is measured, how it is shown, and how much it may be."""

    case: str
    what: str
    figure: Callable[[Results], float]
    shown: str
    at_most: float


def _times(one: str, other: str) -> Callable[[Results], float]:
    return lambda results: results[one].median_s / results[other].median_s


def _memory(one: str, other: str) -> Callable[[Results], float]:
    return lambda results: results[one].peak_mb / results[other].peak_mb


def _peak(who: str) -> Callable[[Results], float]:
    return lambda results: results[who].peak_mb


def _over_the_waits(results: Results) -> float:
    waits = DELAYED / PAGE * DELAY_SECONDS
    return results["ours"].median_s / (waits + results["ours, one page at once"].median_s)


def _slowest_view(results: Results) -> float:
    return max(took.median_s for name, took in results.items() if name.endswith(LARGEST))


BARS = [
    Bar("first-1m", "time, of the floor's", _times("ours", "floor"), "{:.2f} ×", 1.3),
    Bar(
        "first-1m", "time, of dlt's with dict rows and Parquet", _times("ours", "plain_dlt parquet"), "{:.2f} ×", 1 / 6
    ),
    Bar("first-1m", "peak memory", _peak("ours"), "{:.0f} MB", 550),
    Bar("first-100k", "time, of the floor's", _times("ours", "floor"), "{:.2f} ×", 2.2),
    Bar("first-100k", "time, of plain dlt's", _times("ours", "plain_dlt"), "{:.2f} ×", 1 / 8),
    Bar("first-100k", "peak memory, of plain dlt's", _memory("ours", "plain_dlt"), "{:.2f} ×", 1 / 2),
    Bar("latency", "time, of the waits and the fixed cost of a run", _over_the_waits, "{:.2f} ×", 1.05),
    Bar("second-100k", "time, of the floor's", _times("ours", "floor"), "{:.2f} ×", 3.5),
    Bar("second-100k", "time, of plain dlt's", _times("ours", "plain_dlt"), "{:.2f} ×", 1.0),
    Bar("nothing", "time, of dlt's with nothing to do", _times("ours", "empty_dlt"), "{:.2f} ×", 1.25),
    Bar("nothing", "peak memory", _peak("ours"), "{:.0f} MB", 200),
    Bar(
        "growing", "time at ten million rows, of that at ten thousand", _times(LARGEST, "10,000 rows"), "{:.2f} ×", 1.6
    ),
    Bar("views", "the slowest, at ten million rows", _slowest_view, "{:.2f} s", 2.0),
]
