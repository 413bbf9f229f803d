"""Tests that a quick run may die at any instant, and that the next run then puts everything right."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.destinations.duckdb import blocks
from pipelines.quick import pages, receipts, repeat_run
from sources.sendcloud.sandbox import Sandbox, World
from tests.quick.test_quick_runs import settled as settled
from tests.support.both_ways import ordinary, quick
from tests.support.installation import Installation
from tests.support.invariants import differences, published_pickups
from tests.support.life import Died

MODULES: dict[str, Any] = {
    "digest_page": pages,
    "_insert": receipts,
    "_copy": receipts,
    "copy_and_verify": blocks,
    "record_and_publish": receipts,
    "write_record": repeat_run,
}
INSTANTS = [(name, when) for name in MODULES for when in ("before", "after")]
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("name", "when"), INSTANTS)
def test_the_next_run_is_right_after_a_quick_run_died(
    settled: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str, when: str
) -> None:
    entered = getattr(MODULES[name], name)

    def dying(*arguments: Any, **named: Any) -> Any:
        if when == "after":
            entered(*arguments, **named)
        raise Died(name)

    with monkeypatch.context() as patched:
        patched.setattr(MODULES[name], name, dying)
        with pytest.raises(Died):
            quick(settled, api)

    assert len(published_pickups(settled) or []) == 12
    world.advance(minutes=15)
    again = quick(settled, api)
    # the receipt is written in one transaction, and the record last
    is_untouched = name in ("digest_page", "_insert") or (name, when) == ("record_and_publish", "before")
    assert bool(again) == (is_untouched or (name, when) == ("write_record", "after"))
    world.advance(minutes=15)
    world.book()
    ordinary(settled, api, page_size=4)
    assert differences(settled, world) == []
    numbers = settled.rows("select run_number from sendcloud.pickup_runs order by run_number")
    assert [row["run_number"] for row in numbers] == list(range(1, len(numbers) + 1))
