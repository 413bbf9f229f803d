"""Whole processes, measured from outside: CPU seconds, elapsed seconds and peak resident memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
CONTENDERS = HERE / "contenders"
OTHER_TOOLS = ("singer", "pyairbyte")
# DuckDB, Arrow and dlt import pandas if they can, so its presence slows every contender down that does not block it.
# `pip install sendcloud-pickups` does not install pandas. Users of the notebooks have it.
WITHOUT_PANDAS = ROOT / ".venv" / "bench" / "bin" / "python"
WITH_PANDAS = " + pandas"
NEEDS_PANDAS = ("pandas_by_hand",)
ORDINARY = "ours, no quick runs"
HOURLY = "ours, published hourly"
INSTALLED_SCRIPT = "from pipelines.__main__ import start; start()"  # what `pickups` does after it is installed
SETTINGS = {
    "SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY": "public",
    "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY": "secret",
    "SOURCES__SENDCLOUD__REQUESTS_PER_MINUTE": "1000000",  # the API's limit is not what is measured
    "DESTINATION__DUCKDB__CREDENTIALS": "warehouse.duckdb",
    "PUBLISH__PATH": "published/pickups.duckdb",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "DO_NOT_TRACK": "1",
    "AIRBYTE_OFFLINE_MODE": "1",
    "PYTHONPATH": str(ROOT),
}


class Measured(NamedTuple):
    seconds: float
    peak_mb: float
    cpu_s: float


class Summary(NamedTuple):
    """What several runs of one contender took."""

    median_s: float
    min_s: float
    max_s: float
    peak_mb: float
    cpu_s: float
    min_cpu_s: float

    @classmethod
    def of(cls, runs: Sequence[Measured]) -> Summary:
        seconds, cpu = [run.seconds for run in runs], [run.cpu_s for run in runs]
        return cls(median(seconds), min(seconds), max(seconds), max(run.peak_mb for run in runs), median(cpu), min(cpu))


def interpreter_of(contender: str) -> Path:
    """The environment without pandas, or with it, or that of another tool (`make bench` makes all of them)."""
    if contender in OTHER_TOOLS:
        return ROOT / ".venv" / contender / "bin" / "python"
    has_pandas = contender.endswith(WITH_PANDAS) or contender in NEEDS_PANDAS
    return Path(sys.executable) if has_pandas else WITHOUT_PANDAS


def is_installed(contender: str) -> bool:
    return interpreter_of(contender).exists()


def words_of(contender: str, folder: Path, command: Sequence[str] = ("run",)) -> list[str]:
    """The command line of a contender: a script beside this file, or one of our commands."""
    name, *options = contender.removesuffix(WITH_PANDAS).split()
    python = str(interpreter_of(contender))
    if name.startswith("ours"):
        return [python, "-c", INSTALLED_SCRIPT, "--project-dir", str(folder), *command]
    return [python, str(CONTENDERS / f"{name}.py"), str(folder), *options]


def measure(contender: str, folder: Path, base_url: str, command: Sequence[str] = ("run",)) -> Measured:
    """One process of that contender over that folder."""
    (folder / ".dlt").mkdir(exist_ok=True)
    settings = SETTINGS | {"SOURCES__SENDCLOUD__BASE_URL": base_url}
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if contender.startswith(ORDINARY):
        settings["PIPELINE__QUICK_RUNS"] = "false"
    if contender == HOURLY:
        settings["PUBLISH__MAX_AGE_MINUTES"] = "60"
    said = folder / "said.txt"
    with said.open("w") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            words_of(contender, folder, command),
            env={**inherited, **settings},  # the bytecode is kept, as in an installation
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    assert status == 0, f"{contender} failed: {said.read_text()[-2000:]}"
    return Measured(seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


@contextmanager
def serving(pickups: int, delay_seconds: float = 0.0) -> Iterator[str]:
    """The account of listing.py on a server in a process of its own; its address without `/first` or `/later`."""
    served = subprocess.Popen(
        [sys.executable, str(HERE / "server.py"), str(pickups), str(delay_seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert served.stdout
    try:
        yield served.stdout.readline().strip()
    finally:
        served.communicate()
