"""The benchmark: every case, every contender in turns, every table checked; a table, results.json and a picture.

make bench, or: python tests/bench/bench.py --rounds 3 [--only first,second,…] [--small] [--large]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cases
import quiet
import report
from bars import ACCOUNTS, DELAY_SECONDS, DELAYED
from cases import Results
from measure import ORDINARY, OTHER_TOOLS, WITH_PANDAS, is_installed

FLOORS = ["floor", "best_floor"]
TOOLS = list(OTHER_TOOLS)
OTHERS = ["pandas_by_hand", "plain_dlt", "plain_dlt parquet", "dlt_rest_api", "dlt_rest_api parquet"]
BESIDE = [f"{contender}{WITH_PANDAS}" for contender in ("ours", "floor", "plain_dlt", "empty_dlt")]
AGAIN = ["floor", "ours", "empty_dlt", "pandas_by_hand", "plain_dlt", "dlt_rest_api", *BESIDE, *TOOLS]
QUIET = ["ask_and_compare", "floor", "ours", ORDINARY, "empty_dlt", *(one for one in BESIDE if "plain" not in one)]
Case = tuple[str, Callable[..., Results]]


def all_cases(*, small: bool, large: bool) -> dict[str, Case]:
    """Each case by its short name: its title, and what measures it when given rounds and a place to tell progress."""
    million = 100_000 if small else 1_000_000
    ten_millions = [10_000_000] if large else []
    slow_ones = [name for name in OTHERS if small or "dlt" not in name or "parquet" in name]
    return {
        "first-10k": _first(10_000, ["ours", *FLOORS, *OTHERS, *TOOLS]),
        "first-100k": _first(100_000, ["ours", *FLOORS, "pages_only", "empty_dlt", *OTHERS, *BESIDE[:3], *TOOLS]),
        "first-1m": _first(million, ["ours", *FLOORS, "pages_only", *slow_ones, *BESIDE[:2]]),
        "latency": (
            f"first load of {DELAYED:,}, {DELAY_SECONDS * 1000:.0f} ms a request",
            partial(cases.slow_network, DELAYED, ["ours", "floor", "plain_dlt parquet"], delay_seconds=DELAY_SECONDS),
        ),
        "second-100k": _second(100_000, AGAIN),
        "second-1m": _second(million, ["floor", "ours"]),
        "nothing": ("nothing new, 100,000 in the table", partial(quiet.nothing_new, 100_000, QUIET)),
        "nothing-10m": (
            "nothing new, over the size of the table",
            partial(quiet.nothing_new_in_large_tables, [100_000, million, *ten_millions]),
        ),
        "nothing-40": (
            f"nothing new, {ACCOUNTS} accounts, 100,000 in the table",
            partial(quiet.nothing_new_in_many_accounts, 100_000, 10_000_000 if large else 0),
        ),
        "growing": (
            "200 of 10,000 new or changed, over the size of the table",
            partial(cases.growing_table, [10_000, 100_000, million, *ten_millions]),
        ),
        "commands": ("commands, 100,000 in the table", partial(quiet.commands, 100_000)),
        "views": ("each view in full", partial(cases.views, [million, *ten_millions])),
    }


def _first(pickups: int, contenders: list[str]) -> Case:
    return f"first load of {pickups:,}", partial(cases.first_load, pickups, contenders)


def _second(pickups: int, contenders: list[str]) -> Case:
    return f"second run on {pickups:,}: 1 % new, 1 % changed", partial(cases.second_run, pickups, contenders)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="short names of cases, with commas")
    parser.add_argument("--small", action="store_true", help="a tenth of the largest sizes")
    parser.add_argument("--large", action="store_true", help="also ten million rows (10 GB of disk, an hour more)")
    parser.add_argument("--json", type=Path, default=report.RESULTS, help="where the results are collected")
    options = parser.parse_args()
    for tool in ("ours", *OTHER_TOOLS):
        if not is_installed(tool):
            print(f"{tool}: its environment could not be installed, so it is not in the tables", flush=True)
    chosen = all_cases(small=options.small, large=options.large)
    asked = options.only.split(",") if options.only else list(chosen)
    if unknown := sorted(set(asked) - set(chosen)):
        parser.error(f"no case {unknown[0]!r}; there are {', '.join(chosen)}")
    # in the order of the table: views are timed in this process, whose memory then counts into that of all it starts
    wanted = [name for name in chosen if name in asked]
    for name in wanted:
        title, measure = chosen[name]
        print(title, file=sys.stderr)
        results = measure(rounds=options.rounds, report=lambda line: print(f"  {line}", file=sys.stderr))
        print(report.as_text(title, results), flush=True)
        if not options.small:
            report.write(options.json, name, title, results, options.rounds)
    if not options.small and options.json == report.RESULTS:
        report.publish()


if __name__ == "__main__":
    main()
