"""Whole processes, timed from outside: wall seconds and peak resident memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
CONTENDERS = HERE / "contenders"
OTHER_TOOLS = ("singer", "pyairbyte")


class Measured(NamedTuple):
    seconds: float
    peak_mb: float


class Summary(NamedTuple):
    """What several runs of one contender took."""

    median_s: float
    min_s: float
    max_s: float
    peak_mb: float

    @classmethod
    def of(cls, runs: list[Measured]) -> Summary:
        seconds = [run.seconds for run in runs]
        return cls(median(seconds), min(seconds), max(seconds), max(run.peak_mb for run in runs))


def interpreter_of(contender: str) -> Path:
    """Ours, or that of the environment of its own which the other tools have (`make bench` makes it)."""
    own = ROOT / ".venv" / contender / "bin" / "python"
    return own if contender in OTHER_TOOLS else Path(sys.executable)


def is_installed(contender: str) -> bool:
    return interpreter_of(contender).exists()


def words_of(contender: str, folder: Path) -> list[str]:
    """The command line of a contender: a script beside this file, or `pickups run` itself."""
    if contender == "ours":
        return [sys.executable, "-m", "pipelines", "--project-dir", str(folder), "run"]
    name, *options = contender.split()
    return [str(interpreter_of(contender)), str(CONTENDERS / f"{name}.py"), str(folder), *options]


def measure(contender: str, folder: Path, base_url: str) -> Measured:
    """One process of that contender over that folder."""
    (folder / ".dlt").mkdir(exist_ok=True)
    settings = {
        "SOURCES__SENDCLOUD__BASE_URL": base_url,
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
    said = folder / "said.txt"
    with said.open("w") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            words_of(contender, folder),
            env={**os.environ, **settings},
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    assert status == 0, f"{contender} failed: {said.read_text()[-2000:]}"
    return Measured(seconds, usage.ru_maxrss / 1024)


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
