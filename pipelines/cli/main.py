"""Runs the command line and turns every error into one line on stderr and an exit code."""

from __future__ import annotations

import sys

from pipelines import json_logs, lean_imports
from pipelines.cli import streams
from pipelines.cli.quick_run import run_quickly


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
            forget_variables()
        app(prog_name="pickups", obj={"own_process": own_process})
    finally:
        if own_process:
            streams.check_output()
