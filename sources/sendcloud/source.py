"""Defines the dlt source: the resources `pickups` and `pickups_quarantine` of one account."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import dlt
import pyarrow as pa
from dlt.extract import DltResource

from .http.client import REQUESTS_PER_MINUTE, Client
from .http.credentials import SendcloudCredentials
from .http.oauth import TOKEN_URL
from .http.rate_limit import RateLimiter, TimeBudget
from .log_filter import hide_known_warning
from .reading.frontier import Rules
from .reading.outcome import ReadPart, Span, WalkResult
from .reading.progress import ReadStats
from .reading.repeat import predict_repeat
from .reading.walk import walk
from .records.tables import INSTANT, QUARANTINE_SCHEMA, ROW_SCHEMA
from .settings import (
    _COUNT,
    _SPAN,
    BASE_URL,
    BATCH_ROWS,
    NEVER_DROP_SECONDS,
    _check_account,
    _check_address_section,
    _check_lag,
    _check_range,
    _to_utc,
    address_of,
    version_of,
)

__source_name__ = "sendcloud"  # dlt names the settings' section and the state after the module otherwise


_TYPES = {pa.string(): "text", pa.int64(): "bigint", INSTANT: "timestamp"}
_JSON = ("extra", "record", "time_slots")


def _columns(schema: pa.Schema) -> Any:
    """Returns dlt column hints, so that an account without pickups gets the same tables as every other account."""
    return {
        field.name: {"data_type": "json" if field.name in _JSON else _TYPES[field.type], "nullable": field.nullable}
        for field in schema
    }


@dlt.source(name="sendcloud", max_table_nesting=0)
def sendcloud_source(
    credentials: SendcloudCredentials = dlt.secrets.value,
    api_version: str = "v2",
    base_url: str = BASE_URL,
    token_url: str = TOKEN_URL,
    account: str = "default",
    page_size: int = 500,
    overlap_hours: float = 1.0,
    settle_days: float = 7.0,
    max_lookback_days: float = 180.0,
    pages_per_package: int = 400,
    requests_per_minute: int = REQUESTS_PER_MINUTE,
    request_max_attempts: int = 7,
    account_timeout: float = 0.0,
    part: ReadPart = "whole",
    read_back_to: datetime | None = None,
    stats: ReadStats | None = None,
) -> Sequence[DltResource]:
    """Creates the resources for one Sendcloud account: its pickups, and the records that can't be loaded.

    Args:
        credentials: the public and secret keys of an API integration, or the client id and secret of an integration
            that uses OAuth2. dlt reads them from `[sources.sendcloud.credentials]`.
        api_version: the API version, `v2` or `v3`. Both versions load the same pickups into the same tables.
        base_url: the address of the API, which must use https unless its host is a loopback host. Keys and access
            tokens are sent only to the origin of `base_url`. A trailing `/v2` is replaced to match `api_version`.
        token_url: the address that issues OAuth2 access tokens, which must use https unless its host is a loopback
            host. The client id and secret are sent only to the origin of `token_url`.
        account: the label of the account, which is part of the key of every row. The label consists of 1 to 40
            letters, digits, `_` or `-`.
        page_size: the number of pickups to request per page. The maximum for v2 is not documented, so the source
            accepts whatever page size the API returns.
        overlap_hours: the maximum number of hours by which a booking may be committed late or listed out of order.
        settle_days: the number of days after a pickup's window during which the pickup may still change.
        max_lookback_days: every run rereads the open pickups booked at most this many days before the newest pickup.
        pages_per_package: the number of pages per load package in a first load or sweep, unless `part` is `whole`.
        requests_per_minute: the maximum number of requests per minute, including retries. A walk that sends fewer
            requests never waits.
        request_max_attempts: the maximum number of attempts per page. With seven attempts, the waits add up to 63 s,
            which is longer than Sendcloud's one-minute rate window.
        account_timeout: the maximum number of seconds that a run may spend reading the account; 0 means no limit. The
            part of a first load or sweep that was read in this time is loaded, and the next run resumes after it.
        part: `whole` reads everything in one package. To read several packages, use `head`, and then `history` as long
            as `stats.has_more` is true. If a run crashes, the next run resumes after the last complete package. To
            reread settled pickups too, use `sweep` instead of `head`. `part` is an argument, not a setting.
        read_back_to: a time in UTC. A walk from the top reads at least the pickups booked since then, even if they are
            settled. `read_back_to` is an argument, not a setting.
        stats: collects counts for progress displays and the receipt. `stats` is an argument, not a setting.

    Returns:
        The resources `pickups` (merged on account and id, incremental on created_at) and `pickups_quarantine` (merged
        on account and record_hash).

    Raises:
        SettingsError: a setting is invalid. The other errors in `errors.py` are raised while the resources are being
            extracted.
    """
    hide_known_warning()
    _check_account(account)
    _check_range(0, 1e6, "Use 0 (no limit) to 1000000 seconds.", account_timeout=account_timeout)
    _check_range(*_SPAN, overlap_hours=overlap_hours, settle_days=settle_days, max_lookback_days=max_lookback_days)
    _check_range(*_COUNT, page_size=page_size, pages_per_package=pages_per_package)
    _check_range(*_COUNT, requests_per_minute=requests_per_minute, request_max_attempts=request_max_attempts)
    _to_utc(dlt.config.get("sources.sendcloud.pickups.created_at.initial_value"))  # dlt 1.31 fails on an invalid date
    _check_address_section(base_url=base_url, token_url=token_url)
    spans = timedelta(hours=overlap_hours), timedelta(days=settle_days), timedelta(days=max_lookback_days)
    rules = Rules(*spans, page_size, pages_per_package, read_back_to)
    stats = stats or ReadStats()
    pace = RateLimiter(requests_per_minute, stats.sent_at)  # all load packages of a run share one rate limit
    version = version_of(api_version)
    address = address_of(base_url, version)
    stats.budget = stats.budget or TimeBudget(account_timeout)
    client = Client(address, credentials, request_max_attempts, pace, token_url, stats.tokens, version, stats.budget)
    stats.account, stats.api_version = account, api_version
    # The `pickups` resource walks the list, and `pickups_quarantine` waits for the rejected records. A hidden parent
    # resource with two transformers would not work, because dlt stores the state and the settings of the incremental
    # separately for each resource. In existing warehouses, the state and the settings are stored under `pickups`.
    is_walking = False
    result: WalkResult | None = None

    @dlt.resource(
        name="pickups",
        primary_key=["account", "id"],
        write_disposition={"disposition": "merge", "strategy": "delete-insert"},
        columns=_columns(ROW_SCHEMA),
    )
    def pickups(
        created_at: dlt.sources.incremental[datetime] = dlt.sources.incremental("created_at", lag=NEVER_DROP_SECONDS),
    ) -> Iterator[pa.Table]:
        """Yields one row per pickup, as sent by the API, in the latest state that was read. All times are in UTC."""
        nonlocal is_walking, result
        is_walking, result = True, None
        _check_lag(created_at)
        state = dlt.current.resource_state()
        memories = state.setdefault("accounts", {})
        span = Span(_to_utc(created_at.initial_value), _to_utc(created_at.end_value))
        walked = walk(client, part, memories.get(account, {}), rules, span, stats)
        if walked is None:
            is_walking = False
            return
        last_value = state.get("incremental", {}).get("created_at", {}).get("last_value")
        stats.watermark = max(filter(None, [_to_utc(last_value), walked.newest_created_at]), default=None)
        memories[account] = walked.memory
        result = walked
        with suppress(Exception):  # without a prediction, the next run is an ordinary one
            stats.repeat = predict_repeat(client, walked.memory, rules._replace(read_back_to=None), span, stats)
        yield from _batches(walked.rows)

    @dlt.resource(
        name="pickups_quarantine",
        primary_key=["account", "record_hash"],
        write_disposition={"disposition": "merge", "strategy": "delete-insert"},
        columns=_columns(QUARANTINE_SCHEMA),
    )
    def pickups_quarantine() -> Iterator[pa.Table | None]:
        """Yields one row per record that can't be loaded, with the reason."""
        yield None  # dlt alternates between the resources, and `pickups` must start first
        while is_walking and result is None:
            yield None
        if result and (result.quarantine.num_rows or result.is_first):
            yield result.quarantine

    return pickups, pickups_quarantine


def _batches(rows: pa.Table) -> Iterator[pa.Table]:
    """Yields slices of BATCH_ROWS rows. An empty table yields one empty slice, so that dlt creates the table."""
    for start in range(0, max(rows.num_rows, 1), BATCH_ROWS):
        yield rows.slice(start, BATCH_ROWS)
