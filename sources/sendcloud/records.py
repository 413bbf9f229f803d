"""A record on the wire becomes a row, or goes to quarantine with the reason. Rows travel as Arrow tables.

`Pickup` is the statement of what a record is. A page of plain ones is decoded in one pass as `KnownPickup`, and its
times by Arrow; any other page is taken apart record by record with `Pickup`. A test holds that both ways agree.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import msgspec
import pyarrow as pa
from msgspec import Meta, Raw, Struct

from .rows import BOOKED_FROM, BOOKED_UNTIL, INSTANTS, Rejected, as_table, instants_of_text

# an instant must carry its offset: a time without one is refused, never guessed
Instant = Annotated[datetime, Meta(tz=True)]
Word = Annotated[str, Meta(min_length=1)]


class _Sent(Struct, gc=False, kw_only=True):
    """A pickup as the v2 list sends it (seed OpenAPI, PickupList), but for its times.

    Only what the tables need is required: `country`, `pickup_from` and `cancelled_at` are required by the document
    but may be missing here without harm. `tracking_number` may come as a bare integer (seen in published v3
    examples); it is text.
    """

    id: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    carrier: Word
    pickup_status: Word
    country: str | None = None
    tracking_number: str | int | None = None
    contract: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None


class Pickup(_Sent, gc=False, kw_only=True):
    """Any pickup that can be loaded, and fields that nobody told us of beside it."""

    created_at: Instant
    pickup_from: Instant | None = None
    pickup_until: Instant | None = None
    cancelled_at: Instant | None = None


class KnownPickup(_Sent, forbid_unknown_fields=True, gc=False, kw_only=True):
    """One without such fields, its times left as text: the quick way is for pages of nothing else."""

    created_at: str
    pickup_from: str | None = None
    pickup_until: str | None = None
    cancelled_at: str | None = None


class Envelope(Struct, gc=False):
    """A page: `pickups` is left undecoded; an absent or null `next` is the end of the list."""

    pickups: Raw
    next: str | None = None


class _Booked(Struct, gc=False):
    """The one thing to be saved of a record that can't be loaded: where in time it stands."""

    created_at: Instant | None = None


class Page(NamedTuple):
    """What one page holds: rows (see ROW_SCHEMA), records refused, counts of unknown fields, the next link."""

    rows: pa.Table
    rejected: list[Rejected]
    unknown_fields: dict[str, int]
    next: str | None


FIELDS = frozenset(Pickup.__struct_fields__)
_envelope = msgspec.json.Decoder(Envelope)
_known = msgspec.json.Decoder(list[KnownPickup])
_pickup = msgspec.json.Decoder(Pickup)
_booked = msgspec.json.Decoder(_Booked)
_raws = msgspec.json.Decoder(list[Raw])
_sorted_json = msgspec.json.Encoder(order="deterministic")


def read_page(body: bytes, account: str) -> Page:
    """The page in `body`, a JSON object with `pickups` and `next`; rows are stamped with `account`.

    Raises msgspec.DecodeError when the body is not such a page. A bad record is not an error: it is in `rejected`.
    """
    try:
        envelope = _envelope.decode(body)
    except msgspec.DecodeError as error:
        return _read_one_by_one(*_taken_apart(body, error), account)
    except RecursionError:
        raise msgspec.DecodeError("nested too deeply to be read") from None
    try:
        known = _known.decode(envelope.pickups)
        rows = as_table(known, [None] * len(known), account, instants_of_text(known))
        return Page(rows, [], {}, envelope.next)
    except (msgspec.DecodeError, ValueError):
        return _read_one_by_one(_raws.decode(envelope.pickups), envelope.next, account)


def _taken_apart(body: bytes, error: msgspec.DecodeError) -> tuple[list[Raw], str | None]:
    """The records of a page that msgspec won't even skip through (half a surrogate pair, NaN): one must not cost all.

    The standard library is more lenient; what it lets pass is still refused record by record.
    """
    try:
        page = msgspec.convert(json.loads(body), dict[str, Any])
        records = msgspec.convert(page.get("pickups"), list[Any])
        return [Raw(json.dumps(record).encode()) for record in records], msgspec.convert(page.get("next"), str | None)
    except (ValueError, RecursionError, msgspec.ValidationError):
        raise error from None


def _read_one_by_one(raws: list[Raw], next_link: str | None, account: str) -> Page:
    pickups: list[Pickup] = []
    extras: list[str | None] = []
    rejected: list[Rejected] = []
    unknown_fields: dict[str, int] = {}
    for raw in raws:
        try:
            pickup = _dated(_pickup.decode(raw))
            unknown = {k: v for k, v in msgspec.json.decode(raw).items() if k not in FIELDS}
        except (msgspec.DecodeError, OverflowError) as error:
            rejected.append(_reject(raw, str(error)))
            continue
        for field in unknown:
            unknown_fields[field] = unknown_fields.get(field, 0) + 1
        pickups.append(pickup)
        extras.append(_sorted_json.encode(unknown).decode() if unknown else None)
    return Page(as_table(pickups, extras, account), rejected, unknown_fields, next_link)


def _dated(pickup: Pickup) -> Pickup:
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


def _kept_as_it_can_be(raw: bytes) -> bytes:
    """The record as JSON for all that: half a surrogate pair as the text of its escape, NaN as the text NaN."""
    try:
        text = json.dumps(json.loads(raw, parse_constant=str), sort_keys=True, ensure_ascii=False)
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
