"""Sendcloud pickups as a dlt source: every pickup, and every later change to it.

import dlt
from sources.sendcloud import sendcloud_source

pipeline = dlt.pipeline("pickups", destination="duckdb", dataset_name="sendcloud")
pipeline.run(sendcloud_source(), loader_file_format="parquet")
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dlt
import pyarrow as pa
from dlt.extract import DltResource

from .client import REQUESTS_PER_MINUTE, Client
from .credentials import SendcloudCredentials
from .errors import Misconfigured, SendcloudError
from .frontier import Rules
from .oauth import TOKEN_URL
from .origin import origin_of
from .pace import Pace
from .reading import Reading
from .rows import INSTANT, QUARANTINE_SCHEMA, ROW_SCHEMA
from .v2 import V2
from .v3 import V3
from .version import Version
from .walk import Part, Span, Walked, walk

__all__ = [
    "NEVER_DROP_SECONDS",
    "Reading",
    "SendcloudCredentials",
    "SendcloudError",
    "address_of",
    "sendcloud_source",
    "version_of",
]

VERSIONS = {version.name: version for version in (V2, V3)}
BASE_URL = V2.base_url
NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")  # an account's label ends up in keys, paths and messages

BATCH_ROWS = 200_000  # what one Arrow table holds on its way through dlt; 50,000 took 6 % longer (2026-11)
# dlt drops rows older than last_value - lag; an old pickup that changed is such a row. 95 years is: never (dlt 1.31)
NEVER_DROP_SECONDS = 3e9

_TYPES = {pa.string(): "text", pa.int64(): "bigint", INSTANT: "timestamp"}
_JSON = ("extra", "record", "time_slots")


def _columns(schema: pa.Schema) -> Any:
    """The tables' columns for dlt, all of them: an account without pickups has the same tables as any other."""
    return {
        field.name: {
            "data_type": "json" if field.name in _JSON else _TYPES[field.type],
            "nullable": field.nullable,
        }
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
    part: Part = "whole",
    reading: Reading | None = None,
) -> Sequence[DltResource]:
    """The pickups of one Sendcloud account, and the records that could not be loaded.

    Args:
        credentials: public and secret key of an API integration, or client id and secret of one made with OAuth2,
            `[sources.sendcloud.credentials]`.
        api_version: `v2` or `v3` of the API: the same pickups in the same tables.
        base_url: the API's address; https, unless the host is loopback. The keys go to its origin only. One
            that ends in `/v2` follows `api_version`.
        token_url: where an access token is asked for, with OAuth2. As base_url; id and secret go to its origin only.
        account: label of the account, part of every row's key. Letters, digits, `_` and `-`.
        page_size: pickups to ask for in one page. The API's maximum isn't documented; what comes is taken.
        overlap_hours: how late a booking may be committed, and how far the order may waver.
        settle_days: how long after its window a pickup may still change.
        max_lookback_days: how far before the newest pickup an open one is still read again by every run.
        pages_per_package: how many pages of a first load or sweep are one load package, where `part` asks for them.
        requests_per_minute: the pace, retries included; a walk of fewer requests never waits for it.
        request_max_attempts: tries for one page; 7 wait 63 s in all, longer than Sendcloud's one-minute rate window.
        part: `whole` reads all that there is to read in one package. `head` (or `sweep`, to read settled pickups
            again as well) and then `history`, as long as `reading.has_more`, read it in packages, and go on after a
            crash where the last complete package stopped. Not a setting.
        reading: filled with what the walk did, for progress and receipt. Not a setting.

    Returns:
        Resources `pickups` (merge on account and id, incremental on created_at) and `pickups_quarantine`.

    Raises:
        Misconfigured: a setting that can't work. While extracting: the other errors of errors.py.
    """
    _check_account(account)
    _check_spans(overlap_hours=overlap_hours, settle_days=settle_days, max_lookback_days=max_lookback_days)
    _check_numbers(page_size=page_size, pages_per_package=pages_per_package)
    _check_numbers(requests_per_minute=requests_per_minute, request_max_attempts=request_max_attempts)
    _check_start_date()
    _check_whose(base_url=base_url, token_url=token_url)
    spans = timedelta(hours=overlap_hours), timedelta(days=settle_days), timedelta(days=max_lookback_days)
    rules = Rules(*spans, page_size, pages_per_package)
    reading = reading or Reading()
    pace = Pace(requests_per_minute, reading.sent_at)  # one pace for all packages of a run
    version = version_of(api_version)
    address = address_of(base_url, version)
    client = Client(address, credentials, request_max_attempts, pace, token_url, reading.tokens, version)
    reading.account, reading.api_version = account, api_version
    begun = False
    done: Walked | None = None  # the walk is made by `pickups`; what it refused goes to the other resource

    @dlt.resource(
        name="pickups",
        primary_key=["account", "id"],
        write_disposition={"disposition": "merge", "strategy": "delete-insert"},
        columns=_columns(ROW_SCHEMA),
    )
    def pickups(
        created_at: dlt.sources.incremental[datetime] = dlt.sources.incremental("created_at", lag=NEVER_DROP_SECONDS),
    ) -> Iterator[pa.Table]:
        """One row per pickup, as sent; latest state that was read. Times are UTC instants."""
        nonlocal begun, done
        begun, done = True, None
        _check_lag(created_at)
        state = dlt.current.resource_state()
        memories = state.setdefault("accounts", {})
        span = Span(_utc(created_at.initial_value), _utc(created_at.end_value))
        walked = walk(client, part, memories.get(account, {}), rules, span, reading)
        if walked is None:
            begun = False
            return
        last_value = state.get("incremental", {}).get("created_at", {}).get("last_value")
        reading.watermark = max(filter(None, [_utc(last_value), walked.newest_created_at]), default=None)
        memories[account] = walked.memory
        done = walked
        yield from _batches(walked.rows)

    @dlt.resource(
        name="pickups_quarantine",
        primary_key=["account", "record_hash"],
        write_disposition={"disposition": "merge", "strategy": "delete-insert"},
        columns=_columns(QUARANTINE_SCHEMA),
    )
    def pickups_quarantine() -> Iterator[pa.Table | None]:
        """One row per record that couldn't be loaded, with the reason."""
        yield None  # let the other resource begin: dlt takes them in turns
        while begun and done is None:
            yield None
        if done and (done.quarantine.num_rows or done.is_first):
            yield done.quarantine

    return pickups, pickups_quarantine


