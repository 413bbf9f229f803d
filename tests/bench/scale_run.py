"""One run of ours that is measured, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from measure import ROOT
from scale_points import Group
from scale_postgres import Postgres


class Run(NamedTuple):
    """One process of ours over all accounts."""

    cpu_s: float
    wall_s: float
    server_cpu_s: float
    peak_mb: float
    receipts: list[dict[str, Any]]

    def total(self, name: str) -> int:
        return sum(receipt[name] or 0 for receipt in self.receipts)


Keys = tuple[str, str]


def run(
    folder: Path, base_url: str, group: Group, server: Postgres, database: str = "", keys: Keys = ("public", "secret")
) -> Run:
    """`pickups run` over all accounts, as users run it."""
    (folder / ".dlt").mkdir(parents=True, exist_ok=True)
    names = [f"a{number}" for number in range(group.accounts)]
    (folder / ".dlt" / "config.toml").write_text(
        "\n".join(f"[sources.sendcloud.accounts.{name}]\npage_size = {group.rows_a_page}" for name in names)
    )
    before = server.cpu_s() if group.place == "postgres" else 0.0
    with (folder / "said.txt").open("w") as errors, (folder / "told.txt").open("w") as told:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines", "--project-dir", str(folder), "run", "--json"],
            env={**os.environ, **_settings(group, base_url, server, database, names, keys)},
            cwd=folder,
            stdout=told,
            stderr=errors,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    assert status == 0, (folder / "said.txt").read_text()[-3000:]
    served = server.cpu_s() - before if group.place == "postgres" else 0.0
    receipts = [json.loads(line) for line in (folder / "told.txt").read_text().splitlines()]
    return Run(usage.ru_utime + usage.ru_stime, seconds, served, usage.ru_maxrss / 1024, receipts)


def _settings(
    group: Group, base_url: str, server: Postgres, database: str, names: list[str], keys: Keys
) -> Mapping[str, str]:
    settings = {
        "SOURCES__SENDCLOUD__BASE_URL": base_url,
        "SOURCES__SENDCLOUD__REQUESTS_PER_MINUTE": str(group.per_minute),
        "DESTINATION__DUCKDB__CREDENTIALS": "warehouse.duckdb",
        "PUBLISH__PATH": "published/pickups.duckdb",
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "PYTHONPATH": str(ROOT),
    }
    for name in names:
        own = f"SOURCES__SENDCLOUD__ACCOUNTS__{name.upper()}__CREDENTIALS__"
        public = keys[0] if len(names) == 1 else f"{keys[0]}-{name}"  # no two accounts may have the same
        settings |= {f"{own}PUBLIC_KEY": public, f"{own}SECRET_KEY": keys[1]}
    if group.place == "postgres":
        settings |= {
            "PIPELINE__DESTINATION": "postgres",
            "DESTINATION__POSTGRES__CREDENTIALS": server.address(database),
        }
    return settings
