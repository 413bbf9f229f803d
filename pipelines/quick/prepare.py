"""Prepares a quick run at the end of an ordinary run, if only the list can make the next run different."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from pipelines.config.account_settings import resolve_account_settings
from pipelines.config.accounts import account_section, unused_credentials_warning
from pipelines.config.settings import SOURCE_SECTION, get_setting
from pipelines.destinations.duckdb.backend import DuckDBBackend
from pipelines.destinations.ownership import PIPELINE_PREFIX
from pipelines.destinations.select import select_backend
from pipelines.file_access import file_identity
from pipelines.loading.plan import RunPlan
from pipelines.quick.marks import ENVIRONMENT, installation_mark
from pipelines.quick.record import AccountRecord, QuickRecord, record_path, write_record
from pipelines.quick.repeat_run import Unchanged
from pipelines.quick.settings_again import Place, find_place, find_warehouse
from pipelines.receipt import READ_FACTS, Receipt
from sources.sendcloud.http.credentials import OAUTH2
from sources.sendcloud.http.origins import LOOPBACK, origin_of
from sources.sendcloud.reading.clocks import MAX_CLOCK_DIFFERENCE, machine_time
from sources.sendcloud.reading.repeat import Repeat

SETTING, PING_SETTING = "pipeline.quick_runs", "alerts.ping_url"
NETWORK_VARIABLES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
REQUESTS_PER_PAGE = 4  # One request, and at most three redirects.
MAX_SECONDS_READ = 10.0  # If an API is slower, comparing its pages would delay each run with news.


def prepare_quick_run(
    plan: RunPlan, mark: str, incidents: Sequence[Path], unchanged: Unchanged | None, receipts: Sequence[Receipt]
) -> None:
    """Writes the record for the next run, or removes an older one if the next run must be an ordinary one.

    Requires an active project. The caller holds the lock. Otherwise, another command could write before this function
    takes the marks of the files, and its changes would go unnoticed. If anything fails, the run has still succeeded.

    Args:
        plan: the plan of the run.
        mark: the mark of the installation when the run began.
        incidents: the files that would contain incidents.
        unchanged: the accounts that the run may not have read, and what the run before recorded about them.
        receipts: the receipts of the run.
    """
    with suppress(OSError):
        record_path(find_warehouse(plan.project)).unlink(missing_ok=True)
    with suppress(Exception):
        if get_setting(SETTING) and (record := _draft(plan, mark, incidents, unchanged, receipts)):
            _save(record, plan.project)


def _draft(
    plan: RunPlan, mark: str, incidents: Sequence[Path], unchanged: Unchanged | None, receipts: Sequence[Receipt]
) -> QuickRecord | None:
    backend = select_backend(plan.project)
    if not isinstance(backend, DuckDBBackend) or not _may_repeat(plan) or not backend.published.exists():
        return None
    if any(receipt.seconds_published is None for receipt in receipts):  # readers wait for what was not published
        return None
    latest = unchanged.latest if unchanged else None
    salt = latest.salt if latest else secrets.token_hex(16)
    before = {one.account: one for one in latest.accounts} if latest else {}
    accounts = [
        _continued(before[receipt.account], receipt)
        if receipt.is_quick
        else _account_record(receipt, plan, salt, backend.working_dir())
        for receipt in filter(_is_good, receipts)
    ]
    ping_url: str | None = get_setting(PING_SETTING)
    ping = find_place(PING_SETTING, ping_url, plan.project, salt) if ping_url else None
    known = [one for one in accounts if one] + _not_run(before.values(), receipts)
    if not known or (ping_url and not ping):
        return None
    for one in known:
        one.unpublished_at = None
    files = {"warehouse": str(backend.warehouse), "published": str(backend.published)}
    return QuickRecord(
        mark=mark,
        salt=salt,
        **files,
        warehouse_mark="",
        published_mark="",
        published_through=str(plan.project / Path(get_setting("publish.path").removeprefix("duckdb:///")).expanduser()),
        incidents=list(map(str, incidents)),
        data_schema=backend.names.data,
        published_at=machine_time(),
        max_age_minutes=get_setting("publish.max_age_minutes"),
        share_blocks=get_setting("publish.share_blocks"),
        configured=list(plan.configured),
        ping=ping,
        accounts=known,
    )


def _save(record: QuickRecord, project: Path) -> None:
    """Writes the record, unless the settings have changed since the run began."""
    if record.mark == installation_mark(project):
        record.warehouse_mark = file_identity(Path(record.warehouse))
        record.published_mark = file_identity(Path(record.published))
        write_record(record_path(Path(record.warehouse)), record)


def _may_repeat(plan: RunPlan) -> bool:
    """Returns whether nothing in the settings requires an ordinary run."""
    is_timed = get_setting("alerts.on_change") or get_setting("retention.pickups_months")
    is_odd = unused_credentials_warning(plan.sections) is not None
    return not is_timed and not is_odd


def _is_good(receipt: Receipt) -> bool:
    """Returns whether nothing that the run left behind requires that the next run reads the account."""
    difference = abs(receipt.clock_difference_seconds or 0)
    left = (receipt.sweep, receipt.discarded_packages, receipt.warehouse_restored, receipt.open_missing)
    is_timely = difference <= MAX_CLOCK_DIFFERENCE.total_seconds() and receipt.observed_at is not None
    is_stored = receipt.exit_code == 0 and bool(receipt.run_number)
    return is_stored and bool(receipt.is_quick or receipt.stats.repeat) and is_timely and not any(left)


def _not_run(before: Iterable[AccountRecord], receipts: Sequence[Receipt]) -> list[AccountRecord]:
    """Returns the records of the accounts that were no part of the run."""
    run = {receipt.account for receipt in receipts}
    is_restored = any(receipt.warehouse_restored for receipt in receipts)
    return [] if is_restored else [one for one in before if one.account not in run]


def _continued(before: AccountRecord, receipt: Receipt) -> AccountRecord:
    """Returns the record of an account that the run did not read. It holds no longer than it did before."""
    assert receipt.observed_at and receipt.run_number  # noqa: S101, PT018  # _is_good
    found = {"checks_failed": receipt.checks_failed, "unexpected_values": receipt.unexpected_values}
    return structs.replace(
        before,
        observed_at=receipt.observed_at,
        run_number=receipt.run_number,
        receipt={**before.receipt, **found},
    )


def _account_record(receipt: Receipt, plan: RunPlan, salt: str, working_dir: Path) -> AccountRecord | None:
    repeat, settings = receipt.stats.repeat, resolve_account_settings(receipt.account, plan.sections, plan.key_owners)
    assert repeat and receipt.observed_at and receipt.run_number  # noqa: S101, PT018  # _is_good
    pair: dict[str, str] = settings["credentials"].pair()
    section = account_section(receipt.account) if receipt.account in plan.sections else SOURCE_SECTION
    keys = [find_place(f"{section}.credentials.{name}", value, plan.project, salt) for name, value in pair.items()]
    places: list[Place] = [place for place in keys if place]
    is_limited = len(repeat.digests) * REQUESTS_PER_PAGE >= settings["requests_per_minute"]
    is_slow = is_limited or receipt.seconds_read > MAX_SECONDS_READ
    token_url: str | None = settings["token_url"] if tuple(pair) == OAUTH2 else None
    addresses = filter(None, [repeat.first_page, token_url])
    if len(places) < len(pair) or is_slow or any(map(_needs_requests, addresses)):
        return None
    times = [at for at in (repeat.unchanged_until, receipt.findings_due_at) if at]
    return AccountRecord(
        account=receipt.account,
        api_version=repeat.facts.api_version,
        first_page=repeat.first_page,
        keys=places,
        digests=repeat.digests,
        is_whole_list=repeat.is_whole_list,
        booked=repeat.booked,
        unchanged_until=min(times, default=None),
        settles_at=repeat.settles_at,
        observed_at=receipt.observed_at,
        machine_at=machine_time(),
        run_number=receipt.run_number,
        receipt=_receipt_values(receipt, repeat),
        pipeline_dir=str(working_dir / f"{PIPELINE_PREFIX}{receipt.account}"),
        token_url=token_url,
    )


def _needs_requests(address: str) -> bool:
    """Returns whether a variable sends requests to this address through a proxy, or names other certificates."""
    host = origin_of(address).split("://")[-1].rsplit(":", 1)[0]
    return host not in LOOPBACK and any(name.upper() in NETWORK_VARIABLES for name in ENVIRONMENT)


def _receipt_values(receipt: Receipt, repeat: Repeat) -> dict[str, Any]:
    """Returns the values of the next receipt that do not depend on the time."""
    # dataclasses.asdict counts the items of a Counter instead of copying it
    values: dict[str, Any] = msgspec.to_builtins({name: getattr(repeat.facts, name) for name in READ_FACTS})
    return values | {
        "outcome": "succeeded",
        "rows_unchanged": repeat.rows,
        "rows_in_table": receipt.rows_in_table,
        "history_complete": repeat.history_complete,
        "open_missing": receipt.open_missing,
        "checks_failed": receipt.checks_failed,
        "unexpected_values": receipt.unexpected_values,
        "has_new_findings": False,
        "version": receipt.version,
    }
