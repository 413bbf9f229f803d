"""Tests accounts that are slow, dead or out of time beside accounts that are ready."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from pipelines import run_accounts
from pipelines.destinations.duckdb import backend
from pipelines.destinations.duckdb.backend import DuckDBBackend
from pipelines.loading import attempt
from pipelines.loading.several import early_publishing
from sources.sendcloud.errors import Unavailable
from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.accounts import configure, rows_of_worlds, serving
from tests.support.destinations import of_files
from tests.support.installation import Installation
from tests.support.three_accounts import apis as apis
from tests.support.worlds import NOW

SMALL = {"page_size": 1, "pages_per_package": 2}


def test_accounts_that_are_ready_are_published_while_another_is_still_read(
    installation: Installation, apis: dict[str, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_publishing, "GATHER_SECONDS", 0.0)
    configure(installation, apis, common=SMALL)
    seen: list[list[str]] = []

    def published() -> list[str]:
        if not installation.published.exists():
            return []
        names = "select account from sendcloud.pickup_runs where outcome = 'succeeded' order by 1"
        return [row["account"] for row in installation.rows(names)]

    def wait_on_the_last_page(_api: Sandbox, number: int) -> None:
        until = time.monotonic() + 90
        while number == 4 and published() != ["east", "north"] and time.monotonic() < until:
            time.sleep(0.1)
        seen.append(published())

    apis["south"].on_request = wait_on_the_last_page

    receipts = run_accounts(installation.folder)

    assert seen[3] == ["east", "north"]
    assert {one.outcome for one in receipts} == {"succeeded"}
    assert [one.finished_at is not None and one.seconds_published is not None for one in receipts] == [True] * 3
    assert installation.pickups() == rows_of_worlds(apis)
    assert len(installation.rows("select 1 from sendcloud.pickup_runs")) == 3


@of_files
def test_no_account_is_published_early_if_an_open_warehouse_cannot_be_copied(
    installation: Installation, apis: dict[str, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows lets no one else open a file that DuckDB has open for writing."""
    for module in (attempt, backend):
        monkeypatch.setattr(module, "CAN_READ_OPEN_DATABASES", False)
    monkeypatch.setattr(early_publishing, "GATHER_SECONDS", 0.0)
    configure(installation, apis, common=SMALL)
    apis["south"].on_request = lambda _api, number: time.sleep(1 if number == 4 else 0)
    published: list[tuple[bool, bool]] = []  # whether the file was copied, and whether DuckDB had it open
    publish = DuckDBBackend.publish

    def noting(self: DuckDBBackend, *, is_last: bool = True) -> bool:
        is_open = bool(self._sessions)
        published.append((publish(self, is_last=is_last), is_open))
        return published[-1][0]

    monkeypatch.setattr(DuckDBBackend, "publish", noting)

    receipts = run_accounts(installation.folder)

    assert len(published) > 1
    assert published == [(False, True)] * (len(published) - 1) + [(True, False)]
    assert {one.outcome for one in receipts} == {"succeeded"}
    assert installation.pickups() == rows_of_worlds(apis)
    assert len(installation.rows("select 1 from sendcloud.pickup_runs")) == 3


def test_account_out_of_time_keeps_what_was_read_and_the_next_run_resumes(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """Each of the 20 pages takes 0.15 s, and there is time for about 6. The package of 100 pages is cut short."""
    for day in range(20):
        world.book(created_at=NOW - timedelta(days=30 - day))
    api.fault(faults.slow(0.15), times=None)
    settings = {"page_size": 1, "pages_per_package": 100}

    with pytest.raises(Exception, match="account_timeout"):
        installation.run(api, account_timeout=1.0, **settings)

    loaded = len(installation.pickups())
    assert 1 <= loaded < 20
    requests = len(api.requests)
    api.heal()
    receipt = installation.run(api, **settings)
    assert (receipt.history_complete, receipt.rows_new) == (True, 20 - loaded)
    # the head is asked for the newest page, and the history from the link where the first run stopped
    assert len(api.requests) - requests <= 20 - loaded + 11
    assert len(installation.pickups()) == 20


def test_api_that_fails_within_a_package_costs_no_page_that_was_read(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The first 12 of 20 pages are read. The API answers 503 to every try for the next page of the package."""
    for day in range(20):
        world.book(created_at=NOW - timedelta(days=30 - day))
    settings = {"page_size": 1, "pages_per_package": 100}
    api.on_request = lambda sandbox, number: sandbox.fault(faults.status(503), times=None) if number == 13 else None

    with pytest.raises(Unavailable):
        installation.run(api, **settings)

    assert len(installation.pickups()) == 12
    api.on_request = None
    api.heal()
    before = len(api.requests)
    receipt = installation.run(api, **settings)
    assert (receipt.history_complete, receipt.rows_new) == (True, 8)
    assert len(api.requests) - before <= 8 + 11  # the open pickups of the head again, and the history from page 13
    assert len(installation.pickups()) == 20


def test_request_that_is_never_answered_ends_with_the_time_of_the_account(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    api.fault(faults.slow(30))
    began = time.monotonic()

    done = installation.command("run", api=api, SOURCES__SENDCLOUD__ACCOUNT_TIMEOUT="1")

    assert (done.returncode, time.monotonic() - began < 8) == (4, True)
    assert "account_timeout" in done.stderr


@pytest.mark.parametrize("seconds", ["-1", "soon"])
def test_time_must_be_a_number_of_seconds(installation: Installation, api: Sandbox, seconds: str) -> None:
    done = installation.command("check", api=api, SOURCES__SENDCLOUD__ACCOUNT_TIMEOUT=seconds)

    assert done.returncode == 3
    assert "account_timeout" in done.stdout


def test_first_loads_are_read_last(installation: Installation, apis: dict[str, Sandbox], monkeypatch: Any) -> None:
    monkeypatch.setattr("pipelines.loading.concurrency.MAX_CONCURRENT", 1)
    configure(installation, {"south": apis["south"]})
    run_accounts(installation.folder)
    order: list[str] = []
    for name, api in apis.items():
        api.on_request = lambda _api, _number, name=name: order.append(name)  # type: ignore[misc]
    configure(installation, apis)

    run_accounts(installation.folder)

    assert list(dict.fromkeys(order)) == ["south", "north", "east"]


def test_origin_that_several_accounts_found_unreachable_is_tried_once_by_the_others(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that refuses connections. Two accounts try three times, the third one once."""
    monkeypatch.setattr("pipelines.loading.concurrency.MAX_CONCURRENT", 1)
    with serving({f"account{number}": World(clock=NOW) for number in range(4)}) as apis:
        alive = apis["account3"]
        dead = {name: {"base_url": "http://127.0.0.1:9/api/v2"} for name in apis if name != "account3"}
        configure(installation, apis, own=dead, common={"request_max_attempts": 3})
        receipts = run_accounts(installation.folder)

    assert [one.requests for one in receipts] == [3, 3, 1, len(alive.requests)]
    assert [one.outcome for one in receipts] == ["failed"] * 3 + ["succeeded"]
