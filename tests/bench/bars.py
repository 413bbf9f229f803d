"""What was promised, beside what was measured: ratios within one case, so that the machine hardly matters.

Times are CPU seconds, because other programs on the machine change them less than elapsed seconds. The exceptions are
the waits of a slow network, the views, and the commands that a person waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from listing import PAGE
from measure import Summary

Results = Mapping[str, Summary]
DELAYED, DELAY_SECONDS = 20_000, 0.05
MILLION, LARGEST = "1,000,000 rows", "10,000,000 rows"
ACCOUNTS = 40


class Bar(NamedTuple):
    """One promise: of which case, what is measured, how it is shown, and how much it may be."""

    case: str
    what: str
    figure: Callable[[Results], float]
    shown: str
    at_most: float


def _times(one: str, other: str) -> Callable[[Results], float]:
    return lambda results: results[one].cpu_s / results[other].cpu_s


def _memory(one: str, other: str) -> Callable[[Results], float]:
    return lambda results: results[one].peak_mb / results[other].peak_mb


def _peak(who: str) -> Callable[[Results], float]:
    return lambda results: results[who].peak_mb


def _elapsed(who: str) -> Callable[[Results], float]:
    return lambda results: results[who].median_s


def _over_the_waits(results: Results) -> float:
    waits = DELAYED / PAGE * DELAY_SECONDS
    return results["ours"].median_s / (waits + results["ours, one page at once"].median_s)


def _slowest_view(rows: str) -> Callable[[Results], float]:
    return lambda results: max(took.median_s for name, took in results.items() if name.endswith(rows))


BARS = [
    Bar("nothing", "CPU, of an empty dlt pipeline's", _times("ours", "empty_dlt"), "{:.2f} ×", 0.25),
    Bar("nothing", "CPU, of the floor's that asks and compares", _times("ours", "ask_and_compare"), "{:.1f} ×", 3.0),
    Bar("nothing", "peak memory", _peak("ours"), "{:.0f} MB", 110),
    Bar("nothing-10m", "CPU, of that at 100,000 rows", _times(LARGEST, "100,000 rows"), "{:.2f} ×", 1.3),
    Bar("nothing-40", "CPU", lambda results: results["ours"].cpu_s, "{:.2f} s", ACCOUNTS * 0.03 + 0.3),
    Bar("second-100k", "CPU, of plain dlt's", _times("ours", "plain_dlt"), "{:.2f} ×", 0.85),
    Bar("second-100k", "CPU, of an empty dlt pipeline's", _times("ours", "empty_dlt"), "{:.2f} ×", 0.9 / 0.63),
    Bar("first-100k", "CPU, of the floor's", _times("ours", "floor"), "{:.2f} ×", 1.9),
    Bar("first-100k", "CPU, of plain dlt's", _times("ours", "plain_dlt"), "{:.2f} ×", 1 / 8),
    Bar("first-100k", "peak memory", _peak("ours"), "{:.0f} MB", 330),
    Bar("first-100k", "peak memory, of plain dlt's", _memory("ours", "plain_dlt"), "{:.2f} ×", 1 / 2),
    Bar("first-1m", "CPU, of the floor's", _times("ours", "floor"), "{:.2f} ×", 1.1),
    Bar("first-1m", "CPU, of dlt's with dict rows and Parquet", _times("ours", "plain_dlt parquet"), "{:.2f} ×", 1 / 6),
    Bar("first-1m", "peak memory", _peak("ours"), "{:.0f} MB", 520),
    Bar("latency", "time, of the waits and the fixed cost of a run", _over_the_waits, "{:.2f} ×", 1.05),
    Bar("growing", "CPU at ten million rows, of that at ten thousand", _times(LARGEST, "10,000 rows"), "{:.2f} ×", 1.4),
    Bar("commands", "`pickups show carriers`", _elapsed("show carriers"), "{:.2f} s", 0.35),
    Bar("commands", "`pickups status`", _elapsed("status"), "{:.2f} s", 0.35),
    Bar("views", "the slowest, at a million rows", _slowest_view(MILLION), "{:.2f} s", 0.6),
    Bar("views", "the slowest, at ten million rows", _slowest_view(LARGEST), "{:.2f} s", 2.0),
]
