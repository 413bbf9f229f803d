"""Implements `pickups run`, which plans a run, executes it, sends alerts, and prints the receipts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

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
from pipelines.receipt import Receipt


def run_and_report(
    account: str | None, *, sweep: bool, wait_seconds: float, as_json: bool, is_quiet: bool = False
) -> int:
    """Runs the pipeline and prints a receipt for each account.

    Args:
        account: the only account to load; None loads all accounts.
        sweep: whether to also read settled pickups again.
        wait_seconds: how long to wait for another run to end.
        as_json: whether to print each receipt as a JSON object on one line.
        is_quiet: whether to print only errors and the receipts of runs with new findings.

    Returns:
        The most severe exit code among the accounts.

    Raises:
        SendcloudError, PipelineError: the whole run stopped, or its only account failed.
    """
    receipts = _run_with_alerts(account, sweep=sweep, wait_seconds=wait_seconds, is_quiet=is_quiet)
    print_receipts(receipts, as_json=as_json, is_quiet=is_quiet)
    if len(receipts) == 1 and receipts[0].failure:
        raise receipts[0].failure
    for failure in {id(receipt.failure): receipt.failure for receipt in receipts if receipt.failure}.values():
        report_error(failure, ", ".join(receipt.account for receipt in receipts if receipt.failure is failure))
    exit_code = worst_exit_code(receipt.exit_code for receipt in receipts)
    json_logs.log_event("ended", exit_code=exit_code)
    return exit_code


def _run_with_alerts(account: str | None, *, sweep: bool, wait_seconds: float, is_quiet: bool) -> list[Receipt]:
    """Executes the run, sends alerts and returns the receipts.

    Alerts are sent after the run has ended and the project is no longer active, even if the run failed or never began.
    """
    project, plan = find_project(), None
    settings, mark = alerts.fallback_settings(project), installation_mark(project)
    try:
        with project_context() as project:
            settings = alerts.read_settings(project)
            plan = plan_run(project, [account] if account else None)
            termination.call_on_timeout(partial(_report_timeout, settings, plan))
            prepare = partial(prepare_quick_run, plan, mark, settings.incident_files)
            receipts = _execute(plan, prepare, sweep=sweep, wait_seconds=wait_seconds, is_quiet=is_quiet)
    except Exception as error:
        alerts.notify_failure(settings, error, *((plan.accounts, plan.configured) if plan else ()))
        raise
    alerts.notify_run(settings, receipts, plan.configured)
    change_alerts.notify_changes(settings, receipts, plan.configured)
    return receipts


def _report_timeout(settings: alerts.AlertSettings, plan: RunPlan, why: str) -> None:
    alerts.notify_failure(settings, RunTimedOut(why), plan.accounts, plan.configured)


def _execute(
    plan: RunPlan,
    prepare: Callable[[Sequence[Receipt]], None],
    *,
    sweep: bool,
    wait_seconds: float,
    is_quiet: bool,
) -> list[Receipt]:
    if warning := unused_credentials_warning(plan.sections):
        json_logs.print_or_log("warning", warning)
    with show_progress(plan.accounts, is_quiet=is_quiet) as on_progress:
        receipts = execute_plan(
            plan, sweep=sweep, wait_seconds=wait_seconds, on_progress=on_progress, before_unlock=prepare
        )
    for restored in dict.fromkeys(receipt.warehouse_restored for receipt in receipts if receipt.warehouse_restored):
        json_logs.print_or_log("warning", restored)
    for receipt in receipts:
        facts = receipt.numbers()
        json_logs.log_event(receipt.outcome, receipt.account, receipt.run_id, error=receipt.error, **facts)
    return receipts
