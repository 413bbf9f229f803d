"""Implements `pickups check`, which prints the findings of the preflight checks."""

from __future__ import annotations

from pipelines.config.project import project_context
from pipelines.errors import worst_exit_code
from pipelines.finding import Finding
from pipelines.operations.preflight import preflight_findings
from pipelines.output import print_json, print_styled

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
        print_json([finding._asdict() for finding in found])
    return worst_exit_code(finding.exit_code for finding in found)


def _print_finding(finding: Finding) -> None:
    whose = f"{finding.account}: " if finding.account else ""
    message = f"{finding.subject:<10} {whose}{finding.message}"
    print_styled((f"{finding.outcome:<8}", STYLES[finding.outcome]), (message, ""))
