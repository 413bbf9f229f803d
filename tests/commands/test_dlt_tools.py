"""Tests that dlt's own tools find what a run left, with the commands and code of docs/how-to/inspect-with-dlt.md."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import REPOSITORY, Done, Installation

PAGE = (REPOSITORY / "docs" / "how-to" / "inspect-with-dlt.md").read_text()
COMMANDS = re.findall(r"^\$ dlt (pipeline .*)$", PAGE, re.MULTILINE)
DATASET, ATTACHED = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(installation: Installation, world: World, api: Sandbox) -> Installation:
    """Returns a project after two runs: two pickups of dhl and one of ups. The last run loaded the pickup of ups."""
    (installation.folder / ".dlt" / "config.toml").write_text((REPOSITORY / ".dlt" / "config.toml").read_text())
    world.book(carrier="dhl")
    world.book(carrier="dhl")
    installation.run(api)
    world.book(carrier="ups")
    installation.run(api)
    return installation


def in_folder(folder: Path, program: str, *words: str) -> Done:
    """Runs a program of this environment in the project folder, as a user does."""
    variables = {**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false"}
    done = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *words],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_dlts_commands_show_the_pipeline_and_its_last_load(shop: Installation) -> None:
    info, trace = (in_folder(shop.folder, "dlt", *shlex.split(command)) for command in COMMANDS)

    assert (info.returncode, trace.returncode) == (0, 0), info.stderr + trace.stderr
    assert "pipeline_name: sendcloud_pickups_default" in info.stdout
    assert "Has 1 completed load packages" in info.stdout
    assert "- pickups: 1 row(s)" in trace.stdout
    assert "is LOADED and contains no failed jobs" in trace.stdout


def test_a_dataset_reads_the_tables_of_the_published_file(shop: Installation) -> None:
    done = in_folder(shop.folder, "python", "-c", DATASET)

    assert (done.returncode, done.stderr) == (0, "")
    assert "'pickups'" in done.stdout.splitlines()[0]
    assert {("dhl", 2), ("ups", 1)} == {(name, int(n)) for name, n in re.findall(r"\('(\w+)', (\d+)\)", done.stdout)}


def test_an_attached_pipeline_has_the_trace_and_the_tables(shop: Installation) -> None:
    done = in_folder(shop.folder, "python", "-c", f"import dlt\n{ATTACHED}")

    assert (done.returncode, done.stderr) == (0, "")
    assert "'pickups': 1" in done.stdout
    assert done.stdout.count(" dhl ") == 2


def test_without_the_path_dlt_refuses_the_projects_own_setting(shop: Installation) -> None:
    """If this test fails, dlt accepts paths in config.toml, and the page need not ask for the path any more."""
    done = in_folder(shop.folder, "python", "-c", "import dlt\n" + re.sub(r"    destination=.*\n", "", ATTACHED))

    assert done.returncode == 1
    assert "cannot hold secret values but key `destination.duckdb.credentials`" in done.stderr
