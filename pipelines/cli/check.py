"""Implements `pickups check`, which prints the findings of the preflight checks."""

from __future__ import annotations

import json

from pipelines.cli.console import console
from pipelines.config.project import project_context
from pipelines.errors import worst_exit_code
from pipelines.finding import Finding
from pipelines.operations.preflight import preflight_findings

STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


def run_preflight(account: str | None, *, as_json: bool = False) -> int:
    """Runs the preflight checks and prints each finding as one line or as one object in a JSON list.

    Args:
        account: the only account to check; None checks all accounts.
        as_json: whether to print JSON instead of text.

    Returns:
        The most severe exit code of the findings, or 0 if a run would work.
    """
    with project_context() as project:
        found = []
        for finding in preflight_findings(project, account):
            found.append(finding)
            if not as_json:
                _print_finding(finding)
    if as_json:
        print(json.dumps([finding._asdict() for finding in found], ensure_ascii=False))  # noqa: T201  # stdout is for results
    return worst_exit_code(finding.exit_code for finding in found)


def _print_finding(finding: Finding) -> None:
    from rich.text import Text

    whose = f"{finding.account}: " if finding.account else ""
    word = Text(f"{finding.outcome:<8}", style=STYLES[finding.outcome])
    console().print(word + Text(f"{finding.subject:<10} {whose}{finding.message}"), soft_wrap=True)
