"""Tests random lives of an account: Hypothesis chooses the events between runs, the faults during runs and their order.

`make soak` does this for hours.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dlt.common.storages import load_package
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from pipelines import Receipt
from sources.sendcloud import SendcloudError
from sources.sendcloud.reading import clocks
from sources.sendcloud.sandbox import faults, serve
from tests.support import short_lists
from tests.support.installation import Installation, rows_of
from tests.support.instants import OF_EACH_PACKAGE, OF_THE_END, happen_at
from tests.support.invariants import differences_from, published_pickups, states_told
from tests.support.random_account import Account

pytestmark = [pytest.mark.v3, pytest.mark.slow]

RUNS: Counter[str] = Counter()  # the number of runs by outcome, which the soak test prints
# dlt merges in a thread, where Died cannot be raised
INSTANTS = [instant for instant in [*OF_EACH_PACKAGE, *OF_THE_END] if instant != "entering merge"]
FAULTS = [faults.status(500), faults.html(), faults.cut(), faults.truncated(), faults.reset(), faults.expired_cursor()]
SHORT_LISTS = [short_lists.nothing(), short_lists.ending(), short_lists.without_rows()]
WRONG_HOURS = [-25 * 365 * 24, -30 * 24, -3, -0.5, 0.5, 3, 30 * 24, 73 * 365 * 24]
HAS_PICKUPS = "from duckdb_tables() where schema_name = 'sendcloud' and table_name = 'pickups'"
ORDERS = ["descending", "offset", "ascending", "shuffled"]
leads = st.integers(-24, 24 * 20)
somewhere = st.floats(0, 0.999)
ways = st.fixed_dictionaries(
    {
        "page_size": st.integers(3, 20),
        "pages_per_package": st.integers(1, 6),
        "sweep": st.sampled_from([False, False, False, False, True]),
    }
)


class Died(BaseException):
    """Ends a run without being caught, which is as close to SIGKILL as one process allows."""


class Life(RuleBasedStateMachine):
    """Drives an account and its installation through random events."""

    def __init__(self) -> None:
        super().__init__()
        self.account = Account()
        self.world = self.account.world
        self.stack = ExitStack()
        self.api = self.stack.enter_context(serve(self.world))
        patched = self.stack.enter_context(pytest.MonkeyPatch.context())
        folder = Path(tempfile.mkdtemp())
        self.stack.callback(shutil.rmtree, folder)
        (folder / ".dlt").mkdir()
        self.installation = Installation(folder, patched)
        self.clock_error = 0.0  # seconds by which the local clock is wrong
        patched.setattr(load_package, "increasing_precise_time", lambda: time.time() + self.clock_error)

    @initialize(
        bookings=st.lists(st.tuples(st.timedeltas(timedelta(0), timedelta(days=60)), leads), max_size=30),
        order=st.sampled_from(ORDERS),
    )
    def begin(self, bookings: list[tuple[timedelta, int]], order: Any) -> None:
        self.account.begin(bookings)
        self.api.order = order

    @rule(lead_hours=leads)
    def book(self, lead_hours: int) -> None:
        self.world.advance(minutes=7)
        self.account.book(lead_hours)

    @rule(lead_hours=leads, minutes=st.integers(1, 55))
    def book_late(self, lead_hours: int, minutes: int) -> None:
        """Books a pickup that is listed only now, less than an hour after it was booked."""
        self.world.advance(minutes=7)
        booked = self.world.clock - timedelta(minutes=minutes)
        self.account.book(lead_hours, created_at=booked, listed_from=self.world.clock)

    @rule(what=st.sampled_from(["cancel", "fail", "relabel", "move", "break", "blur"]), where=somewhere)
    def change(self, what: str, where: float) -> None:
        self.account.happen(what, where)

    @rule()
    def mend(self) -> None:
        self.account.mend()

    @rule()
    def cancel_all(self) -> None:
        self.account.settle_all()

    @rule(bookings=st.integers(1, 8), hours=st.floats(2, 40))
    def book_through_a_day(self, bookings: int, hours: float) -> None:
        for _ in range(bookings):
            self.world.advance(hours=hours / bookings)
            self.account.book(lead_hours=30)

    @rule(days=st.floats(0.1, 20))
    def settle(self, days: float) -> None:
        self.world.advance(days=days)

    @rule(order=st.sampled_from(ORDERS))
    def reorder(self, order: Any) -> None:
        """Changes the order of the list at any time, even during an interrupted first load or sweep."""
        self.api.order = order

    @rule(hours=st.floats(-500, 500))
    def set_this_machines_clock(self, hours: float) -> None:
        """Changes the local clock, by which dlt names its loads and finds the latest state."""
        self.clock_error += hours * 3600

    @rule(way=ways)
    def run(self, way: dict[str, int]) -> None:
        self.run_and_check(**way)

    @rule(way=ways)
    def run_again(self, way: dict[str, int]) -> None:
        """Repeats the `run` rule, because runs are the most frequent event."""
        self.run_and_check(**way)

    @rule(way=ways, fault=st.sampled_from(FAULTS), page=st.integers(1, 6))
    def run_on_a_bad_line(self, way: dict[str, int], fault: Any, page: int) -> None:
        self.api.fault(fault, page=page, times=None)
        self.run_and_check(**way, request_max_attempts=2)
        self.api.heal()

    @rule(way=ways, instant=st.sampled_from(INSTANTS), number=st.integers(1, 3))
    def run_that_dies(self, way: dict[str, int], instant: str, number: int) -> None:
        def die() -> None:
            raise Died(instant)

        with pytest.MonkeyPatch.context() as patched:
            happen_at(instant, number, die, patched.setattr)
            self.run_and_check(**way)

    @rule(way=ways, hours=st.sampled_from(WRONG_HOURS), whose=st.sampled_from(["api", "machine", "both"]))
    def run_with_a_wrong_clock(self, way: dict[str, int], hours: float, whose: str) -> None:
        """If both clocks are wrong, the run believes them, and a later run must correct what it left."""
        off = timedelta(hours=hours)
        if whose != "machine":
            self.api.on_request = lambda api, _: (api.heal(), api.fault(short_lists.date(api.world.clock + off)))
        with clocks.simulated_machine_clock(lambda: self.world.clock + (timedelta(0) if whose == "api" else off)):
            self.run_and_check(**way)
        self.api.on_request = None
        self.api.heal()

    @rule(way=ways, fault=st.sampled_from(SHORT_LISTS), page=st.integers(1, 4))
    def run_over_a_short_list(self, way: dict[str, int], fault: Any, page: int) -> None:
        """Lists too few pickups, between two complete runs. Without the first one, nothing would tell."""
        self.run_and_check(**way)
        known = self.loaded_so_far()
        self.api.fault(fault, page=page, times=None)
        self.world.advance(minutes=1)
        receipt = self.installation.run(self.api, **way)
        RUNS["over a short list"] += 1
        self.account.watched(succeeded=True)
        assert receipt.must_pass_failed == bool(receipt.open_missing)
        assert self.installation.pickups() == known
        self.api.heal()
        self.run_and_check(**way)

    def run_and_check(self, **way: int) -> None:
        """Starts a run and checks that readers have a complete file, whatever happens to the run.

        If the run succeeds, this also checks all its results.
        """
        self.world.advance(minutes=1)
        before = self.loaded_so_far()
        try:
            receipt = self.installation.run(self.api, **way)
        except (SendcloudError, Died) as error:
            RUNS[type(error).__name__] += 1
            self.account.watched(succeeded=False)
            published_pickups(self.installation)
            return
        RUNS["succeeded"] += 1
        self.account.watched(succeeded=True)
        self.check(receipt, before, self.account.table(before))

    def check(self, receipt: Receipt, before: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
        known = {row["id"]: row for row in before}
        changed = [row for row in expected if row["id"] in known and row != known[row["id"]]]
        assert differences_from(self.installation, expected) == []
        assert (receipt.rows_new, receipt.rows_changed) == (len(expected) - len(before), len(changed))
        assert not receipt.rows_unlisted, "no pickup is ever removed from this list"
        assert self.account.wrong_in_history(states_told(self.installation.published)) == []
        kept = self.installation.rows("select record from sendcloud.pickups_quarantine")
        assert self.account.wrong_in_quarantine([row["record"] for row in kept]) == []

    def loaded_so_far(self) -> list[dict[str, Any]]:
        """Returns the table as all runs so far have left it, including runs that died."""
        warehouse = self.installation.warehouse
        if not warehouse.exists() or not rows_of(warehouse, HAS_PICKUPS):
            return []
        return rows_of(warehouse, "select * exclude (_dlt_load_id) from sendcloud.pickups order by id")

    def teardown(self) -> None:
        try:
            self.api.heal()
            self.run_and_check()
        finally:
            self.stack.close()


TestLife = Life.TestCase
# examples are not shrunk here because that takes minutes; the soak test shrinks them
TestLife.settings = settings(
    max_examples=4, stateful_step_count=20, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)
