"""`--log-format json`: each line on stderr is an object, whoever writes it; stdout is as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.accounts import add, configure, serving
from tests.support.alert_receiver import listening
from tests.support.installation import Done, Installation
from tests.support.worlds import NOW

AS_JSON = ("run", "--log-format", "json")
PIPELINES = Path(__file__).parents[2] / "pipelines"
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "log-events.md"


@pytest.fixture
def apis() -> Iterator[dict[str, Sandbox]]:
    worlds = {name: World(clock=NOW) for name in ("north", "south")}
    for world in worlds.values():
        world.book(created_at=NOW)
    with serving(worlds) as apis:
        yield apis


def lines(done: Done) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stderr.splitlines()]


def events(done: Done) -> list[str]:
    return [line["event"] for line in lines(done)]


@pytest.mark.slow
def test_a_run_is_told_in_events_with_the_receipts_run_id_and_numbers(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)

    done = installation.command(*AS_JSON)

    assert re.fullmatch(r"(north|south): 1 new.*\n(north|south): 1 new.*\n", done.stdout)
    said = lines(done)
    assert all(list(line)[:4] == ["at", "event", "account", "run_id"] for line in said)
    instants = [datetime.fromisoformat(line["at"]) for line in said]
    assert {at.tzinfo for at in instants} == {UTC}
    assert instants == sorted(instants)
    runs = installation.rows("select * from sendcloud.pickup_runs")
    for row in runs:
        own = [line for line in said if line["account"] == row["account"]]
        assert [line["event"] for line in own] == ["reading", "loading", "succeeded"]
        assert {line["run_id"] for line in own} == {row["run_id"]}
        for name in ("pages", "requests", "rows_read", "rows_new", "rows_unchanged", "quarantined", "seconds_read"):
            assert own[-1][name] == row[name], name
        assert (own[-1]["exit_code"], own[0]["pages"], own[0]["rows_read"]) == (0, 1, 1)
    assert len(runs) == 2
    assert [line["event"] for line in said if not line["account"]] == ["publishing", "ended"]
    assert (said[-1]["event"], said[-1]["exit_code"]) == ("ended", 0)


@pytest.mark.slow
def test_errors_notices_and_alerts_are_events_too(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, apis)
    add(installation, "secrets.toml", "[sources.sendcloud.credentials]", "public_key = 'a'", "secret_key = 'b'")
    apis["south"].fault(faults.refusal(401), times=None)
    with listening() as house:
        addresses = {"RUNTIME__SLACK_INCOMING_HOOK": house.address, "ALERTS__PING_URL": house.address}
        failed = installation.command(*AS_JSON, **addresses)
        apis["south"].heal()
        good = installation.command(*AS_JSON, **addresses)
        house.status = 500
        apis["south"].fault(faults.refusal(401), times=None)
        in_vain = installation.command(*AS_JSON, **addresses)

    by_event = {line["event"]: line for line in lines(failed)}
    assert failed.returncode == 3
    assert "has keys that no account uses" in by_event["warning"]["text"]
    assert by_event["alerted"]["failing"] == ["south"]
    assert (by_event["failed"]["account"], by_event["failed"]["exit_code"]) == ("south", 3)
    assert by_event["failed"]["error"].startswith("AuthError: Sendcloud refused the keys")
    assert by_event["error"]["text"].startswith("south: Sendcloud refused the keys")
    assert (by_event["error"]["exit_code"], lines(failed)[-1]["exit_code"]) == (3, 3)
    assert {"alerted", "pinged"} <= {*events(good)}
    assert [line["text"] for line in lines(in_vain) if line["event"] == "alert_failed"] == [
        "[runtime] slack_incoming_hook: answered 500. The next run sends the message again."
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "words", "code", "event", "text"),
    [
        ("", AS_JSON, 3, "error", "Settings are missing"),
        ("[sources", AS_JSON, 3, "error", "config.toml"),
        ("", ("run", "--log-format=json", "--fast"), 2, "output", "--fast"),
        ("", ("run", "--log-format=json", "--account", "x y"), 3, "error", "account"),
    ],
)
def test_so_is_what_goes_wrong_before_a_run_begins(
    installation: Installation, config: str, words: tuple[str, ...], code: int, event: str, text: str
) -> None:
    add(installation, "config.toml", config)

    done = installation.command(*words)

    assert done.returncode == code
    assert done.stdout == ""
    assert any(line["event"] == event and text in line["text"] for line in lines(done)), lines(done)


@pytest.mark.slow
def test_with_debug_tracebacks_and_dlts_log_are_lines_of_it(installation: Installation, api: Sandbox) -> None:
    api.fault(faults.refusal(401), times=None)

    done = installation.process("--debug", *AS_JSON, api=api)

    assert done.returncode == 3
    said = [line["text"] for line in lines(done) if line["event"] == "output"]
    assert any("Traceback" in text for text in said)
    assert any("|[INFO]|" in text for text in said)
    assert events(done)[-1] == "error"


def test_as_text_nothing_of_it_shows(installation: Installation, api: Sandbox) -> None:
    done = installation.command("run", "--log-format", "text", api=api)

    assert [line.split()[2] for line in done.stderr.splitlines()] == ["reading:", "loading:", "publishing:"]


def test_every_event_is_documented_and_no_other() -> None:
    code = "".join(path.read_text() for path in PIPELINES.rglob("*.py"))
    phases = re.findall(r'on_progress\("(\w+)"', code)
    written = re.findall(r'(?:log_event|print_or_log|self\.event|_is_accepted)\([^"\n]*?"(\w+)"', code)
    alerting = "".join(path.read_text() for path in (PIPELINES / "operations").glob("*alerts.py"))
    failing = re.findall(r'"(\w+_failed)",', alerting)
    told = PAGE.read_text().split("\n## Events\n")[1].split("\n## ")[0]

    in_code = {*phases, *written, *failing, "succeeded", "failed"} - {"GET", "POST"}
    assert {*re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (.*?) \|", told, re.MULTILINE)))} == in_code
