"""Stores what the last run learned, in a file beside the warehouse, so that the next run may be a quick one.

The file contains no secret and nothing that can't be had again: without it, the next run is an ordinary run.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from pipelines.atomic_file import replace_atomically
from pipelines.file_access import PRIVATE_FILE_MODE, is_own
from pipelines.quick import RECORD_SUFFIX
from pipelines.quick.marks import read_small
from pipelines.quick.settings_again import Place
from pipelines.receipt import READ_FACTS, Receipt
from sources.sendcloud.reading.progress import ReadStats

MAX_BYTES = 2**26  # A record has 30 bytes for each open pickup, and 1,700 for each account.
TIMES, COUNTERS = ("observed_at", "watermark", "frontier", "oldest_read_at"), ("unknown_fields", "unreadable_fields")


class AccountRecord(Struct):
    """What the next run of an account does if the API lists the same pages. See `Repeat` in the source.

    `receipt` contains the values of the receipt that the next run writes, except for those that depend on the time.
    """

    account: str
    api_version: str
    first_page: str
    keys: list[Place]
    digests: list[str]
    is_whole_list: bool
    booked: datetime | None
    unchanged_until: datetime | None
    settles_at: list[datetime]
    observed_at: datetime
    machine_at: datetime
    run_number: int  # the number of the account's last receipt
    receipt: dict[str, Any]
    pipeline_dir: str  # the working folder of dlt's pipeline
    token_url: str | None = None  # the token endpoint, if the account uses OAuth2
    unpublished_at: datetime | None = None  # the end of the last quick run (UTC), if its receipt is not published yet


class QuickRecord(Struct):
    """What the last run learned about all its accounts, and the marks that must still be the same.

    Attributes:
        mark: see `installation_mark`.
        salt: makes the digests of secrets differ from record to record.
        warehouse: the warehouse file, and its mark.
        published: the published file, and its mark.
        published_at: when the file was published, according to this machine's clock.
        published_through: the configured path of the published file, which may lead through links.
        incidents: the files that would contain incidents.
        data_schema: the name of the schema with the tables.
        max_age_minutes: how old the published file may become before a quick run publishes again.
        share_blocks: whether the published file may share disk blocks with the warehouse.
        configured: the names of all configured accounts.
        ping: where the ping's address is configured, or None.
        accounts: the accounts of the run.
    """

    mark: str
    salt: str
    warehouse: str
    warehouse_mark: str
    published: str
    published_mark: str
    published_through: str
    incidents: list[str]
    data_schema: str
    published_at: datetime
    max_age_minutes: float
    share_blocks: bool
    configured: list[str]
    ping: Place | None
    accounts: list[AccountRecord]


def record_path(warehouse: Path) -> Path:
    """Returns the path of the record, which is beside the warehouse."""
    return warehouse.with_suffix(RECORD_SUFFIX)


def read_record(path: Path) -> QuickRecord | None:
    """Returns the record, or None if there is none that this version and this user wrote."""
    with suppress(OSError, msgspec.DecodeError, msgspec.ValidationError):
        if is_own(path):
            return msgspec.json.decode(read_small(path, MAX_BYTES), type=QuickRecord)
    return None


def write_record(path: Path, record: QuickRecord) -> None:
    """Writes the record so that only this user can read it.

    Raises:
        OSError: the file can't be written.
    """
    with replace_atomically(path) as fresh:
        fresh.write_bytes(msgspec.json.encode(record))
    path.chmod(PRIVATE_FILE_MODE)


def to_receipt(values: dict[str, Any]) -> Receipt:
    """Returns a receipt with the values of the record. The run's own values, such as its id, are new."""
    facts = {name: values[name] for name in READ_FACTS}
    facts |= {name: datetime.fromisoformat(facts[name]) for name in TIMES if facts[name]}
    facts |= {name: Counter(facts[name]) for name in COUNTERS}
    own = {name: value for name, value in values.items() if name not in READ_FACTS}
    return Receipt(ReadStats(**facts), **own)
