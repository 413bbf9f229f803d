"""Tests which command lines a quick run may serve. Typer must accept each of them in the same way."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from pipelines.cli.app import app
from pipelines.cli.run import RunRequest
from pipelines.quick.command_line import RunOptions, parse_run

ACCEPTED = {
    "run": RunOptions(),
    "run --json --quiet": RunOptions(as_json=True, is_quiet=True),
    "run --account north": RunOptions(account="north"),
    "run --account=north --json": RunOptions(account="north", as_json=True),
    "--project-dir . run": RunOptions("."),
    "--project-dir=. run --timeout 600 --wait=30 --log-format json": RunOptions(".", timeout_seconds=600),
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
    taken: dict[str, Any] = {}

    def note(request: RunRequest, _unchanged: object, **options: Any) -> int:
        taken.update(request._asdict(), **options)
        return 0

    monkeypatch.setattr("pipelines.cli.run.run_and_report", note)
    monkeypatch.delenv("DLT_PROJECT_DIR", raising=False)
    words = [word for word in line.split() if not word.startswith(("--timeout", "600"))]  # it needs its own process
    code = typer.main.get_command(app).main(words, standalone_mode=False, obj={"own_process": False})

    assert parse_run(line.split()) == ACCEPTED[line]
    assert code == 0
    assert (taken["account"], taken["as_json"], taken["is_quiet"]) == ACCEPTED[line][1:4]


@pytest.mark.parametrize("line", REFUSED)
def test_every_other_command_line_is_left_to_typer(line: str) -> None:
    assert parse_run(line.split()) is None
