"""Predicts what a run would do, from the settings, the published tables and the first page of the list.

Nothing is written, no lock is taken, and the destination's own files are not opened for writing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pipelines.bookkeeping.run_order import LATEST_FIRST
from pipelines.config.account_settings import build_source, resolve_account_settings, with_setting_location
from pipelines.destinations.select import select_backend
from pipelines.errors import NoData
from pipelines.loading.dlt_errors import translate_error
from pipelines.loading.plan import RunPlan
from pipelines.operations.preflight_api import api_address, request_first_page
from pipelines.operations.status import read_status
from pipelines.warehouse import reading
from sources.sendcloud import ReadStats
from sources.sendcloud.records.decode import decode_page
from sources.sendcloud.settings import version_of


def predict_run(plan: RunPlan, *, sweep: bool) -> Iterator[dict[str, Any]]:
    """Yields what a run would do with each account. Requires an active project. Sends one request per account.

    Args:
        plan: the accounts to read.
        sweep: whether the run would be a sweep.

    Yields:
        One dict per account. `reads` is `all` for the whole list, and `changes` for the pickups down to the oldest one
        that can still change; `reason` says why. `last_frontier` is the time down to which the last run had to read,
        or None for the whole list. The source computes the next frontier when it starts to read. `booked_since` counts
        the pickups on the first page that were booked after the newest loaded one, or is None if none has been loaded.

    Raises:
        SendcloudError, PipelineError: the error that a run would end with.
    """
    backend = select_backend(plan.project)
    known = {one["account"]: one for one in read_status(float("inf"))}
    for account in plan.accounts:
        try:
            settings = resolve_account_settings(account, plan.sections, plan.key_owners)
            build_source(settings, "sweep" if sweep else "head", ReadStats())
            reply = request_first_page(settings)
            version = version_of(settings["api_version"])
            page = decode_page(reply.body, account, version, reply.link)
        except Exception as error:
            raise with_setting_location(translate_error(error, str(backend)), account) from error
        last = known.get(account, {})
        yield {
            "account": account,
            "address": api_address(settings),
            "destination": str(backend),
            **_first_page(page.rows["created_at"].to_pylist(), len(page.rejected), last.get("newest_created_at")),
            **_extent(last, _last_version(account), version.name, sweep=sweep),
        }


def _first_page(booked: list[datetime], refused: int, newest_known: datetime | None) -> dict[str, Any]:
    after = len([at for at in booked if at > newest_known]) if newest_known else None
    newest = max(booked, default=None)
    return {"first_page": len(booked), "first_page_refused": refused, "newest": newest, "booked_since": after}


def _extent(last: dict[str, Any], last_version: str | None, version: str, *, sweep: bool) -> dict[str, Any]:
    if not last.get("last_success_at"):
        return {"reads": "all", "reason": "nothing has been loaded yet", "last_frontier": None}
    facts = {"reads": "all", "last_frontier": last["frontier"]}
    if last_version not in (None, version):
        return {**facts, "reason": f"the API version changes from {last_version} to {version}"}
    if not last["history_complete"] or last["is_sweep_under_way"]:
        return {**facts, "reason": "an earlier read of the whole list is resumed"}
    if sweep:
        return {**facts, "reason": "a sweep reads everything again"}
    return {**facts, "reads": "changes", "reason": "older pickups are settled"}


def _last_version(account: str) -> str | None:
    """Returns the API version that the account's last good run read, or None if it is unknown."""
    query = f"""
        select api_version from sendcloud.pickup_runs where account = ? and outcome = 'succeeded'
        order by {LATEST_FIRST} limit 1
    """  # noqa: S608  # the text is a constant
    try:
        with reading() as connection:
            # until the first run after an upgrade, receipts may lack these columns
            if not {"api_version", "run_number"} <= set(connection.columns("pickup_runs")):
                return None
            found: list[tuple[str | None]] = connection.execute(query, [account]).fetchall()
            return found[0][0] if found else None
    except NoData:
        return None
