"""Tests commands whose streams are missing, closed by their reader, or on a full disk."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sources.sendcloud.sandbox import Sandbox
from tests.support.bad_input import api as api
from tests.support.bad_input import loaded as loaded
from tests.support.bad_input import world as world
from tests.support.cases import quick
from tests.support.installation import REPOSITORY, Done, Installation, as_rows, environment

PYTHON = shlex.quote(sys.executable)


def shell(installation: Installation, script: str, api: Sandbox | None = None) -> Done:
    """Runs a script of bash in which `pickups` is the command under test."""
    variables = {**os.environ, **(environment(api) if api else {}), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; pickups() {{ {PYTHON} -m pipelines "$@"; }}; {script}'],
        env={**variables, "DLT_PROJECT_DIR": str(installation.folder)},
        cwd=installation.folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("streams", quick(["2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-", "<&-", "2>/dev/full"]))
def test_a_run_without_some_of_its_streams_loads_and_exits_0(
    installation: Installation, api: Sandbox, streams: str
) -> None:
    done = shell(installation, f"pickups run {streams}", api)

    assert (done.returncode, done.stderr if "2>" not in streams else "") == (0, done.stderr)
    assert installation.pickups() == as_rows(api.world.records())


@pytest.mark.slow
def test_no_file_of_a_run_gets_the_number_of_a_missing_stream(installation: Installation) -> None:
    """A library that writes to stderr would otherwise write into the file that took its number."""
    code = (
        "import os; from pipelines.cli.streams import prepare_streams; prepare_streams(); "
        "open('free', 'w').write(str(os.open('new', os.O_CREAT | os.O_WRONLY)))"
    )

    shell(installation, f"{PYTHON} -c {shlex.quote(code)} <&- >&- 2>&-")

    assert int((installation.folder / "free").read_text()) > 2


@pytest.mark.parametrize(
    "script",
    quick(
        [
            "pickups show carriers | true",
            "pickups show carriers --format csv | head -1",
            "pickups show carriers --json | true",
            "pickups status | true",
            "pickups check | true",
            "pickups --help | true",
        ]
    ),
)
def test_a_reader_that_goes_away_is_no_error(loaded: Installation, api: Sandbox, script: str) -> None:
    done = shell(loaded, script, api)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_a_run_whose_readers_go_away_loads_and_exits_0(installation: Installation, api: Sandbox) -> None:
    assert shell(installation, "pickups run 2>&1 | true", api)[:2] == (0, "")
    assert installation.pickups() == as_rows(api.world.records())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full exists on Linux only")
@pytest.mark.parametrize("words", ["show carriers", "run", "run --json", "check"])
def test_a_full_disk_below_stdout_exits_6_and_names_stdout(loaded: Installation, api: Sandbox, words: str) -> None:
    done = shell(loaded, f"pickups {words} >/dev/full", api)

    assert done.returncode == 6
    assert done.stderr.splitlines()[-1] == (
        "pickups: The destination failed: stdout: No space left on device. Send the output elsewhere."
    )


@pytest.mark.slow
def test_the_sandbox_prints_its_address_at_once_also_into_a_file(installation: Installation) -> None:
    told = installation.folder / "told"
    with told.open("w") as file:
        serving = subprocess.Popen(
            [sys.executable, "-m", "pipelines", "sandbox", "--port", "0", "--pickups", "5"],
            stdout=file,
            cwd=REPOSITORY,
        )
    try:
        deadline = time.monotonic() + 30
        while not told.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "export SOURCES__SENDCLOUD__BASE_URL=http://127.0.0.1:" in told.read_text()
    finally:
        serving.kill()
        serving.wait()
