"""Tests that `pickups status` shows each account's last successful run, and fails if that run is too old."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest

from pipelines.cli.status import print_status
from pipelines.errors import StaleData
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.accounts import add, configure, serving
from tests.support.installation import REPOSITORY, Done, Installation
from tests.support.worlds import NOW


@pytest.fixture
def apis() -> Iterator[dict[str, Sandbox]]:
    worlds = {name: World(clock=NOW) for name in ("north", "south", "east")}
    for world in worlds.values():
        world.book(created_at=NOW)
    with serving(worlds) as apis:
        yield apis


def accounts_in(done: Done) -> dict[str, dict[str, Any]]:
    return {one["account"]: one for one in json.loads(done.stdout)}


def set_finish_time(installation: Installation, outcome: str, before_now: timedelta, account: str = "%") -> None:
    """Changes the receipts as if the runs with this outcome had ended so long ago."""
    with duckdb.connect(str(installation.published)) as connection:
        connection.execute(
            "update sendcloud.pickup_runs set started_at = now() - $before, finished_at = now() - $before "
            "where outcome = $outcome and account like $account",
            {"before": before_now, "outcome": outcome, "account": account},
        )


def _without_ages(text: str) -> str:
    return re.sub(r"\d+:\d\d:\d\d ago", "… ago", text)


def test_status_fails_if_the_last_successful_run_is_too_old_and_shows_its_age(
    installation: Installation, api: Sandbox
) -> None:
    """A later failed run does not count."""
    installation.loaded(api)
    fresh = installation.command("status")
    assert (fresh.returncode, fresh.stderr) == (0, "")
    assert "TOO OLD" not in fresh.stdout
    installation.command("run", api=api, SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY="wrong")
    set_finish_time(installation, "succeeded", timedelta(hours=3))

    text, machine = installation.command("status"), installation.command("status", "--json")

    assert (text.returncode, machine.returncode) == (1, 1)
    assert re.search(r"\(3:0\d:\d\d ago\), TOO OLD", text.stdout)
    assert _without_ages(text.stderr) == _without_ages(machine.stderr)  # a second may pass between the two commands
    assert text.stderr.startswith("pickups: No good run within 2 h: default (last: 20")
    account = accounts_in(machine)["default"]
    assert 3 <= account["age_hours"] < 3.1
    assert (account["is_stale"], account["last_outcome"]) == (True, "failed")


@pytest.mark.slow
def test_the_maximum_age_is_a_setting_and_an_option_overrides_it(installation: Installation, api: Sandbox) -> None:
    installation.loaded(api)
    set_finish_time(installation, "succeeded", timedelta(hours=3))
    add(installation, "config.toml", "[status]", "max_age_hours = 3.5")

    assert installation.command("status").returncode == 0
    assert installation.command("status", "--max-age", "2.9").returncode == 1
    assert installation.command("status", "--max-age", "nan").returncode == 2
    assert installation.command("status", STATUS__MAX_AGE_HOURS="2.9").returncode == 1
    assert installation.command("status", "--max-age", "4", STATUS__MAX_AGE_HOURS="2.9").returncode == 0


def test_only_configured_accounts_count_even_if_they_never_ran(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, {name: apis[name] for name in ("north", "south")})
    installation.command("run")
    set_finish_time(installation, "succeeded", timedelta(hours=3), "south")
    configure(installation, {name: apis[name] for name in ("north", "east")})

    done = installation.command("status", "--json")

    assert done.returncode == 1
    assert "No good run within 2 h: east (last: never)." in done.stderr
    assert {name: (one["is_configured"], one["is_stale"]) for name, one in accounts_in(done).items()} == {
        "east": (True, True),
        "north": (True, False),
        "south": (False, False),
    }
    east, north = accounts_in(done)["east"], accounts_in(done)["north"]
    assert east.keys() == north.keys()
    assert (east["age_hours"], east["last_run_at"], east["pickups"], east["quarantined"]) == (None, None, 0, 0)
    text = installation.command("status").stdout
    assert "last run       never" in text
    assert ("  history        –\n" in text, "  checks         –\n" in text) == (True, True)
    installation.command("run")
    assert installation.command("status").returncode == 0


@pytest.mark.slow
def test_before_the_first_load_status_reports_that_no_run_succeeded(installation: Installation) -> None:
    installation.command("run")

    done = installation.command("status")

    assert done.returncode == 1
    assert "No good run within 2 h: default (last: never)." in done.stderr
    assert "never (to load pickups: pickups run; without keys: pickups demo)" in done.stdout


def test_a_receipt_from_the_future_does_not_count_as_a_recent_run(installation: Installation, api: Sandbox) -> None:
    """This machine's clock was ahead when the run ended."""
    installation.loaded(api)
    set_finish_time(installation, "succeeded", timedelta(days=-400))

    assert installation.command("status").returncode == 1
    installation.run(api)
    assert installation.command("status").returncode == 0


