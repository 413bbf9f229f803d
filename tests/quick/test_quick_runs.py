"""Tests that a quick run leaves what an ordinary run leaves, and that only a run without news is quick."""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from typing import Any

import pytest

from pipelines.destinations.file_lock import exclusive_lock
from pipelines.errors import RunInProgress
from pipelines.quick.record import record_path
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.both_ways import Files, differences, left_by_run, ordinary, quick
from tests.support.installation import TOP, Installation, nothing_is_sent_to
from tests.support.invariants import leftovers

pytestmark = [pytest.mark.duckdb2, pytest.mark.v3, pytest.mark.versions]
ELEVEN = 11  # enough pickups to prove the order of the list


@pytest.fixture
def settled(installation: Installation, world: World, api: Sandbox) -> Installation:
    """An installation with twelve pickups booked 20 minutes apart, eleven of them open, after one run."""
    for _ in range(ELEVEN):
        world.advance(minutes=20)
        world.book()
    world.cancel(world.book())
    ordinary(installation, api, page_size=4)
    world.advance(minutes=15)
    return installation


def test_a_quick_run_leaves_what_an_ordinary_run_leaves(settled: Installation, api: Sandbox) -> None:
    before = Files(settled)

    done = quick(settled, api)
    left = left_by_run(settled)
    before.restore()
    receipt = ordinary(settled, api, page_size=4)

    assert done
    assert differences(left, left_by_run(settled)) == []
    (of_quick,) = done.receipts
    assert (of_quick.is_quick, receipt.is_quick) == (True, False)
    assert (of_quick.rows_unchanged, of_quick.open_pickups, of_quick.requests) == (12, 11, 3)
    assert str(of_quick).split(" in ")[0] == "0 new, 0 changed, 12 unchanged"
    assert leftovers(settled) == []


def test_unknown_and_unreadable_fields_are_counted_as_by_an_ordinary_run(
    installation: Installation, world: World, api: Sandbox
) -> None:
    for _ in range(ELEVEN):
        world.advance(minutes=20)
        world.book()
    world.change(world.records()[0]["id"], colour="red")
    for record in world.records()[:2]:
        world.change(record["id"], contract="twelve")
    ordinary(installation, api)

    done = quick(installation, api)

    assert done
    assert done.receipts[0].unknown_fields == {"colour": 1}
    assert list(done.receipts[0].unreadable_fields.values()) == [2]
    rows = installation.rows("select unknown_fields, unreadable_fields from sendcloud.pickup_runs")
    assert len(rows) == 2
    assert rows[0] == rows[1]


def test_quick_runs_follow_one_another(settled: Installation, world: World, api: Sandbox) -> None:
    for number in (2, 3, 4):
        done = quick(settled, api)
        assert done
        assert done.receipts[0].run_number == number
        assert done.receipts[0].observed_at == world.clock.replace(microsecond=0)
        world.advance(minutes=15)

    runs = settled.rows("select run_number, is_quick, outcome from sendcloud.pickup_runs order by run_number")
    assert [(run["run_number"], run["is_quick"]) for run in runs] == [
        (1, False),
        *((number, True) for number in (2, 3, 4)),
    ]


