"""Tests random lives of an account in which every run that may be quick is made both ways, from the same files.

`python -m tests.soak.worlds --both-ways` does this for hours.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from pipelines import Receipt
from sources.sendcloud.sandbox import Sandbox
from tests.runs.test_worlds_machine import Life
from tests.support.both_ways import Files, differences, left_by_run, quick, remember
from tests.support.installation import Installation
from tests.support.invariants import leftovers

pytestmark = [pytest.mark.v3, pytest.mark.slow]
WAYS: Counter[str] = Counter()  # how many runs were made both ways, and how many were left to an ordinary run
# one life has one set of settings, because the environment's mark is computed when the process begins
SETTINGS = {"page_size": 7, "pages_per_package": 3}


class BothWays(Installation):
    """An installation whose runs are made the quick way first, if possible, and then the ordinary way."""

    def run(self, api: Sandbox, **way: Any) -> Receipt:
        """Makes both runs, compares what they leave, and returns the receipt of the ordinary one."""
        left = None if way.get("sweep") else self._left_by_quick_run(api)
        WAYS["ordinary" if left is None else "both ways"] += 1
        receipt = super().run(api, **{**way, **SETTINGS})
        if left is not None:
            assert differences(left, left_by_run(self)) == []
        remember(self, api, receipt, clock_error=None, **SETTINGS)
        return receipt

    def _left_by_quick_run(self, api: Sandbox) -> list[dict[str, Any]] | None:
        before = Files(self)
        done = quick(self, api, clock_error=None, **SETTINGS)
        if not done:
            assert Files(self) == before
            return None
        left = left_by_run(self)
        assert leftovers(self) == []
        before.restore()
        return left


class LifeBothWays(Life):
    """Drives an account and an installation that makes every run both ways, if it may be quick."""

    def __init__(self) -> None:
        super().__init__()
        self.installation.monkeypatch.setenv("PIPELINE__QUICK_RUNS", "true")
        self.installation = BothWays(self.installation.folder, self.installation.monkeypatch)

    @rule(minutes=st.lists(st.floats(1, 240), min_size=2, max_size=3))
    def run_quietly(self, minutes: list[float]) -> None:
        """Makes a run, and further runs without any news. The time that passes may settle a pickup or begin a day."""
        for wait in minutes:
            self.run_and_check()
            self.world.advance(minutes=wait)
        self.run_and_check()


TestLifeBothWays = LifeBothWays.TestCase
TestLifeBothWays.settings = settings(
    max_examples=4, stateful_step_count=30, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)
