"""A Dagster code location: the pickups of every account, the checks, the report, and when each is due.

It is loaded by the file that `pickups schedule dagster` prints, which says where the project is. Annotations are
evaluated here, as Dagster wants them (1.13).
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

from pipelines import models
from pipelines import report as pages
from pipelines.accounts import account_names
from pipelines.errors import KNOWN, exit_code_of
from pipelines.pickups import run
from pipelines.project import inside
from pipelines.receipt import Receipt
from pipelines.store import DATASET
from pipelines.warehouse import reading
from pipelines.which_store import store_of
from sources.sendcloud import SendcloudCredentials, sendcloud_source

WAIT_SECONDS = 3600  # the warehouse has one lock for all accounts: one waits for another, it doesn't fail
ACCOUNT = "dagster/partition"  # the tag that every run of a partition has
UNDER_WAY = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]

with inside() as project:
    accounts = dg.StaticPartitionsDefinition(account_names())
    # what dlt_assets draws its assets from; runs make a source and a pipeline of their own
    source = sendcloud_source(SendcloudCredentials(public_key="-", secret_key="-"))  # noqa: S106  # nobody's
    store = store_of(project)
    pipeline: dlt.Pipeline = dlt.pipeline(
        "dagster", pipelines_dir=str(store.scratch().parent), destination=store.destination(), dataset_name=DATASET
    )


class HowToRead(dg.Config):
    sweep: bool = False


class _Named(DagsterDltTranslator):
    def get_asset_spec(self, data: DltResourceTranslatorData) -> dg.AssetSpec:
        key = dg.AssetKey([DATASET, data.resource.name])
        return super().get_asset_spec(data).replace_attributes(key=key, deps=[])


@dlt_assets(
    dlt_source=source,
    dlt_pipeline=pipeline,
    name=DATASET,
    group_name=DATASET,
    partitions_def=accounts,
    dagster_dlt_translator=_Named(),
)
def sendcloud(context: dg.AssetExecutionContext, config: HowToRead) -> Iterator[dg.MaterializeResult[None]]:
    """One run over the partition's account: `pipelines.run`."""
    try:
        receipt = run(project, account=context.partition_key, sweep=config.sweep, wait_seconds=WAIT_SECONDS)
    except KNOWN as error:
        raise _failed(error) from None
    context.log.info(str(receipt))
    for key in sorted(context.selected_asset_keys):
        yield dg.MaterializeResult(asset_key=key, metadata=_metadata(receipt))


def _reason(check: Path) -> str:
    """The comment that its file begins with."""
    lines = takewhile(lambda line: line.startswith("--"), check.read_text(encoding="utf-8").splitlines())
    return "\n".join(line.removeprefix("--").strip() for line in lines)


PICKUPS = dg.AssetKey([DATASET, "pickups"])


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(path.stem, asset=PICKUPS, blocking=models.must_pass(path), description=_reason(path))
        for path in models.checks()
    ]
)
def checks() -> Iterator[dg.AssetCheckResult]:
    """Every check over all accounts, as of the published file: a check has one state in Dagster, not one for each."""
    with inside(project), reading() as connection:
        found = models.check(connection)
    for path in models.checks():
        rows = {result.account or "unknown": result.rows for result in found if result.name == path.stem}
        severity = dg.AssetCheckSeverity.ERROR if models.must_pass(path) else dg.AssetCheckSeverity.WARN
        yield dg.AssetCheckResult(
            passed=not rows, check_name=path.stem, asset_key=PICKUPS, severity=severity, metadata={"rows": rows}
        )


@dg.asset(key_prefix="analytics", group_name=DATASET, deps=[PICKUPS])
def report() -> dg.MaterializeResult[None]:
    """The notebooks as one page, `data/report/index.html`."""
    try:
        page = pages.report(project / "data" / "report" / "index.html")
    except KNOWN as error:
        raise _failed(error) from None
    return dg.MaterializeResult(metadata={"page": dg.MetadataValue.path(page)})


def _failed(error: Exception) -> dg.Failure:
    said = " ".join(str(error).split())
    return dg.Failure(said, metadata={"exit_code": exit_code_of(error)}, allow_retries=False)


def _metadata(receipt: Receipt) -> dict[str, Any]:
    row = {name: value for name, value in receipt.as_row().items() if value is not None}
    instants = {name: dg.MetadataValue.timestamp(at) for name, at in row.items() if isinstance(at, datetime)}
    return {**row, **instants, "dagster/row_count": receipt.rows_in_table}


one_account = dg.define_asset_job("one_account", dg.AssetSelection.groups(DATASET) - dg.AssetSelection.assets(report))
one_report = dg.define_asset_job("one_report", dg.AssetSelection.assets(report))
ON = dg.DefaultScheduleStatus.RUNNING


def _due(context: dg.ScheduleEvaluationContext, names: Iterable[str], *, sweep: bool) -> list[dg.RunRequest]:
    config = dg.RunConfig(ops={DATASET: HowToRead(sweep=sweep)})
    due = context.scheduled_execution_time.isoformat()
    return [dg.RunRequest(run_key=f"{name} {due}", partition_key=name, run_config=config) for name in names]


@dg.schedule(job=one_account, cron_schedule="4-59/15 * * * *", default_status=ON)
def every_15_minutes(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
    """A run of every account that has none waiting or under way: a long first load makes no queue."""
    under_way = {made.tags.get(ACCOUNT) for made in context.instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY))}
    return _due(context, [name for name in accounts.get_partition_keys() if name not in under_way], sweep=False)


@dg.schedule(job=one_account, cron_schedule="11 3 * * 0", default_status=ON)
def sweep_on_sundays(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
    """A sweep of every account, behind the run that is under way."""
    return _due(context, accounts.get_partition_keys(), sweep=True)


report_every_morning = dg.ScheduleDefinition(job=one_report, cron_schedule="26 5 * * *", default_status=ON)

defs = dg.Definitions(
    assets=[sendcloud, report],
    asset_checks=[checks],
    jobs=[one_account, one_report],
    schedules=[every_15_minutes, sweep_on_sundays, report_every_morning],
    executor=dg.in_process_executor,
)