@pytest.mark.slow
def test_the_demos_account_is_never_too_old(installation: Installation) -> None:
    installation.command("demo", "--pickups", "50")

    done = installation.command("status", "--json", "--max-age", "0")

    assert (done.returncode, done.stderr) == (0, "")
    assert not accounts_in(done)["demo"]["is_stale"]


@pytest.mark.slow
def test_a_successful_run_clears_the_previous_error(installation: Installation, api: Sandbox) -> None:
    installation.loaded(api)
    installation.command("run", api=api, SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY="wrong")
    assert "AuthError" in installation.command("status").stdout
    installation.run(api)

    assert "error" not in installation.command("status").stdout
    assert accounts_in(installation.command("status", "--json"))["default"]["last_error"] is None


@pytest.mark.slow
def test_if_keys_are_added_after_the_demo_status_reports_that_no_run_succeeded(
    installation: Installation, api: Sandbox
) -> None:
    installation.command("demo", "--pickups", "300")
    assert installation.command("status").returncode == 0  # without keys, no account is expected to run
    add(installation, "secrets.toml", "[sources.sendcloud.credentials]", "public_key = 'p'", "secret_key = 's'")
    installation.command("run", SOURCES__SENDCLOUD__BASE_URL=api.base_url)
    done = installation.command("status", "--json")

    assert done.returncode == 1
    assert (accounts_in(done)["default"]["is_stale"], accounts_in(done)["demo"]["is_stale"]) == (True, False)


