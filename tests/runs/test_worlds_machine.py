"""Tests random lives of an account: Hypothesis chooses the events between runs, the faults during runs and their order.

`make soak` does this for hours.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from sources.sendcloud.reading import clocks
from sources.sendcloud.sandbox import faults
from tests.support import short_lists
from tests.support.damages import DAMAGES, SHOWN_BY_READING, empty, remove, truncate
from tests.support.instants import OF_EACH_PACKAGE, OF_THE_END, happen_at
from tests.support.life import RUNS, Died, Installed, must_fail
from tests.support.strangers import STRANGERS, WAREHOUSE

pytestmark = [pytest.mark.v3, pytest.mark.slow]

# dlt merges in a thread, where Died cannot be raised
INSTANTS = [instant for instant in [*OF_EACH_PACKAGE, *OF_THE_END] if instant != "entering merge"]
FAULTS = [faults.status(500), faults.html(), faults.cut(), faults.truncated(), faults.reset(), faults.expired_cursor()]
SHORT_LISTS = [short_lists.nothing(), short_lists.ending(), short_lists.without_rows()]
WRONG_HOURS = [-25 * 365 * 24, -30 * 24, -3, -0.5, 0.5, 3, 30 * 24, 73 * 365 * 24]
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


class Life(Installed, RuleBasedStateMachine):
    """Drives an account and its installation through random events."""

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
        self.account.watched(succeeded=True, run_id=receipt.run_id)
        assert receipt.must_pass_failed == must_fail(receipt)
        assert self.installation.pickups() == known
        self.api.heal()
        self.run_and_check(**way)

    @rule(where=somewhere)
    def vanish(self, where: float) -> None:
        self.account.vanish(where, self.loaded_so_far())

    @rule(damage=st.sampled_from(DAMAGES), bookings=st.integers(0, 2))
    def lose_the_warehouse(self, damage: Callable[[Path], None], bookings: int) -> None:
        """If only reading shows the damage, everything must be published before: a person would have to decide."""
        if damage in SHOWN_BY_READING:
            self.run_and_check()
        self.lose(damage, self.installation.warehouse)
        for _ in range(bookings):
            self.account.book(lead_hours=30)

    @rule(damage=st.sampled_from([remove, truncate, empty]))
    def lose_the_published_file(self, damage: Callable[[Path], None]) -> None:
        self.lose(damage, self.installation.published)

    @precondition(lambda self: not self.is_lost)
    @rule(stranger=st.sampled_from(STRANGERS))
    def run_beside_a_stranger(self, stranger: str) -> None:
        if stranger != WAREHOUSE or self.installation.published.exists():  # else they share a new warehouse
            self.refuse(stranger)

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
