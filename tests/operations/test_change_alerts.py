"""Tests the message about a carrier whose cancellation rate has changed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.operations import change_alerts
from pipelines.operations.alerts import AlertSettings
from pipelines.receipt import Receipt
from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.accounts import add
from tests.support.alert_receiver import Listening, listening
from tests.support.installation import Installation
from tests.support.leaks import leaks
from tests.support.worlds import NOW

ON = {"ALERTS__ON_CHANGE": "true"}
MONDAY = date(2026, 11, 16)  # the last one before NOW


@pytest.fixture
def chat(installation: Installation) -> Iterator[Listening]:
    with listening() as chat:
        add(installation, "secrets.toml", "[runtime]", f"slack_incoming_hook = '{chat.address}'")
        yield chat


def book(world: World, carrier: str, *, before: int, now: int) -> None:
    """Books 25 pickups in each of both periods, on different days, and cancels as many as told."""
    for first, count in ((1, now), (29, before)):
        for number in range(25):
            opens = NOW - timedelta(days=4 + first + number)
            pickup = world.book(created_at=opens - timedelta(days=2), pickup_from=opens, carrier=carrier)
            if number < count:
                world.cancel(pickup, at=opens - timedelta(days=1))


def test_a_change_is_reported_once_with_the_command_that_lists_the_pickups(
    installation: Installation, api: Sandbox, chat: Listening
) -> None:
    """dhl_express has 15 of 25 after 2 of 25: Newcombe's interval for the difference is from 27.3 to 70.9 points."""
    book(api.world, "dhl_express", before=2, now=15)
    book(api.world, "ups", before=5, now=6)

    done = [installation.command("run", api=api, **ON) for _ in range(2)]

    assert [one.returncode for one in done] == [0, 0]
    (message,) = chat.messages
    head, line, command = message.splitlines()
    assert str(installation.folder) in head
    assert line.startswith(
        "dhl_express: 60.0 % of pickups cancelled in the four weeks to 2026-11-16, 8.0 % before, at one mix: "
        "+52.0 points (95 % interval "
    )
    words = shlex.split(command.removeprefix("See: pickups "))
    assert words == [
        "list", "--carrier", "dhl_express", "--state", "cancelled", "--since", "2026-10-19", "--until", "2026-11-16",
    ]  # fmt: skip
    listed = installation.command(*words, "--format", "csv")
    assert len(listed.stdout.splitlines()) == 1 + 15
    assert leaks(installation.folder, done) == []


def test_without_the_setting_no_change_is_reported(installation: Installation, api: Sandbox, chat: Listening) -> None:
    book(api.world, "dhl_express", before=2, now=15)

    assert installation.command("run", api=api).returncode == 0

    assert chat.messages == []
    assert list(installation.folder.rglob("*changes.json")) == []


def test_a_failed_run_reports_no_change(installation: Installation, api: Sandbox, chat: Listening) -> None:
    book(api.world, "dhl_express", before=2, now=15)
    installation.command("run", api=api)
    api.fault(faults.refusal(401), times=None)

    installation.command("run", api=api, **ON)

    assert ["dhl_express" in message for message in chat.messages] == [False]


# the memory


def row(carrier: str = "dhl", change: float = 0.04, *, is_alarm: bool = True, week: int = 0) -> dict[str, Any]:
    ends = MONDAY + timedelta(weeks=week)
    rates = {"before_rate_at_one_mix": 0.08, "now_rate_at_one_mix": 0.08 + change, "difference": change}
    bounds = {"difference_low": change - 0.02, "difference_high": change + 0.02}
    period = {"now_starts_utc": ends - timedelta(weeks=4), "now_ends_utc": ends}
    return {"carrier": carrier, "is_alarm": is_alarm, **rates, **bounds, **period}


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chat: Listening) -> Any:
    """Returns a function that looks at these rows, and returns the first words of the lines that it sends."""
    monkeypatch.setattr(change_alerts, "_last_monday", lambda: date(2027, 1, 4))

    def looked(*rows: dict[str, Any], on_change: bool = True) -> list[str]:
        monkeypatch.setattr(change_alerts, "_changes", lambda _: list(rows))
        settings = AlertSettings(tmp_path, [tmp_path / "w.incidents.json"], chat.address, on_change=on_change)
        chat.bodies.clear()
        change_alerts.notify_changes(settings, [Receipt()], ["shop"])
        return [line.split(":")[0] for message in chat.messages for line in message.splitlines()[1::2]]

    return looked


def test_a_carrier_is_reported_again_only_if_its_change_was_no_alarm_in_between(look: Any) -> None:
    assert look(row("dhl"), row("gls", is_alarm=False)) == ["dhl"]
    assert look(row("dhl", week=1), row("gls", week=1)) == ["gls"]
    assert look(row("dhl", is_alarm=False, week=2), row("gls", week=2)) == []
    assert look(row("dhl", week=3), row("gls", week=3)) == ["dhl"]


def test_a_change_in_the_other_direction_is_reported(look: Any) -> None:
    assert look(row("dhl")) == ["dhl"]
    assert look(row("dhl", -0.04, week=1)) == ["dhl"]


def test_one_message_reports_all_carriers_of_a_week_and_each_week_is_looked_at_once(look: Any, chat: Listening) -> None:
    assert look(row("dhl"), row("gls")) == ["dhl", "gls"]
    assert len(chat.messages) == 1
    assert look(row("ups")) == []
    assert look(row("dhl", week=1), row("ups", week=1)) == ["ups"]


def test_rates_are_not_read_before_the_next_monday(look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_alerts, "_last_monday", lambda: MONDAY)
    assert look(row()) == ["dhl"]
    assert look(row("gls", week=1)) == []


def test_a_message_that_was_not_accepted_is_sent_again(
    look: Any, chat: Listening, capsys: pytest.CaptureFixture[str]
) -> None:
    chat.status = 500
    assert look(row()) == ["dhl"]
    chat.status = 200
    assert look(row()) == ["dhl"]
    assert look(row()) == []

    assert capsys.readouterr().err == (
        "pickups: [runtime] slack_incoming_hook: answered 500. "
        "The next run sends the message about changed rates again.\n"
    )


def test_turning_the_setting_off_forgets_what_was_reported(look: Any, tmp_path: Path) -> None:
    assert look(row()) == ["dhl"]
    assert look(row(), on_change=False) == []
    assert not (tmp_path / "w.changes.json").exists()
    assert look(row()) == ["dhl"]


def test_an_unreadable_memory_or_warehouse_fails_no_run(
    look: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w.changes.json").write_text("{")
    assert look(row()) == ["dhl"]
    settings = AlertSettings(tmp_path, [tmp_path / "v.incidents.json"], "http://127.0.0.1:9", on_change=True)

    def fails(_: object) -> None:
        raise OSError("s3cret")

    monkeypatch.setattr(change_alerts, "_changes", fails)
    change_alerts.notify_changes(settings, [Receipt()], ["shop"])

    assert capsys.readouterr().err == "pickups: [alerts] on_change: the rates can't be read (OSError)\n"
