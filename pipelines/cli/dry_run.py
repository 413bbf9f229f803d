"""Implements `pickups run --dry-run`, which prints what a run would do and writes nothing."""

from __future__ import annotations

from typing import Any

from pipelines.config.project import project_context
from pipelines.loading.plan import plan_run
from pipelines.operations.dry_run import predict_run
from pipelines.output import print_json, print_styled, print_text, visible


def print_dry_run(account: str | None, *, sweep: bool, as_json: bool) -> None:
    """Prints what a run would do with each account.

    Args:
        account: the only account; None stands for all accounts.
        sweep: whether the run would be a sweep.
        as_json: whether to print a list of JSON objects instead of text.

    Raises:
        SendcloudError, PipelineError: the error that a run would end with.
    """
    with project_context() as project:
        found = []
        for facts in predict_run(plan_run(project, [account] if account else None), sweep=sweep):
            found.append(facts)
            if not as_json:
                _print_facts(facts)
    if as_json:
        print_json(found)


def _print_facts(facts: dict[str, Any]) -> None:
    print_styled((f"account {facts['account']}", "bold"))
    newest = f", newest {facts['newest']:%Y-%m-%d %H:%M} UTC" if facts["newest"] else ""
    refused = f", {facts['first_page_refused']:,} refused" if facts["first_page_refused"] else ""
    since = f"; {facts['booked_since']:,} booked since the last run" if facts["booked_since"] is not None else ""
    for what, text in {
        "reads from": facts["address"],
        "writes to": facts["destination"],
        "first page": f"{facts['first_page']:,} pickups{refused}{newest}{since}",
        "would read": f"{_extent(facts)}, because {facts['reason']}",
    }.items():
        print_text(f"  {what:<14} {visible(text)}")


def _extent(facts: dict[str, Any]) -> str:
    if facts["reads"] == "all":
        return "the whole list"
    last = facts["last_frontier"]
    before = f"back to {last:%Y-%m-%d %H:%M} UTC" if last else "the whole list"
    return f"back to the oldest pickup that can still change (the last run read {before})"
