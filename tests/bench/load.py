"""A first load as users run it, beside the plain dlt way: whole processes, in turns, with the tables checked.

make bench, or: python tests/bench/load.py --pickups 100000 --rounds 3
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

import dlt
import duckdb

ROOT = Path(__file__).parents[2]
SANDBOX = """
import sys, time
from datetime import UTC, datetime
from sources.sendcloud.sandbox import World, serve
with serve(World.seeded(int(sys.argv[1]), until=datetime.now(UTC))) as api:
    print(api.base_url, api.public_key, api.secret_key, flush=True)
    sys.stdin.read()
"""
CONTENDERS = {
    "ours (pickups run)": [sys.executable, "-m", "pipelines", "--project-dir", "{folder}", "run"],
    "plain dlt": [sys.executable, str(Path(__file__).with_name("plain_dlt.py")), "{folder}"],
}


class Measured(NamedTuple):
    seconds: float
    peak_mb: float


@contextmanager
def sandbox(pickups: int) -> Iterator[dict[str, str]]:
    """A sandbox in a process of its own, and the settings that point there."""
    served = subprocess.Popen(
        [sys.executable, "-c", SANDBOX, str(pickups)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert served.stdout
    base_url, public_key, secret_key = served.stdout.readline().split()
    credentials = "SOURCES__SENDCLOUD__CREDENTIALS__"
    try:
        yield {
            "SOURCES__SENDCLOUD__BASE_URL": base_url,
            f"{credentials}PUBLIC_KEY": public_key,
            f"{credentials}SECRET_KEY": secret_key,
        }
    finally:
        served.communicate()


def measure(command: list[str], settings: dict[str, str], pickups: int) -> Measured:
    """One whole process into an empty folder; its wall time and peak resident memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / ".dlt").mkdir()
        words = [word.format(folder=folder) for word in command]
        started = time.perf_counter()
        process = subprocess.Popen(
            words,
            env={**os.environ, **settings, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        assert status == 0, process.stderr and process.stderr.read().decode()
        check(folder, pickups)
        return Measured(seconds, usage.ru_maxrss / 1024)


def check(folder: Path, pickups: int) -> None:
    """Every contender's table must be right, or its time means nothing."""
    (path,) = folder.rglob("warehouse.duckdb")
    with duckdb.connect(str(path), read_only=True) as connection:
        counted = connection.execute("select count(*), count(distinct id) from sendcloud.pickups").fetchone()
    assert counted == (pickups, pickups), counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pickups", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    runs: dict[str, list[Measured]] = {name: [] for name in CONTENDERS}
    with sandbox(options.pickups) as settings:
        for _ in range(options.rounds):
            for name, command in CONTENDERS.items():
                runs[name].append(measure(command, settings, options.pickups))
                print(f"  {name}: {runs[name][-1].seconds:.1f} s", file=sys.stderr)
    report(runs, options.pickups)


def report(runs: dict[str, list[Measured]], pickups: int) -> None:
    print(f"First load of {pickups:,} pickups, 500 a page, {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores,")
    print(f"Python {platform.python_version()}, dlt {dlt.__version__}, duckdb {duckdb.__version__}\n")
    print(f"{'':20} {'median s':>9} {'min':>6} {'max':>6} {'peak MB':>8} {'x ours':>7}")
    ours = median(run.seconds for run in next(iter(runs.values())))
    for name, measured in runs.items():
        seconds = sorted(run.seconds for run in measured)
        peak = max(run.peak_mb for run in measured)
        middle = median(seconds)
        print(f"{name:20} {middle:9.1f} {seconds[0]:6.1f} {seconds[-1]:6.1f} {peak:8.0f} {middle / ours:7.1f}")


if __name__ == "__main__":
    main()
