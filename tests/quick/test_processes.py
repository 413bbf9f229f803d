"""Tests quick runs as users start them: as processes that do nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.accounts import configure, serving
from tests.support.installation import REPOSITORY, Installation, environment
from tests.support.worlds import NOW

pytestmark = pytest.mark.slow


@pytest.fixture
def busy(world: World) -> None:
    for _ in range(12):
        world.book()


@pytest.mark.usefixtures("busy")
def test_the_second_run_is_quick_unless_the_command_forbids_it(installation: Installation, api: Sandbox) -> None:
    first = installation.process("run", "--json", api=api)
    again = installation.process("run", "--json", api=api)
    no_quick = installation.process("run", "--json", "--no-quick", api=api)

    assert [done.returncode for done in (first, again, no_quick)] == [0, 0, 0], again.stderr
    assert [json.loads(done.stdout)["is_quick"] for done in (first, again, no_quick)] == [False, True, False]
    assert again.stderr == ""


def test_a_quick_run_imports_only_what_it_needs(installation: Installation) -> None:
    """The run needs the real clock, because the module that replaces the clock imports the modules in question."""
    world = World(clock=datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1))
    world.book()
    world.advance(minutes=1)
    with serve(world) as api:
        variables = {**os.environ, **environment(api), "PYTHONPROFILEIMPORTTIME": "1", "PYTHONPATH": str(REPOSITORY)}
        command = [sys.executable, "-m", "pipelines", "--project-dir", str(installation.folder), "run", "--json"]
        runs = [
            subprocess.run(command, env=variables, cwd=installation.folder, capture_output=True, text=True, check=True)
            for _ in range(2)
        ]

    imported = {line.rpartition("|")[2].strip() for line in runs[1].stderr.splitlines()}
    assert [json.loads(done.stdout)["is_quick"] for done in runs] == [False, True]
    assert {"http.client", "msgspec", "_duckdb"} <= imported
    heavy = {"dlt", "duckdb", "pyarrow", "requests", "logging", "dataclasses", "inspect", "tempfile", "tomllib", "csv"}
    assert imported & heavy == set()


@pytest.mark.usefixtures("busy")
def test_a_quick_run_prints_a_receipt_and_sends_the_ping(installation: Installation, api: Sandbox) -> None:
    asked: list[str] = []

    class Monitor(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Monitor) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        ping = {"ALERTS__PING_URL": f"http://127.0.0.1:{server.server_port}/ping/1?a=b"}
        installation.process("run", api=api, **ping)
        done = installation.process("run", "--log-format", "json", api=api, **ping)
        quiet = installation.process("run", "--quiet", api=api, **ping)
        server.shutdown()

    assert done.stdout.startswith("0 new, 0 changed, 12 unchanged in ")
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["succeeded", "pinged", "ended"]
    assert (quiet.stdout, quiet.stderr) == ("", "")
    assert asked == ["/ping/1?a=b"] * 3
    assert installation.rows("select count(*) as runs from sendcloud.pickup_runs where is_quick") == [{"runs": 2}]


def test_only_the_accounts_with_news_are_read_the_ordinary_way(installation: Installation) -> None:
    worlds = {name: World(clock=NOW) for name in ("north", "south")}
    for world in worlds.values():
        for _ in range(12):
            world.book()
    with serving(worlds) as apis:
        configure(installation, apis)
        outputs = []
        for news in (None, None, "south", None):
            if news:
                worlds[news].book()
            outputs.append(installation.process("run", "--json", api=apis["north"]).stdout)

    receipts = [[json.loads(line) for line in output.splitlines()] for output in outputs]
    assert [[one["account"] for one in run] for run in receipts] == [["north", "south"]] * 4
    assert [[one["is_quick"] for one in run] for run in receipts] == [
        [False, False],
        [True, True],
        [True, False],
        [True, True],
    ]
    assert [one["rows_new"] for one in receipts[2]] == [0, 1]
    assert [one["rows_in_table"] for one in receipts[3]] == [12, 13]


@pytest.mark.usefixtures("busy")
def test_a_timer_with_secrets_in_files_makes_quick_runs(
    installation: Installation, api: Sandbox, tmp_path: Path
) -> None:
    """systemd passes other times to each run. Docker and Kubernetes mount secrets as files."""
    configure(installation, {"north": api}, keys={"north": None})
    variables = {}
    for name, value in (("public_key", api.public_key), ("secret_key", api.secret_key)):
        (tmp_path / name).write_text(value)
        variables[f"SOURCES__SENDCLOUD__ACCOUNTS__NORTH__CREDENTIALS__{name.upper()}_FILE"] = str(tmp_path / name)

    runs = [
        installation.process("run", "--json", api=api, **variables, TRIGGER_TIMER_REALTIME_USEC=str(number))
        for number in (1, 2)
    ]

    assert [json.loads(done.stdout)["is_quick"] for done in runs] == [False, True]
