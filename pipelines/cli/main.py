"""Runs the command line and turns every error into one line on stderr and an exit code.

`pickups run` is tried the quick way first, before anything heavy is imported.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import json_logs, lean_imports
from pipelines.cli import streams, termination
from pipelines.cli.run_messages import print_receipts
from pipelines.quick.command_line import RunOptions, parse_run
from pipelines.quick.marks import installation_mark

if TYPE_CHECKING:
    from pipelines.quick.repeat_run import Unchanged


def main(*, own_process: bool = False) -> None:
    """Runs the command line. On error, prints one line to stderr and exits with a code from `pipelines/errors.py`.

    Args:
        own_process: whether nothing else runs in this process. In its own process, the command may block imports (see
            `pipelines/lean_imports.py`), handle signals (see `pipelines/cli/termination.py`) and change the
            environment.

    Raises:
        SystemExit: always, with the command's exit code.
    """
    if own_process:
        streams.prepare_streams()
        termination.skip_teardown()
    try:
        with json_logs.log_format(sys.argv):
            try:
                _run_command(own_process=own_process)
            except (Exception, KeyboardInterrupt) as error:
                from pipelines.cli.run_messages import report_error

                sys.exit(report_error(error))
    except SystemExit as end:
        if own_process:
            termination.note_exit_code(end.code)
        raise


def _run_command(*, own_process: bool) -> None:
    try:
        options = parse_run(sys.argv[1:]) if own_process else None
        unchanged = run_quickly(options) if options else None
        if isinstance(unchanged, int):
            sys.exit(unchanged)
        from pipelines.config.dlt_settings import forget_variables

        if own_process:
            streams.keep_log_records_visible()
            forget_variables()
        if options and _has_project(options):
            sys.exit(run_without_typer(options, unchanged))
        from pipelines.cli.app import app

        app(prog_name="pickups", obj={"own_process": own_process})
    finally:
        if own_process:
            streams.check_output()


def _has_project(options: RunOptions) -> bool:
    """Returns whether the project folder can be read. Otherwise, Typer reports the problem."""
    named = options.project_dir or os.environ.get("DLT_PROJECT_DIR")
    return not named or (Path(named).is_dir() and os.access(named, os.R_OK))


def run_without_typer(options: RunOptions, unchanged: Unchanged | None) -> int:
    """Makes an ordinary run and returns its exit code. Typer would take 20 ms to define all commands (2026-11-30).

    Raises:
        SendcloudError, PipelineError: the whole run stopped, or its only account failed.
    """
    from pipelines.cli.run import RunRequest, run_and_report

    if options.project_dir:
        os.environ["DLT_PROJECT_DIR"] = str(Path(options.project_dir).resolve())
    request = RunRequest(
        options.account, sweep=False, read_back_to=None, wait_seconds=options.wait_seconds, is_quiet=options.is_quiet
    )
    return run_and_report(request, unchanged, as_json=options.as_json)


def run_quickly(options: RunOptions) -> int | Unchanged | None:
    """Runs the command and returns its exit code or, if an ordinary run must do it, what is known about its accounts.

    In the second case, nothing was printed, and the result is None if nothing is known. From now on, SIGTERM and the
    timeout end the process, and some imports are blocked, so call it only in a process that executes one command.
    """
    termination.call_on_timeout(partial(_report_timeout, options))
    termination.end_on_sigterm(options.timeout_seconds)
    lean_imports.block_unneeded()
    from pipelines.config.project import find_project
    from pipelines.quick.repeat_run import QuickRun, repeat_last_run

    try:
        project = Path(options.project_dir).resolve() if options.project_dir else find_project()
        done = repeat_last_run(project, installation_mark(project), options)
    except Exception:  # whatever it is, the ordinary run finds out and reports it
        return None
    if not isinstance(done, QuickRun):
        return done
    for receipt in done.receipts:
        json_logs.log_event(receipt.outcome, receipt.account, receipt.run_id, error=receipt.error, **receipt.numbers())
    if done.ping_url:
        _send_ping(done.ping_url)
    print_receipts(done.receipts, as_json=options.as_json, is_quiet=options.is_quiet)
    json_logs.log_event("ended", exit_code=0)
    return 0


def _report_timeout(options: RunOptions, why: str) -> None:
    from pipelines.config.project import project_context
    from pipelines.errors import RunTimedOut
    from pipelines.loading.plan import plan_run
    from pipelines.operations import alerts

    with project_context(options.project_dir) as project:
        settings = alerts.read_settings(project)
        plan = plan_run(project, [options.account] if options.account else None)
    alerts.notify_failure(settings, RunTimedOut(why), plan.accounts, plan.configured)


def _send_ping(url: str) -> None:
    from pipelines.quick.ping import is_accepted

    if is_accepted(url):
        json_logs.log_event("pinged")
        return
    from pipelines.operations.alerts import send_ping

    send_ping(url)
