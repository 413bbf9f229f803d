"""An account as the walk alone reads it, over a real socket: without dlt and a database, a run takes milliseconds.

What dlt keeps is kept here: of each package its rows and the memory together, or, when the run dies, neither.
"""

from __future__ import annotations

import copy
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from sources.sendcloud import Reading, SendcloudCredentials, version_of
from sources.sendcloud.client import Client
from sources.sendcloud.frontier import Memory, Rules
from sources.sendcloud.pace import Pace
from sources.sendcloud.sandbox import Sandbox
from sources.sendcloud.walk import Span, Walked, walk
from tests.support.destinations import DESTINATION
from tests.support.installation import API_VERSION, address_of

Row = dict[str, Any]
IS_HERE = DESTINATION == "duckdb" and duckdb.__version__ < "2"  # elsewhere it is the destination that is tested
WHOLE_RUN = pytest.param("run", marks=pytest.mark.slow)
# the walk by default, and the same over a whole run when slow tests are asked for
walked = pytest.mark.parametrize("installation", ["walk", WHOLE_RUN] if IS_HERE else [WHOLE_RUN], indirect=True)
# the same, but a whole run where another destination is tested
walked_here = pytest.mark.parametrize("installation", ["walk", WHOLE_RUN] if IS_HERE else ["run"], indirect=True)


class Walking:
    """Of an `Installation` what scenarios ask for: runs, and the rows that are there afterwards."""

    def __init__(self) -> None:
        self._memories: dict[str, Memory] = {}
        self._rows: dict[tuple[str, int], Row] = {}

    def run(self, api: Sandbox, *, sweep: bool = False, account: str = "default", **settings: Any) -> Any:
        """One run, package by package; raises what the walk raises, and keeps what was loaded before."""
        reading = Reading(account=account, api_version=API_VERSION)
        client = _client(api, settings.pop("request_max_attempts", 7))
        rules = _rules(**settings)
        counts: Counter[str] = Counter(rows_new=0, rows_changed=0, rows_unchanged=0)
        part: Any = "sweep" if sweep else "head"
        try:
            while True:
                memory = copy.deepcopy(self._memories.get(account, {}))
                if done := walk(client, part, memory, rules, Span(None, None), reading):
                    counts += self._load(account, done)
                if not reading.has_more:
                    return SimpleNamespace(**vars(reading) | dict(counts))
                part = "history"
        finally:
            reading.let_go()

    def pickups(self) -> list[Row]:
        """As `Installation.pickups`."""
        return [self._rows[key] for key in sorted(self._rows)]

    def _load(self, account: str, done: Walked) -> Counter[str]:
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
    return Client(address_of(api), keys, tries, Pace(1_000_000), version=version_of(API_VERSION))
