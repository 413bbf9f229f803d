"""Decodes the records of a page into rows of an Arrow table, and rejects invalid records with a reason.

The `pickup` class of a version (`api/v2.py`, `api/v3.py`) defines which records are valid. A page without unknown
fields is decoded in one pass as `known` records, and Arrow parses the times. Every other page is decoded record by
record. A test verifies that both methods produce the same result.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from datetime import UTC
from functools import cache
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
from msgspec import Raw, Struct
from msgspec.json import Decoder

from ..api.fields import Instant
from ..api.version import Version
from .tables import BOOKED_FROM, BOOKED_UNTIL, INSTANTS, RejectedRecord, parse_instants, to_table


class _Booking(Struct, gc=False):
    """The booking time of a record that can't be loaded, which shows the record's position in the list."""

    created_at: Instant | None = None


class Page(NamedTuple):
    """The contents of one page: rows of ROW_SCHEMA, rejected records, counts of unknown fields and the next link."""

    rows: pa.Table
    rejected: list[RejectedRecord]
    unknown_fields: dict[str, int]
    next: str | None


class _Decoders(NamedTuple):
    """The decoders of one version, and the field names of its records."""

    envelope: Decoder[Any]
    known: Decoder[list[Any]]
    pickup: Decoder[Any]
    fields: frozenset[str]  # the field names that the API uses


@cache
def _decoders(version: Version) -> _Decoders:
    known: Any = list[version.known]  # type: ignore[name-defined]  # the type is created at run time
    fields = frozenset(field.encode_name for field in msgspec.structs.fields(version.pickup))
    return _Decoders(Decoder(version.envelope), Decoder(known), Decoder(version.pickup), fields)


_decode_booking = Decoder(_Booking)
_raw_records = Decoder(list[Raw])
_sorted_json = msgspec.json.Encoder(order="deterministic")


def decode_page(body: bytes, account: str, version: Version, link: str = "") -> Page:
    """Returns the decoded page. `body` is a JSON object in the format of `version`.

    `link` is the Link header of the response. Every row contains `account`. An invalid record does not raise
    an error, but is listed in `rejected`.

    Raises:
        msgspec.DecodeError: the body is not a page of `version`.
    """
    decoders = _decoders(version)
    try:
        envelope = decoders.envelope.decode(body)
    except msgspec.DecodeError as error:
        envelope, raws = _split_records(body, version, error)
        return _read_one_by_one(raws, version.next_link(envelope, link), account, version)
    except RecursionError:
        raise msgspec.DecodeError("nested too deeply to be read") from None
    following = version.next_link(envelope, link)
    try:
        known = decoders.known.decode(envelope.records)
        slots = version.encode_slots(known)
        rows = to_table(known, None, slots, account, version.name, parse_instants(known))
        return Page(rows, [], {}, following)
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
        page = msgspec.convert(json.loads(body), dict[str, Any])
        listed = page.get(key)
        is_lone = version.lone_record and isinstance(listed, dict)
        records = msgspec.convert([listed] if is_lone else listed, list[Any])
        envelope = _decoders(version).envelope.decode(json.dumps({**page, key: []}))
        return envelope, [Raw(json.dumps(record).encode()) for record in records]
    except (ValueError, RecursionError, msgspec.DecodeError):
        raise error from None


def _read_one_by_one(raws: Sequence[Raw], next_link: str | None, account: str, version: Version) -> Page:
    decoders = _decoders(version)
    pickups: list[Any] = []
    extras: list[str | None] = []
    slots: list[str | None] = []
    rejected: list[RejectedRecord] = []
    unknown_fields: dict[str, int] = {}
    for raw in raws:
        try:
            pickup = _booking_of(decoders.pickup.decode(raw))
            sent = msgspec.json.decode(raw)
        except (msgspec.DecodeError, OverflowError) as error:
            rejected.append(_reject(raw, str(error)))
            continue
        unknown = {k: v for k, v in sent.items() if k not in decoders.fields}
        for field in unknown:
            unknown_fields[field] = unknown_fields.get(field, 0) + 1
        pickups.append(pickup)
        extras.append(_sorted_json.encode(unknown).decode() if unknown else None)
        there = sent.get("time_slots") if "time_slots" in decoders.fields else None
        slots.append(None if there is None else _sorted_json.encode(there).decode())
    return Page(to_table(pickups, extras, slots, account, version.name), rejected, unknown_fields, next_link)


def _booking_of(pickup: Any) -> Any:
    """Returns the pickup if its times are valid. Otherwise, raises an OverflowError that names the field.

    After conversion to UTC, all times must be in the years 1 to 9999. The booking time must lie between BOOKED_FROM and
    BOOKED_UNTIL (`tables.py`), because dlt's incremental may drop rows outside those bounds.
    """
    for field in INSTANTS:
        try:
            _ = getattr(pickup, field) and getattr(pickup, field).astimezone(UTC)
        except OverflowError:
            raise OverflowError(f"Expected a year from 1 to 9999 in UTC - at `$.{field}`") from None
    if not BOOKED_FROM <= pickup.created_at < BOOKED_UNTIL:
        raise OverflowError("Expected a year from 1970 to 2064 - at `$.created_at`")
    return pickup


def _float(text: str) -> float | str:
    """Returns a finite number as a float. Other numbers, such as 1e999, stay text, because JSON has no Infinity."""
    return float(text) if math.isfinite(float(text)) else text


def _preserve_record(raw: bytes) -> bytes:
    """Returns an invalid record as JSON. Lone surrogates become escape sequences, and NaN and 1e999 become text."""
    try:
        text = json.dumps(json.loads(raw, parse_constant=str, parse_float=_float), sort_keys=True, ensure_ascii=False)
    except (ValueError, RecursionError):
        return _sorted_json.encode(raw.decode("utf-8", "backslashreplace"))
    return re.sub("[\ud800-\udfff]", lambda half: f"\\\\u{ord(half[0]):x}", text).encode()


def _reject(raw: Raw, reason: str) -> RejectedRecord:
    try:
        text = _sorted_json.encode(msgspec.json.decode(raw))
    except msgspec.DecodeError:
        text = _preserve_record(bytes(raw))
    try:
        booked = _decode_booking.decode(raw).created_at
        # an implausible year does not show the record's position in the list, but the neighbouring records do
        created_at = booked.astimezone(UTC) if booked and BOOKED_FROM <= booked < BOOKED_UNTIL else None
    except (msgspec.DecodeError, OverflowError):
        created_at = None
    return RejectedRecord(hashlib.sha256(text).hexdigest(), reason, text.decode(), created_at)
