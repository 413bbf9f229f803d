"""Reads an account with the walk alone, over a real socket. Without dlt and a database, a run takes milliseconds.

This module replaces dlt's storage. It stores each package's rows together with the memory. If the run fails during a
package, it stores neither.
"""

from __future__ import annotations

import copy
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from msgspec import structs

from sources.sendcloud import ReadStats, SendcloudCredentials
from sources.sendcloud.http.client import Client
from sources.sendcloud.http.rate_limit import RateLimiter
from sources.sendcloud.reading.frontier import Memory, Rules
from sources.sendcloud.reading.outcome import Span, WalkResult
from sources.sendcloud.reading.walk import walk
from sources.sendcloud.sandbox import Sandbox
from sources.sendcloud.settings import version_of
from tests.support.destinations import DESTINATION
from tests.support.installation import API_VERSION, address_of, machine_clock_of

Row = dict[str, Any]
IS_HERE = DESTINATION == "duckdb" and duckdb.__version__ < "2"  # other suites test the destination
WHOLE_RUN = pytest.param("run", marks=pytest.mark.slow)
# runs a test with the walk by default, and with a complete run when slow tests are included
walked = pytest.mark.parametrize("installation", ["walk", WHOLE_RUN] if IS_HERE else [WHOLE_RUN], indirect=True)
# like `walked`, but complete runs are not marked as slow when another destination is tested
walked_here = pytest.mark.parametrize("installation", ["walk", WHOLE_RUN] if IS_HERE else ["run"], indirect=True)


class Walking:
    """The part of an `Installation` that scenarios need: runs, and the rows after them."""

    def __init__(self) -> None:
        self._memories: dict[str, Memory] = {}
        self._rows: dict[tuple[str, int], Row] = {}

    def run(self, api: Sandbox, *, sweep: bool = False, account: str = "default", **settings: Any) -> Any:
        """Runs once, package by package.

        Raises the walk's exceptions, and keeps the packages that were loaded before them.
        """
        reading = ReadStats(account=account, api_version=API_VERSION, highest_as_of=settings.pop("highest_as_of", None))
        client = _client(api, settings.pop("request_max_attempts", 7))
        rules = _rules(**settings)
        counts: Counter[str] = Counter(rows_new=0, rows_changed=0, rows_unchanged=0)
        part: Any = "sweep" if sweep else "head"
        with machine_clock_of(api):
            return self._walk(client, part, account, rules, reading, counts)

    def loaded(self, api: Sandbox, **settings: Any) -> Walking:
        self.run(api, **settings)
        return self

    def _walk(
        self, client: Client, part: Any, account: str, rules: Rules, reading: ReadStats, counts: Counter[str]
    ) -> Any:
        try:
            while True:
                memory = copy.deepcopy(self._memories.get(account, {}))
                if done := walk(client, part, memory, rules, Span(None, None), reading):
                    counts += self._load(account, done)
                if not reading.has_more:
                    return SimpleNamespace(**structs.asdict(reading) | dict(counts))
                part = "history"
        finally:
            reading.stop_prefetch()

    def pickups(self) -> list[Row]:
        """Returns the rows in key order, like `Installation.pickups`."""
        return [self._rows[key] for key in sorted(self._rows)]

    def _load(self, account: str, done: WalkResult) -> Counter[str]:
        self._memories[account] = done.memory
        counts: Counter[str] = Counter()
        for row in done.rows.to_pylist():
            key = account, row["id"]
            before = self._rows.get(key)
            counts["rows_new" if before is None else "rows_changed" if before != row else "rows_unchanged"] += 1
            self._rows[key] = row
        return counts


def _rules(
    *,
    overlap_hours: float = 1,
    settle_days: float = 7,
    max_lookback_days: float = 180,
    page_size: int = 500,
    pages_per_package: int = 400,
) -> Rules:
    spans = timedelta(hours=overlap_hours), timedelta(days=settle_days), timedelta(days=max_lookback_days)
    return Rules(*spans, page_size, pages_per_package)


def _client(api: Sandbox, tries: int) -> Client:
    keys = SendcloudCredentials(public_key=api.public_key, secret_key=api.secret_key)
    return Client(address_of(api), keys, tries, RateLimiter(1_000_000), version=version_of(API_VERSION))
