"""Tests runs in which only some accounts have news: the others are not read, but leave what they would have left."""

from __future__ import annotations

import io
import json
import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest

from pipelines.cli.run import RunRequest, run_and_report
from pipelines.cli.run_messages import show_progress
from pipelines.destinations.duckdb import publish
from pipelines.destinations.duckdb.backend import DuckDBBackend
from pipelines.errors import DestinationError
from pipelines.file_access import file_identity
from pipelines.loading.several import early_publishing
from pipelines.quick.command_line import RunOptions
from pipelines.quick.record import read_record, record_path, write_record
from pipelines.quick.repeat_run import QuickRun, Unchanged, repeat_last_run
from sources.sendcloud import ReadStats
from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.accounts import configure, rows_of_worlds, serving
from tests.support.both_ways import Files, configured, differences, left_by_run, mark_of
from tests.support.cases import quick
from tests.support.installation import Installation
from tests.support.worlds import NOW

NAMES = ("north", "south", "west")
Apis = Mapping[str, Sandbox]


@pytest.fixture
def apis(installation: Installation) -> Iterator[Apis]:
    """Three accounts with twelve open pickups each, after one run."""
    worlds = {name: World(clock=NOW) for name in NAMES}
    for world in worlds.values():
        for _ in range(12):
            world.advance(minutes=20)
            world.book()
    with serving(worlds) as apis:
        configure(installation, apis, common={"page_size": 5, "request_max_attempts": 1})
        run(installation, apis)
        advance(apis, 15)
        yield apis


def run(
    installation: Installation, apis: Apis, account: str | None = None, *, may_be_quick: bool = True
) -> list[dict[str, Any]]:
    """Does what the process `pickups run --json` does, and returns its receipts."""
    options, out = RunOptions(account=account), io.StringIO()
    with configured(installation, apis["north"]), redirect_stdout(out), redirect_stderr(io.StringIO()):
        installation.monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))
        found = repeat_last_run(installation.folder, mark_of(installation), options) if may_be_quick else None
        if isinstance(found, QuickRun):
            return [json.loads(receipt.as_json()) for receipt in found.receipts]
        run_and_report(RunRequest(account, False, None, 0, False), found, as_json=True)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def advance(apis: Apis, minutes: float) -> None:
    for api in apis.values():
        api.world.advance(minutes=minutes)


def is_quick(receipts: list[dict[str, Any]]) -> dict[str, bool]:
    return {receipt["account"]: receipt["is_quick"] for receipt in receipts}


