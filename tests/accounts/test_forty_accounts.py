"""Tests forty accounts on one machine: one is slow, one is dead, and one is told to slow down."""

from __future__ import annotations

import time
from datetime import timedelta
from threading import Event, Thread
from typing import Any

import pytest

from pipelines import run_accounts
from sources.sendcloud.sandbox import World, faults
from tests.support.accounts import configure, serving
from tests.support.installation import Installation
from tests.support.worlds import NOW

BUDGET_SECONDS, PUBLISHED_WITHIN_SECONDS = 90.0, 60.0
SLOW, DEAD, BUSY = "a00", "a01", "a02"


@pytest.mark.slow
def test_thirty_seven_accounts_are_published_within_a_minute_of_being_read(installation: Installation) -> None:
    worlds: dict[str, World] = {}
    for number in range(40):
        world = worlds[f"a{number:02}"] = World(clock=NOW)
        for day in range(60 if number == 0 else 20):
            world.book(created_at=NOW - timedelta(days=90 - day))
    seen: dict[str, float] = {}
    over = Event()

    def look() -> None:
        while not over.wait(1):
            if installation.published.exists():
                names = installation.rows("select account from sendcloud.pickup_runs where outcome = 'succeeded'")
                for row in names:
                    seen.setdefault(row["account"], time.monotonic())

    with serving(worlds) as apis:
        apis[SLOW].fault(faults.slow(5), times=None)
        apis[BUSY].fault(faults.too_many(5), times=None)
        read: dict[str, float] = {}
        for name, api in apis.items():
            api.on_request = lambda _api, _number, name=name: read.update({name: time.monotonic()})  # type: ignore[misc]
        own: Any = {DEAD: {"base_url": "http://127.0.0.1:9/api/v2"}, SLOW: {"page_size": 1}}
        configure(installation, apis, own=own, common={"account_timeout": BUDGET_SECONDS})
        looker = Thread(target=look, daemon=True)
        looker.start()
        began = time.monotonic()
        receipts = {one.account: one for one in run_accounts(installation.folder)}
        took = time.monotonic() - began
        time.sleep(2)
        over.set()
        looker.join()

    good = [name for name in worlds if name not in (SLOW, DEAD, BUSY)]
    late = {name: round(seen[name] - read[name], 1) for name in good}
    print(f"the run took {took:.0f} s; published at most {max(late.values())} s after the last request")
    assert {name: receipts[name].outcome for name in worlds} == {
        name: "succeeded" if name in good else "failed" for name in worlds
    }
    assert [name for name, seconds in late.items() if seconds > PUBLISHED_WITHIN_SECONDS] == []
    assert took < 2 * BUDGET_SECONDS
