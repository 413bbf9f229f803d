"""Tests pruning at every destination. `make test-places` runs the test with PostgreSQL and a Delta lake."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipelines import Receipt
from pipelines.loading import account_run
from sources.sendcloud.sandbox import World, serve
from tests.support.installation import Installation, as_rows
from tests.support.worlds import NOW

pytestmark = [pytest.mark.places, pytest.mark.slow]


def test_pruning_removes_old_receipts_and_nothing_else(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three runs are two years old and two are recent. Once a newer receipt exists, no old one is needed."""
    world = World(clock=NOW - timedelta(days=800))

    # this machine's clock agrees with the API's
    monkeypatch.setattr(account_run, "Receipt", lambda stats: Receipt(stats, started_at=world.clock))
    with serve(world) as api:
        for _ in range(3):
            world.book()
            installation.run(api)
            world.advance(hours=1)
        world.advance(days=700)
        for _ in range(2):
            world.book()
            installation.run(api)
            world.advance(days=1)

    receipts = installation.rows("select rows_in_table from sendcloud.pickup_runs order by started_at")
    assert [receipt["rows_in_table"] for receipt in receipts] == [4, 5]
    assert installation.pickups() == as_rows(world.records())
    assert installation.rows("select count(*) as n from sendcloud.pickup_status_history") == [{"n": 5}]