def test_a_quick_run_publishes_only_if_the_published_file_is_old_enough(
    settled: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is published at 0 and, because 30 minutes is the limit, again at 30 and not at 15 or 45 minutes."""
    monkeypatch.setenv("PUBLISH__MAX_AGE_MINUTES", "30")
    ordinary(settled, api, page_size=4)

    published = []
    for _ in range(3):
        world.advance(minutes=15)
        assert quick(settled, api)
        published.append(len(settled.rows("select run_id from sendcloud.pickup_runs")))
    world.advance(minutes=15)
    ordinary(settled, api, page_size=4)

    assert published == [2, 4, 4]
    runs = settled.rows("select run_number, is_quick from sendcloud.pickup_runs order by run_number")
    assert [run["is_quick"] for run in runs] == [False, False, True, True, True, False]


@pytest.mark.parametrize("what", ["book", "cancel", "move"])
def test_news_are_left_to_an_ordinary_run(settled: Installation, world: World, api: Sandbox, what: str) -> None:
    first = world.records()[-1]
    if what == "book":
        world.book()
    elif what == "cancel":
        world.cancel(first["id"])
    else:
        world.change(first["id"], tracking_number="9988")
    before = Files(settled)

    assert quick(settled, api) is None

    assert Files(settled) == before
    receipt = ordinary(settled, api, page_size=4)
    assert (receipt.rows_new, receipt.rows_changed) == ((1, 0) if what == "book" else (0, 1))


FAULTS: dict[str, Any] = {
    "500": faults.status(500),
    "429": faults.status(429),
    "401": faults.status(401),
    "html": faults.html(),
    "cut": faults.cut(),
    "truncated": faults.truncated(),
    "reset": faults.reset(),
    "loop": faults.loop(),
    "empty page": faults.empty_page(),
}


@pytest.mark.parametrize("page", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_fault_is_left_to_an_ordinary_run(settled: Installation, api: Sandbox, page: int) -> None:
    before = Files(settled)
    for name, fault in FAULTS.items():
        api.fault(fault, page=page, times=None)
        assert quick(settled, api) is None, name
        api.heal()
    assert Files(settled) == before
    assert quick(settled, api)


def test_a_redirect_within_the_origin_is_followed(settled: Installation, api: Sandbox) -> None:
    api.fault(faults.redirect(f"{TOP}4"), page=1, times=1)

    done = quick(settled, api)

    assert done
    assert done.receipts[0].requests == 4


def test_a_redirect_to_another_origin_is_left_to_an_ordinary_run(settled: Installation, api: Sandbox) -> None:
    with serve(World()) as other:
        api.fault(faults.redirect(f"{other.base_url}/pickups/"), page=1, times=1)
        with nothing_is_sent_to(other):
            assert quick(settled, api) is None


def test_the_first_run_of_a_day_is_an_ordinary_run(settled: Installation, world: World, api: Sandbox) -> None:
    """The first run of a day deletes old rows."""
    world.advance(hours=24 - world.clock.hour)

    assert quick(settled, api) is None


def test_a_run_after_the_oldest_pickup_settled_is_an_ordinary_run(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The windows end at 15:00, so all pickups settle seven days later at 15:00."""
    opens = world.clock.replace(hour=13, minute=0, second=0, microsecond=0)
    for _ in range(ELEVEN):
        world.book(pickup_from=opens, pickup_until=opens + timedelta(hours=2))
    world.clock = opens + timedelta(days=6, hours=23)
    ordinary(installation, api)
    world.advance(minutes=50)
    ordinary(installation, api)

    world.clock = opens + timedelta(days=7, hours=1, minutes=59)
    still_open = quick(installation, api)
    world.advance(minutes=2)
    settled = quick(installation, api)

    assert still_open
    assert (still_open.receipts[0].open_pickups, settled) == (11, None)


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_wrong_clock_is_left_to_an_ordinary_run(settled: Installation, api: Sandbox, hours: int) -> None:
    assert quick(settled, api, clock_error=timedelta(hours=hours)) is None


def test_another_program_that_wrote_to_the_files_is_noticed(settled: Installation, api: Sandbox) -> None:
    settled.published.touch()

    with nothing_is_sent_to(api):
        assert quick(settled, api) is None


@pytest.mark.parametrize("part", ["normalize/extracted", "load/normalized"])
def test_a_package_that_a_crashed_run_left_is_noticed(settled: Installation, api: Sandbox, part: str) -> None:
    """The run may have changed neither of the files, but the next receipt says where its package is."""
    (package,) = [path / part / "1795990593.65" for path in settled.folder.glob("data/.dlt-pipelines/*/*_default")]
    package.mkdir(parents=True)

    assert quick(settled, api) is None
    assert ordinary(settled, api).discarded_packages == 1


def test_changed_settings_are_noticed(settled: Installation, api: Sandbox) -> None:
    config = settled.folder / ".dlt" / "config.toml"
    config.write_text(f"{config.read_text() if config.exists() else ''}\n# a comment\n")

    with nothing_is_sent_to(api):
        assert quick(settled, api) is None


def test_another_key_is_noticed(settled: Installation, api: Sandbox) -> None:
    """The environment is read when the process begins, but a secret is read again."""
    with nothing_is_sent_to(api):
        assert quick(settled, api, credentials__secret_key="another-secret-key") is None


def test_the_record_contains_no_secret_and_only_its_owner_can_read_it(settled: Installation, api: Sandbox) -> None:
    path = record_path(settled.warehouse)

    text = path.read_text()

    assert api.secret_key not in text
    assert api.public_key not in text
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_setting_turns_quick_runs_off(installation: Installation, world: World, api: Sandbox) -> None:
    for _ in range(ELEVEN):
        world.book()
    assert installation.command("run", api=api).returncode == 0
    assert record_path(installation.warehouse).exists()

    assert installation.command("run", api=api, PIPELINE__QUICK_RUNS="false").returncode == 0
    assert not record_path(installation.warehouse).exists()


def refused_during(function: str, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> list[RunInProgress]:
    """Replaces the function by another run, and returns a list that will contain the error of each such run."""
    refused: list[RunInProgress] = []

    def another_run(*_: object) -> None:
        with pytest.raises(RunInProgress) as error, exclusive_lock(installation.warehouse):
            pass
        refused.append(error.value)

    monkeypatch.setattr(function, another_run)
    return refused


def test_the_record_is_written_while_no_other_command_can_write(
    installation: Installation, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another command's changes between the run and the record would otherwise count as the run's own."""
    refused = refused_during("pipelines.cli.run.prepare_quick_run", installation, monkeypatch)

    assert installation.command("run", api=api).returncode == 0
    assert len(refused) == 1


def test_a_quick_run_takes_the_lock_that_ordinary_runs_take(
    settled: Installation, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with exclusive_lock(settled.warehouse):
        assert quick(settled, api) is None
    refused = refused_during("pipelines.quick.repeat_run._finish", settled, monkeypatch)
    quick(settled, api)

    assert [f"process {os.getpid()} since " in str(error) for error in refused] == [True]
    assert not settled.warehouse.with_suffix(".holder").exists()


@pytest.mark.parametrize("files", [{".lock": None}, {".lock": "another program's"}, {".holder": "process 1"}])
def test_a_lock_that_no_run_leaves_behind_is_left_to_an_ordinary_run(
    settled: Installation, api: Sandbox, files: dict[str, str | None]
) -> None:
    for suffix, text in files.items():
        path = settled.warehouse.with_suffix(suffix)
        path.unlink(missing_ok=True)
        if text:
            path.write_text(text)

    assert quick(settled, api) is None

    assert [settled.warehouse.with_suffix(suffix).exists() for suffix in files] == [
        bool(text) for text in files.values()
    ]


def test_a_quick_run_without_fcntl_takes_the_lock_too(
    settled: Installation, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows has no fcntl."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    refused = refused_during("pipelines.quick.repeat_run._finish", settled, monkeypatch)
    quick(settled, api)

    assert len(refused) == 1


def told(installation: Installation, until: str) -> tuple[str, bool, bool]:
    """Returns the last good run according to `status`, and whether `show` and the report say what runs found."""
    (account,) = json.loads(installation.command("status", "--json", "--max-age", "1e9").stdout)
    table = installation.command("show", "carriers").stdout
    page = installation.folder / "page.html"
    assert installation.command("report", "--to", str(page)).returncode == 0
    words = f"uns until {until} UTC found nothing new"
    return account["last_success_at"], f"r{words}" in " ".join(table.split()), f"R{words}." in page.read_text()


def test_unpublished_runs_are_told(
    settled: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was published a quarter of an hour ago, and then half an hour, which is the limit."""
    monkeypatch.setenv("PUBLISH__MAX_AGE_MINUTES", "30")
    ordinary(settled, api, page_size=4)
    world.advance(minutes=15)
    assert quick(settled, api)
    ended_at, until = str(world.clock), f"{world.clock:%Y-%m-%d %H:%M}"
    unpublished = told(settled, until)
    world.advance(minutes=15)
    assert quick(settled, api)

    assert unpublished == (ended_at, True, True)
    assert told(settled, until)[1:] == (False, False)
