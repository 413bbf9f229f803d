"""Implements `pickups run`, which plans a run, executes it, sends alerts, and prints the receipts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

from pipelines import json_logs
from pipelines.cli import termination
from pipelines.cli.run_messages import print_receipts, report_error, show_progress
from pipelines.config.accounts import unused_credentials_warning
from pipelines.config.project import find_project, project_context
from pipelines.errors import RunTimedOut, worst_exit_code
from pipelines.loading.plan import RunPlan, plan_run
from pipelines.loading.run import execute_plan
from pipelines.operations import alerts, change_alerts
from pipelines.quick.marks import installation_mark
from pipelines.quick.prepare import prepare_quick_run
from pipelines.quick.repeat_run import Unchanged
from pipelines.receipt import Receipt


class RunRequest(NamedTuple):
    """What the command line asks of a run.

    Attributes:
        account: the only account to load; None loads all accounts.
        sweep: whether to also read settled pickups again.
        read_back_to: the booking time (UTC) that the run must reach, even if its pickups are settled, or None.
        wait_seconds: how long to wait for another run to end.
        is_quiet: whether to print only errors and the receipts of runs with new findings.
    """

    account: str | None
    sweep: bool
    read_back_to: datetime | None
    wait_seconds: float
    is_quiet: bool


def run_and_report(request: RunRequest, unchanged: Unchanged | None = None, *, as_json: bool) -> int:
    """Runs the pipeline and prints a receipt for each account.

    Args:
        request: what to run.
        unchanged: the accounts that need not be read, as a quick run found.
        as_json: whether to print each receipt as a JSON object on one line.

    Returns:
        The most severe exit code among the accounts.

    Raises:
        SendcloudError, PipelineError: the whole run stopped, or its only account failed.
    """
    receipts = _run_with_alerts(request, unchanged)
    print_receipts(receipts, as_json=as_json, is_quiet=request.is_quiet)
    if len(receipts) == 1 and receipts[0].failure:
        raise receipts[0].failure
    for failure in {id(receipt.failure): receipt.failure for receipt in receipts if receipt.failure}.values():
        report_error(failure, ", ".join(receipt.account for receipt in receipts if receipt.failure is failure))
    exit_code = worst_exit_code(receipt.exit_code for receipt in receipts)
    json_logs.log_event("ended", exit_code=exit_code)
    return exit_code


def _run_with_alerts(request: RunRequest, unchanged: Unchanged | None) -> list[Receipt]:
    """Executes the run, sends alerts and returns the receipts.

    Alerts are sent after the run has ended and the project is no longer active, even if the run failed or never began.
    """
    project, plan = find_project(), None
    settings, mark = alerts.fallback_settings(project), installation_mark(project)
    try:
        with project_context() as project:
            settings = alerts.read_settings(project)
            plan = plan_run(project, [request.account] if request.account else None, request.read_back_to)
            termination.call_on_timeout(partial(_report_timeout, settings, plan))
            unchanged = unchanged if unchanged and unchanged.record.mark == mark else None
            prepare = partial(prepare_quick_run, plan, mark, settings.incident_files, unchanged)
            receipts = _execute(plan, unchanged, prepare, request)
    except Exception as error:
        alerts.notify_failure(settings, error, *((plan.accounts, plan.configured) if plan else ()))
        raise
    alerts.notify_run(settings, receipts, plan.configured)
    change_alerts.notify_changes(settings, receipts, plan.configured)
    return receipts


def _report_timeout(settings: alerts.AlertSettings, plan: RunPlan, why: str) -> None:
    alerts.notify_failure(settings, RunTimedOut(why), plan.accounts, plan.configured)


def _execute(
    plan: RunPlan, unchanged: Unchanged | None, prepare: Callable[[Sequence[Receipt]], None], request: RunRequest
) -> list[Receipt]:
    if warning := unused_credentials_warning(plan.sections):
        json_logs.print_or_log("warning", warning)
    not_read = [receipt.account for receipt in unchanged.receipts] if unchanged else []
    with show_progress(plan.accounts, not_read, is_quiet=request.is_quiet) as on_progress:
        receipts = execute_plan(
            plan,
            sweep=request.sweep,
            wait_seconds=request.wait_seconds,
            on_progress=on_progress,
            unchanged=unchanged.receipts if unchanged else (),
            is_current=unchanged.check if unchanged else lambda: True,
            before_unlock=prepare,
        )
    for restored in dict.fromkeys(receipt.warehouse_restored for receipt in receipts if receipt.warehouse_restored):
        json_logs.print_or_log("warning", restored)
    for receipt in receipts:
        facts = receipt.numbers()
        json_logs.log_event(receipt.outcome, receipt.account, receipt.run_id, error=receipt.error, **facts)
    return receipts
