"""Tests which command lines are executed without Typer. Typer must accept each of them in the same way."""

from __future__ import annotations

import os
from typing import Any

import pytest
import typer

from pipelines.cli import main
from pipelines.cli.app import app
from pipelines.cli.run import RunRequest
from pipelines.quick.command_line import RunOptions, parse_run

ACCEPTED = {
    "run": RunOptions(),
    "run --json --quiet": RunOptions(as_json=True, is_quiet=True),
    "run --account north": RunOptions(account="north"),
    "run --account=north --json": RunOptions(account="north", as_json=True),
    "--project-dir . run": RunOptions("."),
    "--project-dir=. run --timeout 600 --wait=30 --log-format json": RunOptions(
        ".", wait_seconds=30, timeout_seconds=600
    ),
}
REFUSED = (
    "",
    "status",
    "--json run",
    "run run",
    "run now",
    "run --sweep",
    "run --dry-run",
    "run --no-quick",
    "run --help",
    "--debug run",
    "run --account",
    "run --back-to 2026-10-01",
    "run --account=",
    "run --json=yes",
    "run --timeout soon",
    "run --timeout 0",
    "run --wait -1",
    "run --log-format xml",
    "run --project-dir .",
)


@pytest.mark.parametrize("line", ACCEPTED)
def test_typer_reads_an_accepted_command_line_in_the_same_way(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[Any, ...]] = []

    def note(request: RunRequest, unchanged: object = None, *, as_json: bool) -> int:
        taken.append((request, unchanged, as_json, os.environ.pop("DLT_PROJECT_DIR", None)))
        return 0

    monkeypatch.setattr("pipelines.cli.run.run_and_report", note)
    monkeypatch.setenv("DLT_PROJECT_DIR", "")  # restored at the end of the test
    monkeypatch.delenv("DLT_PROJECT_DIR")
    words = [word for word in line.split() if not word.startswith(("--timeout", "600"))]  # it needs its own process
    code = typer.main.get_command(app).main(words, standalone_mode=False, obj={"own_process": False})
    options = parse_run(line.split())

    assert options == ACCEPTED[line]
    assert (code, main.run_without_typer(options, None)) == (0, 0)
    assert taken[0] == taken[1]


@pytest.mark.parametrize("line", REFUSED)
def test_every_other_command_line_is_left_to_typer(line: str) -> None:
    assert parse_run(line.split()) is None
