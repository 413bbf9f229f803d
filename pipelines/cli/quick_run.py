"""Tries to run `pickups run` the quick way, before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines import json_logs
from pipelines.cli.run_messages import print_receipts
from pipelines.quick.command_line import parse_run
from pipelines.quick.marks import installation_mark


def run_quickly(words: Sequence[str]) -> int | None:
    """Runs the command and returns its exit code, or returns None if an ordinary run must do it.

    If the result is None, nothing was written and nothing was printed.
    """
    if "run" not in words or not (options := parse_run(words)):
        return None
    from pipelines.config.project import find_project
    from pipelines.quick.repeat_run import repeat_last_run

    try:
        project = Path(options.project_dir).resolve() if options.project_dir else find_project()
        done = repeat_last_run(project, installation_mark(project), options)
    except Exception:  # whatever it is, the ordinary run finds out and reports it
        return None
    if not done:
        return None
    for receipt in done.receipts:
        json_logs.log_event(receipt.outcome, receipt.account, receipt.run_id, error=receipt.error, **receipt.numbers())
    if done.ping_url:
        _send_ping(done.ping_url)
    print_receipts(done.receipts, as_json=options.as_json, is_quiet=options.is_quiet)
    json_logs.log_event("ended", exit_code=0)
    return 0


def _send_ping(url: str) -> None:
    from pipelines.quick.ping import is_accepted

    if is_accepted(url):
        json_logs.log_event("pinged")
        return
    from pipelines.operations.alerts import send_ping

    send_ping(url)