def both_ways(installation: Installation, apis: Apis) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Makes a run as scheduled and, from the same files, an ordinary one. Keeps what the first leaves."""
    before = Files(installation)
    first = run(installation, apis)
    left, after = rows(installation), Files(installation)
    record = record_path(installation.warehouse)
    recorded = record.read_bytes() if record.exists() else None

    before.restore()
    second = run(installation, apis, may_be_quick=False)
    assert differences(left, rows(installation)) == []
    after.restore()
    if recorded:
        record.write_bytes(recorded)
        take_marks_again(installation)
    return first, second


def rows(installation: Installation) -> list[dict[str, Any]]:
    """Returns what the run left, except for dlt's own tables.

    They contain times and ids of the run, and in the staging dataset the rows of the account that was loaded last.
    """
    return [row for row in left_by_run(installation) if not re.match(r"sendcloud(_staging\.|\._dlt)", row["table"])]


def take_marks_again(installation: Installation) -> None:
    """Restoring the files changed their times."""
    path = record_path(installation.warehouse)
    record = read_record(path)
    assert record
    record.warehouse_mark = file_identity(installation.warehouse)
    record.published_mark = file_identity(installation.published)
    write_record(path, record)


def test_accounts_without_news_leave_what_an_ordinary_run_leaves(installation: Installation, apis: Apis) -> None:
    apis["south"].world.book()

    scheduled, ordinary = both_ways(installation, apis)

    assert is_quick(scheduled) == {"north": True, "south": False, "west": True}
    assert is_quick(ordinary) == dict.fromkeys(NAMES, False)
    assert [receipt["rows_new"] for receipt in scheduled] == [0, 1, 0]
    advance(apis, 15)
    assert is_quick(run(installation, apis)) == dict.fromkeys(NAMES, True)


def test_an_account_without_news_is_asked_once(installation: Installation, apis: Apis) -> None:
    before = {name: len(api.requests) for name, api in apis.items()}
    apis["south"].world.book()

    run(installation, apis)

    # Twelve pickups are on three pages. The quick run stops at the first page of south, which differs.
    asked = {name: len(api.requests) - before[name] for name, api in apis.items()}
    assert asked == {"north": 3, "south": 1 + 3, "west": 3}


def test_an_account_that_keeps_failing_does_not_hold_back_the_others(installation: Installation, apis: Apis) -> None:
    apis["west"].fault(faults.status(401), times=None)
    failed = run(installation, apis)
    advance(apis, 15)
    again = run(installation, apis)
    apis["west"].heal()
    advance(apis, 15)
    mended = run(installation, apis)
    advance(apis, 15)

    assert is_quick(failed) == {"north": True, "south": True, "west": False}
    assert [receipt["outcome"] for receipt in again] == ["succeeded", "succeeded", "failed"]
    assert is_quick(again) == is_quick(mended) == is_quick(failed)
    assert is_quick(run(installation, apis)) == dict.fromkeys(NAMES, True)


def test_a_schedule_for_each_account_is_quick_too(installation: Installation, apis: Apis) -> None:
    apis["south"].world.book()
    first = [is_quick(run(installation, apis, name)) for name in NAMES]
    advance(apis, 15)
    second = [is_quick(run(installation, apis, name)) for name in NAMES]

    assert first == [{"north": True}, {"south": False}, {"west": True}]
    assert second == [{name: True} for name in NAMES]


def test_a_file_that_changed_in_between_makes_all_accounts_ordinary(
    installation: Installation, apis: Apis, monkeypatch: pytest.MonkeyPatch
) -> None:
    apis["south"].world.book()
    check = Unchanged.check

    def touched(unchanged: Unchanged) -> bool:
        installation.published.touch()
        return check(unchanged)

    with monkeypatch.context() as patched:
        patched.setattr(Unchanged, "check", touched)
        receipts = run(installation, apis)

    assert is_quick(receipts) == dict.fromkeys(NAMES, False)
    assert [receipt["rows_unchanged"] for receipt in receipts] == [12, 12, 12]


def test_a_lost_warehouse_makes_all_accounts_ordinary(
    installation: Installation, apis: Apis, monkeypatch: pytest.MonkeyPatch
) -> None:
    apis["south"].world.book()
    check = Unchanged.check

    def lost(unchanged: Unchanged) -> bool:
        is_current = check(unchanged)
        installation.warehouse.unlink()
        return is_current

    with monkeypatch.context() as patched:
        patched.setattr(Unchanged, "check", lost)
        receipts = run(installation, apis)
    advance(apis, 15)

    assert is_quick(receipts) == dict.fromkeys(NAMES, False)
    assert all(receipt["warehouse_restored"] for receipt in receipts)
    assert is_quick(run(installation, apis)) == dict.fromkeys(NAMES, False)
    assert pickups(installation) == len(rows_of_worlds(apis))


def test_unchanged_accounts_are_published_while_another_one_is_read(
    installation: Installation, apis: Apis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_publishing, "GATHER_SECONDS", 0.0)
    published: list[int] = []

    def look(_api: Sandbox, _number: int) -> None:
        time.sleep(1)
        (row,) = installation.rows("select count(*) as runs from sendcloud.pickup_runs where account = 'north'")
        published.append(row["runs"])

    apis["south"].world.book()
    apis["south"].on_request = look
    receipts = run(installation, apis)

    assert is_quick(receipts) == {"north": True, "south": False, "west": True}
    assert (published[0], published[-1]) == (1, 2)


def test_an_error_of_the_run_is_not_lost_if_no_account_has_news(
    installation: Installation, apis: Apis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open incident makes the run an ordinary one, although it reads no account."""
    record = read_record(record_path(installation.warehouse))
    assert record
    incidents = installation.folder / "data" / "incidents.json"
    incidents.write_text("{}")
    record.incidents = [str(incidents)]
    write_record(record_path(installation.warehouse), record)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(DuckDBBackend, "prepare", fail)
        receipts = run(installation, apis)

    assert [receipt["outcome"] for receipt in receipts] == ["failed"] * 3
    assert all("No space left on device" in receipt["error"] for receipt in receipts)


