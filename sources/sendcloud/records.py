"""A record on the wire becomes a row, or goes to quarantine with the reason. Rows travel as Arrow tables.

A version's `pickup` is the statement of what a record is (v2.py, v3.py). A page of plain ones is decoded in one pass as
`known`, and its times by Arrow; any other page is taken apart record by record. A test holds that both ways agree.
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

from .record import Instant
from .rows import BOOKED_FROM, BOOKED_UNTIL, INSTANTS, Rejected, as_table, instants_of_text
from .version import Version


class _Booked(Struct, gc=False):
    """The one thing to be saved of a record that can't be loaded: where in time it stands."""

    created_at: Instant | None = None


class Page(NamedTuple):
    """What one page holds: rows (see ROW_SCHEMA), records refused, counts of unknown fields, the next link."""

    rows: pa.Table
    rejected: list[Rejected]
    unknown_fields: dict[str, int]
    next: str | None


class _Decoders(NamedTuple):
    """Of one version."""

    envelope: Decoder[Any]
    known: Decoder[list[Any]]
    pickup: Decoder[Any]
    fields: frozenset[str]  # as on the wire


@cache
def _decoders(version: Version) -> _Decoders:
    known: Any = list[version.known]  # type: ignore[name-defined]  # a type made at run time
    fields = frozenset(field.encode_name for field in msgspec.structs.fields(version.pickup))
    return _Decoders(Decoder(version.envelope), Decoder(known), Decoder(version.pickup), fields)


_booked = Decoder(_Booked)
_raws = Decoder(list[Raw])
_sorted_json = msgspec.json.Encoder(order="deterministic")


def read_page(body: bytes, account: str, version: Version, link: str = "") -> Page:
    """The page in `body`, a JSON object as `version` has it, `link` its Link header; rows are stamped with `account`.

    Raises msgspec.DecodeError when the body is not such a page. A bad record is not an error: it is in `rejected`.
    """
    decoders = _decoders(version)
    try:
        envelope = decoders.envelope.decode(body)
    except msgspec.DecodeError as error:
        envelope, raws = _taken_apart(body, version, error)
        return _read_one_by_one(raws, version.next_of(envelope, link), account, version)
    except RecursionError:
        raise msgspec.DecodeError("nested too deeply to be read") from None
    following = version.next_of(envelope, link)
    try:
        known = decoders.known.decode(envelope.records)
        slots = version.slots_of(known)
        rows = as_table(known, None, slots, account, version.name, instants_of_text(known))
        return Page(rows, [], {}, following)
    except (msgspec.DecodeError, ValueError):
        raw: Raw = envelope.records
        is_lone = version.lone_record and bytes(raw).lstrip().startswith(b"{")
        return _read_one_by_one([raw] if is_lone else _raws.decode(raw), following, account, version)


def _taken_apart(body: bytes, version: Version, error: msgspec.DecodeError) -> tuple[Any, list[Raw]]:
    """The envelope and records of a page that msgspec won't even skip through (half a surrogate pair, NaN): one record
    must not cost all. The standard library is more lenient; what it lets pass is still refused record by record.
    """
    key: str = version.envelope.key  # type: ignore[attr-defined]
    try:
        page = msgspec.convert(json.loads(body), dict[str, Any])
        listed = page.get(key)
        is_lone = version.lone_record and isinstance(listed, dict)
        records = msgspec.convert([listed] if is_lone else listed, list[Any])
        envelope = _decoders(version).envelope.decode(json.dumps({"next": page.get("next"), key: []}))
        return envelope, [Raw(json.dumps(record).encode()) for record in records]
    except (ValueError, RecursionError, msgspec.DecodeError):
        raise error from None


def _read_one_by_one(raws: Sequence[Raw], next_link: str | None, account: str, version: Version) -> Page:
    decoders = _decoders(version)
    pickups: list[Any] = []
    extras: list[str | None] = []
    slots: list[str | None] = []
    rejected: list[Rejected] = []
    unknown_fields: dict[str, int] = {}
    for raw in raws:
        try:
            pickup = _dated(decoders.pickup.decode(raw))
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
    return Page(as_table(pickups, extras, slots, account, version.name), rejected, unknown_fields, next_link)


def _dated(pickup: Any) -> Any:
    """The pickup, if all its times are years 1 to 9999 in UTC too, and it was booked when dlt's incremental lets it
    through (rows.py); OverflowError naming the field otherwise.
    """
    for field in INSTANTS:
        try:
            _ = getattr(pickup, field) and getattr(pickup, field).astimezone(UTC)
        except OverflowError:
            raise OverflowError(f"No year from 1 to 9999 in UTC - at `$.{field}`") from None
    if not BOOKED_FROM <= pickup.created_at < BOOKED_UNTIL:
        raise OverflowError("No year from 1970 to 2064 - at `$.created_at`")
    return pickup


def _float(text: str) -> float | str:
    """1e999 is no float, and Infinity no JSON."""
    return float(text) if math.isfinite(float(text)) else text


def _kept_as_it_can_be(raw: bytes) -> bytes:
    """The record as JSON for all that: half a surrogate pair as the text of its escape, NaN and 1e999 as texts."""
    try:
        text = json.dumps(json.loads(raw, parse_constant=str, parse_float=_float), sort_keys=True, ensure_ascii=False)
    except (ValueError, RecursionError):
        return _sorted_json.encode(raw.decode("utf-8", "backslashreplace"))
    return re.sub("[\ud800-\udfff]", lambda half: f"\\\\u{ord(half[0]):x}", text).encode()


def _reject(raw: Raw, reason: str) -> Rejected:
    try:
        text = _sorted_json.encode(msgspec.json.decode(raw))
    except msgspec.DecodeError:
        text = _kept_as_it_can_be(bytes(raw))
    try:
        booked = _booked.decode(raw).created_at
        # a year that nobody books in says nothing of where the record stands; its neighbours do
        created_at = booked.astimezone(UTC) if booked and BOOKED_FROM <= booked < BOOKED_UNTIL else None
    except (msgspec.DecodeError, OverflowError):
        created_at = None
    return Rejected(hashlib.sha256(text).hexdigest(), reason, text.decode(), created_at)
