"""Defines a Dagster code location with every account's pickups, the checks, the report and their schedules.

The file that `pickups schedule dagster` prints sets the project folder and then imports this module. The module doesn't
postpone the evaluation of annotations, because Dagster 1.13 requires evaluated annotations.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

import dagster as dg
import dlt
from dagster_dlt import DagsterDltTranslator, dlt_assets
from dagster_dlt.translator import DltResourceTranslatorData

from pipelines.analytics.checks import check_files, is_must_pass, run_checks
from pipelines.config.accounts import account_names
from pipelines.config.project import project_context
from pipelines.destinations.base import DATASET
from pipelines.destinations.select import select_backend
from pipelines.errors import KNOWN_ERRORS, exit_code_of
from pipelines.loading.run import run
from pipelines.receipt import Receipt
from pipelines.report import build
from pipelines.warehouse import reading
from sources.sendcloud import SendcloudCredentials, sendcloud_source

WAIT_SECONDS = 3600  # All accounts share the warehouse's lock, so runs wait for each other.
ACCOUNT = "dagster/partition"  # The tag that contains a run's partition.
IN_PROGRESS = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]

with project_context() as project:
    accounts = dg.StaticPartitionsDefinition(account_names())
    # dlt_assets derives the assets from this source and this pipeline. Each run creates its own source and pipeline.
    source = sendcloud_source(SendcloudCredentials(public_key="-", secret_key="-"))  # noqa: S106  # a placeholder
    backend = select_backend(project)
    pipeline: dlt.Pipeline = dlt.pipeline(
        "dagster",
        pipelines_dir=str(backend.working_dir().parent),
        destination=backend.dlt_destination(),
        dataset_name=DATASET,
    )


class RunOptions(dg.Config):
    sweep: bool = False


class _KeyTranslator(DagsterDltTranslator):
    def get_asset_spec(self, data: DltResourceTranslatorData) -> dg.AssetSpec:
        key = dg.AssetKey([DATASET, data.resource.name])
        return super().get_asset_spec(data).replace_attributes(key=key, deps=[])


@dlt_assets(
    dlt_source=source,
    dlt_pipeline=pipeline,
    name=DATASET,
    group_name=DATASET,
    partitions_def=accounts,
    dagster_dlt_translator=_KeyTranslator(),
)
def sendcloud(context: dg.AssetExecutionContext, config: RunOptions) -> Iterator[dg.MaterializeResult[None]]:
    """Calls `pipelines.run` for the partition's account."""
    try:
        receipt = run(project, account=context.partition_key, sweep=config.sweep, wait_seconds=WAIT_SECONDS)
    except KNOWN_ERRORS as error:
        raise _to_failure(error) from None
    context.log.info(str(receipt))
    for key in sorted(context.selected_asset_keys):
        yield dg.MaterializeResult(asset_key=key, metadata=_metadata(receipt))


def _check_description(check: Path) -> str:
    """Returns the comment at the top of the check's file."""
    lines = takewhile(lambda line: line.startswith("--"), check.read_text(encoding="utf-8").splitlines())
    return "\n".join(line.removeprefix("--").strip() for line in lines)


PICKUPS = dg.AssetKey([DATASET, "pickups"])


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(path.stem, asset=PICKUPS, blocking=is_must_pass(path), description=_check_description(path))
        for path in check_files()
    ]
)
def checks() -> Iterator[dg.AssetCheckResult]:
    """Runs every check on all accounts in the published data. Dagster stores one state per check, not per account."""
    with project_context(project), reading() as connection:
        found = run_checks(connection)
    for path in check_files():
        rows = {result.account or "unknown": result.rows for result in found if result.name == path.stem}
        severity = dg.AssetCheckSeverity.ERROR if is_must_pass(path) else dg.AssetCheckSeverity.WARN
        yield dg.AssetCheckResult(
            passed=not rows, check_name=path.stem, asset_key=PICKUPS, severity=severity, metadata={"rows": rows}
        )


@dg.asset(key_prefix="analytics", group_name=DATASET, deps=[PICKUPS])
def report() -> dg.MaterializeResult[None]:
    """Writes the numbers as one page, `data/report/index.html`."""
    try:
        page = build.build_report(project / "data" / "report" / "index.html")
    except KNOWN_ERRORS as error:
        raise _to_failure(error) from None
    return dg.MaterializeResult(metadata={"page": dg.MetadataValue.path(page)})


def _to_failure(error: Exception) -> dg.Failure:
    message = " ".join(str(error).split())
    return dg.Failure(message, metadata={"exit_code": exit_code_of(error)}, allow_retries=False)


def _metadata(receipt: Receipt) -> dict[str, Any]:
    row = {name: value for name, value in receipt.as_row().items() if value is not None}
    instants = {name: dg.MetadataValue.timestamp(at) for name, at in row.items() if isinstance(at, datetime)}
    return {**row, **instants, "dagster/row_count": receipt.rows_in_table}


one_account = dg.define_asset_job("one_account", dg.AssetSelection.groups(DATASET) - dg.AssetSelection.assets(report))
one_report = dg.define_asset_job("one_report", dg.AssetSelection.assets(report))
RUNNING = dg.DefaultScheduleStatus.RUNNING


def _run_requests(context: dg.ScheduleEvaluationContext, names: Iterable[str], *, sweep: bool) -> list[dg.RunRequest]:
    config = dg.RunConfig(ops={DATASET: RunOptions(sweep=sweep)})
    due = context.scheduled_execution_time.isoformat()
    return [dg.RunRequest(run_key=f"{name} {due}", partition_key=name, run_config=config) for name in names]


@dg.schedule(job=one_account, cron_schedule="4-59/15 * * * *", default_status=RUNNING)
def every_15_minutes(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
    """Requests a run for each account without a queued or active run, so runs don't pile up during a first load."""
    under_way = {made.tags.get(ACCOUNT) for made in context.instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS))}
    return _run_requests(
        context, [name for name in accounts.get_partition_keys() if name not in under_way], sweep=False
    )


@dg.schedule(job=one_account, cron_schedule="11 3 * * 0", default_status=RUNNING)
def sweep_on_sundays(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
    """Requests a sweep of every account. If a run of the account is active, the sweep waits for it."""
    return _run_requests(context, accounts.get_partition_keys(), sweep=True)


report_every_morning = dg.ScheduleDefinition(job=one_report, cron_schedule="26 5 * * *", default_status=RUNNING)

defs = dg.Definitions(
    assets=[sendcloud, report],
    asset_checks=[checks],
    jobs=[one_account, one_report],
    schedules=[every_15_minutes, sweep_on_sundays, report_every_morning],
    executor=dg.in_process_executor,
)