def test_a_run_that_could_not_publish_leaves_no_record(
    installation: Installation, apis: Apis, monkeypatch: pytest.MonkeyPatch
) -> None:
    apis["south"].world.book()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(publish, "replace_atomically", fail)
        with pytest.raises(DestinationError):
            run(installation, apis, "south")

    assert not record_path(installation.warehouse).exists()


def test_the_receipts_are_in_the_order_of_the_settings(installation: Installation, apis: Apis) -> None:
    apis["south"].world.book()
    run(installation, apis, "south")
    advance(apis, 15)

    assert [receipt["account"] for receipt in run(installation, apis)] == [*NAMES]


def test_a_run_in_between_does_not_lose_its_record(installation: Installation, apis: Apis) -> None:
    """A run of south waits for the lock while another one loads west."""
    for name in ("south", "west"):
        apis[name].world.book()
    with configured(installation, apis["north"]):
        found = repeat_last_run(installation.folder, mark_of(installation), RunOptions(account="south"))
    assert isinstance(found, Unchanged)
    run(installation, apis, "west")
    out = io.StringIO()
    with configured(installation, apis["north"]), redirect_stdout(out), redirect_stderr(out):
        run_and_report(RunRequest("south", False, None, 0, False), found, as_json=True)

    advance(apis, 15)
    assert is_quick(run(installation, apis)) == dict.fromkeys(NAMES, True)


def test_every_account_is_read_the_ordinary_way_once_a_day(installation: Installation, apis: Apis) -> None:
    apis["south"].world.book()
    run(installation, apis)
    advance(apis, 24 * 60 - 60 * apis["north"].world.clock.hour)

    assert is_quick(run(installation, apis)) == dict.fromkeys(NAMES, False)


@pytest.mark.parametrize("seed", quick(range(12), only=(0, 1)))
def test_random_news_are_loaded_in_the_same_way(installation: Installation, apis: Apis, seed: int) -> None:
    chance, ways = random.Random(seed), set[tuple[bool, ...]]()  # no secret
    for _ in range(6):
        for api in apis.values():
            happen(chance, api)
        scheduled, _ = both_ways(installation, apis)
        ways.add(tuple(is_quick(scheduled).values()))
        assert pickups(installation) == len(rows_of_worlds(apis))
        advance(apis, chance.randint(1, 40))

    assert len(ways) > 1


def happen(chance: random.Random, api: Sandbox) -> None:
    """With a chance of one half, something happens in the account, or its API fails once."""
    api.heal()
    event, some = chance.randrange(8), chance.choice(api.world.records())["id"]
    if event == 0:
        api.world.book()
    elif event == 1:
        api.world.cancel(some)
    elif event == 2:
        api.world.change(some, tracking_number=str(chance.randrange(10_000)))
    elif event == 3:
        api.fault(faults.status(401), page=1, times=None)


def pickups(installation: Installation) -> int:
    (row,) = installation.rows("select count(*) as pickups from sendcloud.pickups")
    return int(row["pickups"])


def test_only_the_accounts_that_are_read_have_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with show_progress(NAMES, ["north", "west"]) as on_progress:
        on_progress("reading", ReadStats(account="south"))

    shown = terminal.getvalue()
    assert "south: reading" in shown
    assert "north" not in shown
    assert "west" not in shown
