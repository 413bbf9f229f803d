"""Decodes the records of a page into rows of an Arrow table, and rejects invalid records with a reason.

A version's `pickup` class (`api/v2.py`, `api/v3.py`) defines what a valid record is. A page that has neither unknown
nor unreadable fields is decoded in one pass as `known` records, and Arrow parses the times. Every other page is decoded
record by record (`record.py`). A test verifies that both methods give the same result.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC
from itertools import chain
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
from msgspec import Raw, Struct
from msgspec.json import Decoder

from ..api.fields import Instant, decoder_of
from ..api.version import Version
from .envelope import next_link
from .json_text import identify, join_as_sent, keep_as_sent, split_as_sent
from .record import ReadRecord, read_record
from .tables import BOOKED_FROM, BOOKED_UNTIL, RejectedRecord, columns_of, parse_instants, to_table


class _Booking(Struct, gc=False):
    """The booking time of a record that can't be loaded. This time shows the record's position in the list."""

    created_at: Instant | None = None


class Page(NamedTuple):
    """The content of one page: rows of ROW_SCHEMA, rejected records, and the next link.

    `unknown_fields` and `unreadable_fields` count the records that contain each of these fields, keyed by the API's
    field name.
    """

    rows: pa.Table
    rejected: list[RejectedRecord]
    unknown_fields: Counter[str]
    unreadable_fields: Counter[str]
    next: str | None


_decode_booking = Decoder(_Booking)
_raw_records = Decoder(list[Raw])


def decode_page(body: bytes, account: str, version: Version, link: str = "") -> Page:
    """Returns the decoded page. `body` is a JSON object in the format of `version`.

    `link` is the Link header of the response. Every row contains `account`. An invalid record does not raise
    an error, but is listed in `rejected`.

    Raises:
        msgspec.DecodeError: the body is not a page of `version`.
    """
    try:
        envelope = decoder_of(version.envelope).decode(body)
    except msgspec.DecodeError as error:
        envelope, raws = _split_records(body, version, error)
        return _read_one_by_one(raws, next_link(version, envelope, link), account, version)
    except RecursionError:
        raise msgspec.DecodeError("nested too deeply to be read") from None
    following = next_link(version, envelope, link)
    try:
        known = decoder_of(list[version.known]).decode(envelope.records)  # type: ignore[name-defined]
        slots, columns = version.encode_slots(known), columns_of(known)
        rows = to_table(columns, None, slots, account, version.name, parse_instants(columns))
        return Page(rows, [], Counter(), Counter(), following)
    except (msgspec.DecodeError, ValueError):
        raw: Raw = envelope.records
        is_lone = version.lone_record and bytes(raw).lstrip().startswith(b"{")
        return _read_one_by_one([raw] if is_lone else _raw_records.decode(raw), following, account, version)


def _split_records(body: bytes, version: Version, error: msgspec.DecodeError) -> tuple[Any, list[Raw]]:
    """Returns the envelope and records of a page that msgspec can't parse because of a lone surrogate or NaN.

    One invalid record must not make the whole page unusable. The standard library is more lenient, and every record
    that it accepts is validated later.
    """
    key: str = version.envelope.key  # type: ignore[attr-defined]
    try:
        page = msgspec.convert(split_as_sent(body), dict[str, Any])
        listed = page.get(key)
        is_lone = version.lone_record and isinstance(listed, dict)
        records = msgspec.convert([listed] if is_lone else listed, list[Any])
        envelope = decoder_of(version.envelope).decode(join_as_sent({**page, key: []}))
        return envelope, [join_as_sent(record) for record in records]
    except (ValueError, RecursionError, msgspec.DecodeError):
        raise error from None


def _read_one_by_one(raws: Sequence[Raw], next_link: str | None, account: str, version: Version) -> Page:
    read: list[ReadRecord] = []
    rejected: list[RejectedRecord] = []
    for raw in raws:
        try:
            read.append(read_record(raw, version))
        except (msgspec.DecodeError, OverflowError) as error:
            rejected.append(_reject(raw, str(error)))
    extras, slots = [one.extra for one in read], [one.slots for one in read]
    rows = to_table(columns_of([one.pickup for one in read]), extras, slots, account, version.name)
    unknown = Counter(chain.from_iterable(one.unknown for one in read))
    unreadable = Counter(chain.from_iterable(one.unreadable for one in read))
    return Page(rows, rejected, unknown, unreadable, next_link)


def _reject(raw: Raw, reason: str) -> RejectedRecord:
    try:
        booked = _decode_booking.decode(raw).created_at
        # an implausible year does not show the record's position in the list, but the neighbouring records do
        created_at = booked.astimezone(UTC) if booked and BOOKED_FROM <= booked < BOOKED_UNTIL else None
    except (msgspec.DecodeError, OverflowError):
        created_at = None
    record_hash = hashlib.sha256(identify(bytes(raw))).hexdigest()
    return RejectedRecord(record_hash, reason, bytes(keep_as_sent(raw)).decode(), created_at)