def test_the_example_keys_are_no_keys_after_the_demo(installation: Installation) -> None:
    """`pickups init` writes them. Nobody expects a run before they are replaced."""
    shutil.copy(REPOSITORY / ".dlt" / "example.secrets.toml", installation.folder / ".dlt" / "secrets.toml")
    installation.command("demo", "--pickups", "20")

    done = installation.command("status", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    assert [*accounts_in(done)] == ["demo"]


def test_the_last_run_is_told_by_its_beginning_and_the_last_good_run_by_its_end(
    installation: Installation, api: Sandbox
) -> None:
    installation.loaded(api)
    with duckdb.connect(str(installation.published)) as connection:
        connection.execute(
            "update sendcloud.pickup_runs set started_at = now() - interval 70 minute, "
            "finished_at = now() - interval 65 minute, observed_at = now() - interval 70 minute"
        )

    shown = installation.command("status").stdout

    assert re.search(r"^  last run       succeeded, began .* UTC \(1:10:0\d ago\)$", shown, re.MULTILINE)
    assert re.search(r"^  last good run  ended .* UTC \(1:05:0\d ago\)$", shown, re.MULTILINE)


def test_of_several_accounts_the_problems_come_first_and_each_good_account_takes_a_line(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    """The last run of south failed, east was removed, and west has never run."""
    configure(installation, apis)
    installation.command("run")
    configure(installation, {"south": apis["south"], "west": apis["east"], "north": apis["north"]})
    with duckdb.connect(str(installation.published)) as connection:
        connection.execute(
            "insert into sendcloud.pickup_runs by name select * replace ('2' as run_id, 'failed' as outcome, "
            "'AuthError: refused' as error, now() as started_at, run_number + 1 as run_number) "
            "from sendcloud.pickup_runs where account = 'south'"
        )

    done = installation.command("status")

    lines = done.stdout.splitlines()
    assert lines[0] == "4 accounts: 1 good, 1 failed, 1 never loaded, 1 not configured"
    assert [line for line in lines if not line.startswith(" ")][1:4] == [
        "account south (failed)",
        "account west (never loaded)",
        "account east (not configured)",
    ]
    assert "  error          AuthError: refused" in lines
    assert re.fullmatch(r"north  last good run 0:00:\d\d ago, 1 pickup, 1 open", lines[-1])
    assert done.returncode == 1


def test_forty_accounts_without_a_problem_take_forty_lines_and_a_summary(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One failed, one is too old, and a must-pass check found rows in one."""
    accounts = [published_account(f"a{number:02}") for number in range(40)]
    accounts[3] |= {"last_outcome": "failed", "last_error": "Unavailable: no answer"}
    accounts[7] |= {"is_stale": True}
    accounts[9] |= {"checks_failed": '{"refused_records": 2}'}
    accounts[11] |= {"checks_failed": '{"status_conflict": 2}'}  # only a warning
    monkeypatch.setattr("pipelines.cli.status.read_status", lambda _: accounts)

    with pytest.raises(StaleData, match="a07"):
        print_status(max_age_hours=2)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "40 accounts: 37 good, 1 failed, 1 too old, 1 with a failed check"
    named = [line.removeprefix("account ")[:3] for line in lines[1:] if not line.startswith(" ")]
    assert named == ["a03", "a07", "a09", *(f"a{n:02}" for n in range(40) if n not in (3, 7, 9))]
    assert len(lines) == 1 + 12 + 11 + 11 + 37


def published_account(name: str) -> dict[str, Any]:
    at = datetime.now(UTC)
    counts = {"pickups": 4, "open_pickups": 1, "quarantined": 0}
    instants = dict.fromkeys(("last_run_at", "last_success_at", "newest_created_at", "frontier", "oldest"), at)
    states = {"is_configured": True, "is_stale": False, "history_complete": True, "is_sweep_under_way": False}
    last = {"last_outcome": "succeeded", "last_error": None, "last_sweep_at": None, "checks_failed": "{}"}
    return {"account": name} | counts | instants | states | last


def test_each_fact_comes_from_the_newest_receipt_that_knows_it(installation: Installation, api: Sandbox) -> None:
    """The second good run ended in the future, and its list was empty. Two failed runs follow, one in a sweep."""
    installation.loaded(api)
    with duckdb.connect(str(installation.published)) as connection:
        connection.execute("""
            create temp table first as select * from sendcloud.pickup_runs;
            update sendcloud.pickup_runs set
                run_number = 1, checks_failed = '{"unique_key": 1}', open_pickups = 7, watermark = started_at;
            insert into sendcloud.pickup_runs by name select * replace (
                '2' as run_id, 2 as run_number, now() + interval 9 hour as finished_at, null as watermark,
                now() + interval 9 hour as observed_at, 8 as open_pickups, '{}' as checks_failed
            ) from first;
            insert into sendcloud.pickup_runs by name select * replace (
                '3' as run_id, 3 as run_number, 'failed' as outcome, 'lost' as error, 'incomplete' as sweep
            ) from first;
            insert into sendcloud.pickup_runs by name select * replace (
                '4' as run_id, 4 as run_number, 'failed' as outcome, null as error, null as history_complete
            ) from first;
        """)
        ((ended, started),) = connection.execute("select finished_at, started_at from first").fetchall()

    told = accounts_in(installation.command("status", "--json"))["default"]

    assert datetime.fromisoformat(told["last_success_at"]) == ended
    assert datetime.fromisoformat(told["newest_created_at"]) == started
    assert (told["open_pickups"], told["checks_failed"]) == (8, "{}")
    assert (told["last_outcome"], told["last_error"], told["is_sweep_under_way"]) == ("failed", None, True)
    assert told["history_complete"] is True
