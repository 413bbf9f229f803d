"""Tests that a run that is ended while it compares pages ends as an ordinary run does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from pipelines.cli.main import _report_timeout
from pipelines.quick.command_line import RunOptions
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.accounts import add, configure, serving
from tests.support.alert_receiver import listening
from tests.support.installation import REPOSITORY, Installation
from tests.support.worlds import NOW

pytestmark = pytest.mark.slow
NAMES = ("north", "south", "west")


@contextmanager
def waiting_run(
    installation: Installation, *words: str, hook: str = "http://127.0.0.1:9/"
) -> Iterator[subprocess.Popen[str]]:
    """Yields a process `pickups run` that waits for the responses of three accounts' APIs, the quick way."""
    worlds = {name: World(clock=NOW) for name in NAMES}
    for world in worlds.values():
        for _ in range(12):
            world.book()
    with serving(worlds) as apis:
        configure(installation, apis)
        add(installation, "secrets.toml", "[runtime]", f"slack_incoming_hook = '{hook}'")
        assert installation.process("run", api=apis["north"]).returncode == 0
        asked = Event()

        def hold(_api: Sandbox, _number: int) -> None:
            asked.set()
            time.sleep(90)

        for api in apis.values():
            api.on_request = hold
        # the same variables as before, because otherwise the run would be an ordinary one
        variables = {**os.environ, **installation._variables(apis["north"]), "PYTHONPATH": str(REPOSITORY)}
        clock = ["tests.support.machine_clock", apis["north"].world.clock.isoformat()]
        running = subprocess.Popen(
            [sys.executable, "-m", *clock, "pipelines", "run", *words],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert asked.wait(20)
            yield running
        finally:
            running.kill()
            running.wait()


def test_sigterm_ends_it_at_once(installation: Installation) -> None:
    with waiting_run(installation) as running:
        began = time.monotonic()
        running.send_signal(signal.SIGTERM)
        _, stderr = running.communicate(timeout=60)

    assert running.returncode == 143
    assert stderr.startswith("pickups: ended by SIGTERM.")
    assert time.monotonic() - began < 45


def test_the_timeout_ends_it(installation: Installation) -> None:
    with listening() as chat, waiting_run(installation, "--timeout", "3", hook=chat.address) as running:
        _, stderr = running.communicate(timeout=60)

    assert running.returncode == 143
    (message,) = chat.messages
    assert all(name in message for name in NAMES)
    assert "after 3 s (--timeout)" in message
    assert "pickups: ended after 3 s (--timeout)." in stderr


def test_ctrl_c_ends_it_while_several_accounts_are_asked(installation: Installation) -> None:
    with waiting_run(installation) as running:
        began = time.monotonic()
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)

    assert running.returncode == 130
    assert time.monotonic() - began < 45


def test_the_timeout_is_reported_by_the_project_of_the_run(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    (other / ".dlt").mkdir(parents=True)
    monkeypatch.chdir(other)
    with listening() as chat, listening() as of_other:
        for folder, hook in ((installation.folder, chat.address), (other, of_other.address)):
            (folder / ".dlt" / "secrets.toml").write_text(f"[runtime]\nslack_incoming_hook = '{hook}'\n")
        _report_timeout(RunOptions(project_dir=str(installation.folder)), "after 4 s (--timeout)")

    assert (len(chat.messages), of_other.asked) == (1, [])