def version_of(name: str) -> Version:
    """The API's version of that name. Raises Misconfigured for none."""
    if name not in VERSIONS:
        raise Misconfigured("api_version", f"is {name!r}", f"Give {' or '.join(VERSIONS)}.")
    return VERSIONS[name]


def address_of(base_url: str, version: Version) -> str:
    """The address to ask: `base_url`, with `/v2` at its end made that of the version.

    The other way round nothing is guessed: Misconfigured for an address of v3 where v2 is to be read.
    """
    root, _, last = base_url.strip().rstrip("/").rpartition("/")
    if last not in VERSIONS or last == version.name:
        return base_url
    if last != V2.name:
        remedy = f"Set api_version = {last!r}, or leave base_url out."
        raise Misconfigured("base_url", f"is one of {last}, and api_version is {version.name}", remedy)
    return f"{root}/{version.name}"


def _batches(rows: pa.Table) -> Iterator[pa.Table]:
    """The rows in slices of BATCH_ROWS; no rows are one empty slice, for dlt makes the table of it."""
    for start in range(0, max(rows.num_rows, 1), BATCH_ROWS):
        yield rows.slice(start, BATCH_ROWS)


def _check_account(account: str) -> None:
    if not NAME.fullmatch(account):
        raise Misconfigured("account", f"is {account!r}", "Use 1 to 40 letters, digits, '_' or '-'.")


def _check_spans(**settings: float) -> None:
    for name, value in settings.items():
        if not 0 <= value <= 36_500:
            raise Misconfigured(name, f"is {value}", "Give 0 to 36500.")


def _check_numbers(**settings: int) -> None:
    for name, value in settings.items():
        if value < 1:
            raise Misconfigured(name, f"is {value}", "Give a whole number from 1.")


def _check_whose(**addresses: str) -> None:
    """Raises Misconfigured for an address that dlt found where it is not this source's: it looks in ever shorter
    sections, and the keys would go wherever a BASE_URL in somebody's environment leads (tried on 1.31, 2026-11).
    """
    for name, address in addresses.items():
        strays: list[object] = [dlt.config.get(key) for key in (name, f"sources.{name}")]
        if address in strays and dlt.config.get(f"sources.sendcloud.{name}") != address:
            remedy = f"If it is meant, say it there or as SOURCES__SENDCLOUD__{name.upper()}."
            there = origin_of(address) or "what is no address"
            raise Misconfigured(name, f"is set, but not in [sources.sendcloud]: no key goes to {there}", remedy)


def _check_lag(created_at: dlt.sources.incremental[datetime]) -> None:
    """Raises Misconfigured for an incremental of the user's own that would drop old pickups which have changed."""
    if created_at.end_value is None and (created_at.lag or 0) < NEVER_DROP_SECONDS:
        raise Misconfigured(
            "pickups.created_at",
            f"has a lag of {created_at.lag}: dlt would drop every change to a pickup older than that",
            'Hand in dlt.sources.incremental("created_at", lag=NEVER_DROP_SECONDS, …), from sources.sendcloud.',
        )


def _check_start_date() -> None:
    """The same as `_utc`, before dlt stumbles over the setting while it binds the incremental (tried on 1.31)."""
    _utc(dlt.config.get("sources.sendcloud.pickups.created_at.initial_value"))


def _utc(value: Any) -> datetime | None:
    """A bound of the incremental as a UTC instant.

    Raises Misconfigured for text and for a time without an offset: dlt would compare them with instants, and fail
    further down (tried on 1.31).
    """
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        remedy = "Write it in config.toml without quotes (2026-01-31T00:00:00Z), or hand in an aware datetime."
        raise Misconfigured("pickups.created_at", f"is bounded by {value!r}, which is no instant with offset", remedy)
    return value.astimezone(UTC)
