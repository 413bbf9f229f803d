"""Tests that control characters and markup from the API reach no terminal, log, spreadsheet, chat or page."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from pipelines.report.html import document
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.alert_receiver import listening
from tests.support.cases import quick
from tests.support.installation import API_VERSION, Installation
from tests.support.worlds import NOW

CARRIERS = ("dhl [NL]", "gls[/it]", ":boom:", "a\x1b[31mred\x07", "b\r\npickups: all is well", "=1+1", "c\x9b\u202egpj")
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e]")
ERROR = "no\x1b[2J \x07\x9b [/red] \u202e"


@pytest.fixture
def api() -> Iterator[Sandbox]:
    world = World(clock=NOW)
    for carrier in CARRIERS:
        world.book(carrier=carrier)
    world.book(**{"x\x1b[31m\ny": 1})
    world.put({"id": "\x1b[31m\r\n=1"})
    with serve(world) as sandbox:
        yield sandbox


@pytest.fixture
def loaded(installation: Installation, api: Sandbox) -> Installation:
    installation.loaded(api)
    return installation


def refusal(status: int = 400) -> faults.Fault:
    form = "errors" if API_VERSION == "v3" else "error"
    error = {"message": ERROR, "detail": ERROR, "code": status}
    body = json.dumps({form: [error] if form == "errors" else error}).encode()
    return lambda due: type(due)(status, body, url=due.url)


def test_a_run_prints_hostile_names_as_text(installation: Installation, api: Sandbox) -> None:
    done = installation.command("run", api=api)

    assert done.returncode == 1  # one record of nine is refused, which a must-pass check reports
    assert not RAW.search(done.stdout + done.stderr)
    assert "unknown fields, kept in extra: x\\x1b[31m\\ny" in done.stdout
    assert not [line for line in done.stdout.splitlines() if line.startswith("pickups: ")]


def test_show_prints_every_carrier_as_sent_with_control_characters_as_text(loaded: Installation) -> None:
    done = loaded.command("show", "carriers", COLUMNS="200")

    assert not RAW.search(done.stdout)
    for shown in ("dhl [NL]", "gls[/it]", ":boom:", "a\\x1b[31mred\\x07", "b\\r\\npickups: all is", "c\\x9b\\u202egpj"):
        assert shown in done.stdout


def test_show_as_csv_is_safe_for_a_spreadsheet_and_as_json_keeps_every_value(loaded: Installation) -> None:
    as_csv = loaded.command("show", "carriers", "--format", "csv").stdout
    as_json = loaded.command("show", "carriers", "--json").stdout

    in_csv = {row["carrier"] for row in csv.DictReader(io.StringIO(as_csv))}
    in_json = {row["carrier"] for row in json.loads(as_json)}
    assert not RAW.search(as_csv + as_json)
    assert {"'=1+1", "dhl [NL]", "gls[/it]"} <= in_csv
    assert not [carrier for carrier in in_csv if carrier.startswith("=")]
    assert "=1+1" in in_json


COMMANDS = (["run"], ["run", "--log-format", "json"], ["check"], ["check", "--json"])


@pytest.mark.parametrize("words", quick(COMMANDS, only=(0, 2)), ids=map(" ".join, COMMANDS))
def test_an_error_message_of_the_api_is_one_line_of_text(loaded: Installation, api: Sandbox, words: list[str]) -> None:
    api.fault(refusal(), times=None)

    done = loaded.command(*words, api=api)

    assert done.returncode == 4
    assert not RAW.search(done.stdout + done.stderr)
    whole = done.stdout + done.stderr
    assert "no\\x1b[2J" in whole or "no\\\\x1b[2J" in whole or "no\\u001b[2J" in whole


def test_status_and_the_receipt_show_a_stored_error_as_text(loaded: Installation, api: Sandbox) -> None:
    api.fault(refusal(), times=None)
    loaded.command("run", api=api)

    done = loaded.command("status", api=api)
    (failed,) = loaded.rows("select error from sendcloud.pickup_runs where outcome = 'failed'")

    assert "no\\x1b[2J \\x07\\x9b [/red] \\u202e" in done.stdout
    assert not RAW.search(done.stdout + failed["error"])


def test_an_alert_shows_control_characters_as_text(loaded: Installation, api: Sandbox) -> None:
    api.fault(refusal(), times=None)
    with listening() as chat:
        loaded.command("run", api=api, RUNTIME__SLACK_INCOMING_HOOK=chat.address)

    (message,) = chat.messages
    assert not RAW.search(message)
    assert "no\\x1b[2J" in message


def test_a_report_shows_control_characters_as_text() -> None:
    made_at = datetime(2026, 11, 23, 12, tzinfo=UTC)

    page = document("<p>c\x1b[31m \u202egpj</p>\n\t<p>d</p>", {"names": ["e\x9b</script>"]}, made_at)

    assert not RAW.search(page.replace("\t", ""))
    assert "<p>c\\x1b[31m \\u202egpj</p>\n\t<p>d</p>" in page
    assert '{"names": ["e\\u009b\\u003c/script>"]}' in page


def test_a_debug_run_shows_control_characters_as_text(loaded: Installation, api: Sandbox) -> None:
    api.fault(refusal(), times=None)

    done = loaded.command("--debug", "run", api=api)

    assert "Traceback" in done.stderr
    assert not RAW.search(done.stderr)


@pytest.mark.parametrize("kind", ["systemd", "cron"])
def test_a_user_with_a_line_break_adds_no_line_to_a_schedule(installation: Installation, kind: str) -> None:
    done = installation.command("schedule", kind, "--user", "x\nExecStartPre=/bin/evil")

    assert (done.returncode, done.stdout) == (3, "")
    assert "--user 'x\\nExecStartPre=/bin/evil' can't be used in a schedule" in done.stderr
