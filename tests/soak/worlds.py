"""Makes a given number of runs in the lives of test_worlds_machine.py, on several cores with different seeds.

Run `make soak RUNS=10000` or `python -m tests.soak.worlds --runs 10000 --processes 2`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.quick.test_both_ways_machine import WAYS, LifeBothWays
from tests.runs.test_worlds_machine import Life
from tests.support.life import LOST, RUNS

SECONDS_BETWEEN_LINES = 20
LIVES = settings(
    max_examples=25,
    stateful_step_count=50,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


def live(runs: int, number: int, *, both_ways: bool = False) -> None:
    """Tests one life after another until that many runs were made. With `both_ways`, runs are made quickly too.

    Raises:
        AssertionError: a life is wrong. hypothesis has shrunk it.
    """
    began = time.monotonic()

    def progress() -> None:
        while True:
            time.sleep(SECONDS_BETWEEN_LINES)
            print(f"  seed {number}: {told(began)}", flush=True)

    threading.Thread(target=progress, daemon=True).start()
    while RUNS.total() < runs:
        number += 1
        run_state_machine_as_test(seed(number)(LifeBothWays if both_ways else Life), settings=LIVES)
    print(f"  {told(began)}, differences: 0", flush=True)


def told(began: float) -> str:
    seconds = time.monotonic() - began
    ends = ", ".join(f"{count:,} {end}" for end, count in RUNS.most_common())
    each = f"{RUNS.total():,} runs in {seconds:,.0f} s, {seconds / max(RUNS.total(), 1):.2f} s per run"
    ways = "".join(f", {count:,} {way}" for way, count in WAYS.items())
    return f"{each} ({ends}), {LOST.total():,} files lost{ways}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--both-ways", action="store_true", help="make each run the quick way too, and compare")
    options = parser.parse_args()
    os.environ |= {"RUNTIME__REQUEST_BACKOFF_FACTOR": "0", "RUNTIME__DLTHUB_TELEMETRY": "false"}
    if options.processes == 1:
        return live(options.runs, options.seed, both_ways=options.both_ways)
    share = -(-options.runs // options.processes)
    print(f"{options.runs:,} runs in {options.processes} processes, seed {options.seed}", flush=True)
    how = "--both-ways" if options.both_ways else ""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", __spec__.name, *f"--runs {share} --processes 1 --seed {seed_} {how}".split()]
        )
        for seed_ in range(options.seed, options.seed + options.processes * 1_000_000, 1_000_000)
    ]
    codes = [process.wait() for process in started]
    sys.exit(max(map(abs, codes)))


if __name__ == "__main__":
    main()
