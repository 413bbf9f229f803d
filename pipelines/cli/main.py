"""Runs the command line and turns every error into one line on stderr and an exit code.

`pickups run` is tried the quick way first, before anything heavy is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines import json_logs, lean_imports
from pipelines.cli import streams
from pipelines.cli.run_messages import print_receipts
from pipelines.quick.command_line import parse_run
from pipelines.quick.marks import installation_mark


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
        lean_imports.skip_collections_at_exit()
    with json_logs.log_format(sys.argv):
        try:
            _run_command(own_process=own_process)
        except (Exception, KeyboardInterrupt) as error:
            from pipelines.cli.run_messages import report_error

            sys.exit(report_error(error))


def _run_command(*, own_process: bool) -> None:
    try:
        if own_process and (exit_code := run_quickly(sys.argv[1:])) is not None:
            sys.exit(exit_code)
        from pipelines.cli.app import app
        from pipelines.config.dlt_settings import forget_variables

        if own_process:
            streams.keep_log_records_visible()
            forget_variables()
        app(prog_name="pickups", obj={"own_process": own_process})
    finally:
        if own_process:
            streams.check_output()


def run_quickly(words: Sequence[str]) -> int | None:
    """Runs the command and returns its exit code, or returns None if an ordinary run must do it.

    If the result is None, nothing was printed. Blocks imports, so call it only in a process that executes one command.
    """
    if "run" not in words or not (options := parse_run(words)):
        return None
    lean_imports.block_unneeded()
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
