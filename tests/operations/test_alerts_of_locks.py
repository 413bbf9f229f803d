"""Tests the incidents of runs that could not begin or were ended: a lock held for hours, and `--timeout`."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.destinations.file_lock import exclusive_lock
from pipelines.errors import RunInProgress
from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.accounts import add
from tests.support.alert_receiver import Listening, listening
from tests.support.installation import Installation, as_rows


@pytest.fixture
def chat(installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listening]:
    """Serves the receiver of messages. Its address is in secrets.toml."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    with listening() as chat:
        add(installation, "secrets.toml", "[runtime]", f"slack_incoming_hook = '{chat.address}'")
        yield chat


def test_lock_that_is_held_too_long_is_one_incident(
    installation: Installation, world: World, api: Sandbox, chat: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is 1.8 s. The first run is within it, and the others are not."""
    world.book()
    monkeypatch.setenv("STATUS__MAX_AGE_HOURS", "0.0005")
    assert installation.command("run", api=api).returncode == 0
    with exclusive_lock(installation.warehouse):
        assert installation.command("run", api=api).returncode == 5
        assert chat.messages == []
        time.sleep(2)
        codes = [installation.command("run", api=api).returncode for _ in range(2)]
    assert codes == [5, 5]
    (message,) = chat.messages
    assert "all accounts: failing since" in message
    assert f"(process {os.getpid()} since 20" in message

    assert installation.command("run", api=api).returncode == 0

    assert len(chat.messages) == 2
    assert "all accounts: recovered after" in chat.messages[1]


def test_short_lock_is_no_incident(installation: Installation, world: World, api: Sandbox, chat: Listening) -> None:
    world.book()
    installation.command("run", api=api)
    with exclusive_lock(installation.warehouse):
        assert [installation.command("run", api=api).returncode for _ in range(2)] == [5, 5]
        assert chat.messages == []
    assert installation.command("run", api=api).returncode == 0

    assert chat.messages == []
    assert [path.name for path in installation.folder.rglob("*incidents*")] == []


def test_message_says_how_long_the_lock_has_been_held() -> None:
    since = datetime.now(UTC) - timedelta(hours=26, minutes=3)
    error = RunInProgress("x.lock", f"process 7 since {since:%Y-%m-%d %H:%M:%S} UTC")

    assert re.search(r"UTC, 1 day, 2:03:0\d ago; lock x\.lock", str(error))


@pytest.mark.slow
def test_timeout_is_an_incident(installation: Installation, world: World, api: Sandbox, chat: Listening) -> None:
    world.book()
    api.fault(faults.slow(120), times=None)

    begun = installation.begin("run", "--timeout", "8", api=api)

    assert begun.wait(60) == 143
    (message,) = chat.messages
    assert "default: failing since" in message
    assert "ended after 8 s (--timeout)" in message


@pytest.mark.slow
def test_suspended_run_keeps_its_lock_on_a_file_and_goes_on(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The operating system holds the lock for a stopped process, so no other run can load newer rows meanwhile."""
    pickup = world.book()
    installation.run(api)
    world.advance(hours=1)
    running = None

    def suspend(_api: Sandbox, number: int) -> None:
        if running and number == 2:
            running.send_signal(signal.SIGSTOP)

    api.on_request = suspend
    running = installation.begin("run", api=api)
    until = time.monotonic() + 60
    while len(api.requests) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(0.5)
    world.cancel(pickup)
    beside = installation.command("run", api=api)
    running.send_signal(signal.SIGCONT)

    assert (beside.returncode, running.wait(60)) == (5, 0)
    assert re.search(r"process \d+ since .* UTC, 0:\d\d:\d\d ago", beside.stderr)
    assert installation.run(api).rows_changed == 1
    assert installation.pickups() == as_rows(world.records())
    assert len(installation.rows("select 1 from sendcloud.pickup_status_history")) == 2
