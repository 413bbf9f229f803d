"""The benchmark: every case, every contender in turns, every table checked; a table, results.json and a picture.

make bench, or: python tests/bench/bench.py --rounds 3 [--only first,second,…] [--small]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

import cases
import report
from cases import Results

FLOORS = ["floor", "best_floor"]
OTHERS = ["pandas_by_hand", "plain_dlt", "plain_dlt parquet", "dlt_rest_api", "dlt_rest_api parquet"]
AGAIN = ["floor", "ours", "pandas_by_hand", "plain_dlt", "dlt_rest_api"]
Case = tuple[str, Callable[..., Results]]


def all_cases(*, small: bool) -> dict[str, Case]:
    """Each case by its short name: its title, and what measures it when given rounds and a place to tell progress."""
    million = 100_000 if small else 1_000_000
    ten_millions = 1_000_000 if small else 10_000_000
    slow_ones = [name for name in OTHERS if small or "dlt" not in name or "parquet" in name]
    return {
        "first-10k": _first(10_000, ["ours", *FLOORS, *OTHERS]),
        "first-100k": _first(100_000, ["ours", *FLOORS, *OTHERS]),
        "first-1m": _first(million, ["ours", *FLOORS, *slow_ones]),
        "latency": _first(20_000, ["ours", "floor", "plain_dlt"], delay_seconds=0.05),
        "second-100k": _second(100_000, AGAIN),
        "second-1m": _second(million, ["floor", "ours"]),
        "nothing": (
            "nothing new, 100,000 in the table",
            partial(cases.second_run, 100_000, ["floor", "ours", "empty_dlt"], instant="first"),
        ),
        "growing": (
            "200 of 10,000 new or changed, over the size of the table",
            partial(cases.growing_table, [10_000, 100_000, million, ten_millions]),
        ),
        "views": ("each view in full", partial(cases.views, [million, ten_millions])),
    }


def _first(pickups: int, contenders: list[str], delay_seconds: float = 0) -> Case:
    waits = f", {delay_seconds * 1000:.0f} ms a request" if delay_seconds else ""
    measure = partial(cases.first_load, pickups, contenders, delay_seconds=delay_seconds)
    return f"first load of {pickups:,}{waits}", measure


def _second(pickups: int, contenders: list[str]) -> Case:
    return f"second run on {pickups:,}: 1 % new, 1 % changed", partial(cases.second_run, pickups, contenders)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="short names of cases, with commas")
    parser.add_argument("--small", action="store_true", help="a tenth of the largest sizes")
    options = parser.parse_args()
    chosen = all_cases(small=options.small)
    wanted = options.only.split(",") if options.only else list(chosen)
    results: dict[str, Results] = {}
    for name in wanted:
        title, measure = chosen[name]
        print(title, file=sys.stderr)
        results[name] = measure(rounds=options.rounds, report=lambda line: print(f"  {line}", file=sys.stderr))
        print(report.as_text(title, results[name]), flush=True)
    report.write(results, {name: title for name, (title, _) in chosen.items()}, options.rounds)


if __name__ == "__main__":
    main()
