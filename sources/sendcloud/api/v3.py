"""Defines version 3 of the API: `GET /api/v3/pickups`.

The definition follows Sendcloud's OpenAPI document of 2026-01-28 and the pages at sendcloud.dev/api/v3. Version 3 lists
the same pickups under different field names. The window of a pickup is a list of zero, one or two time slots. There
are two slots if the carrier comes twice a day.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from msgspec import UNSET, DecodeError, Raw, Struct, UnsetType, field
from msgspec.json import Decoder

from .fields import CONTRACT, EMPTY, ID, NULL, Instant, Word, readable
from .version import Version

if TYPE_CHECKING:
    import requests

# Matches one link in a Link header (RFC 8288): an address, and parameters with quoted values that may contain any
# character. The address must not contain `<`, because matching 60,000 of these characters would take half a minute.
LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[\w*]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]+))?)*)')
PARAMETER = re.compile(r';\s*([\w*]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+)))?')
_sorted = msgspec.json.Encoder(order="sorted")
_decode_slots = Decoder(list[dict[str, Raw]])
_decode_time: Decoder[Instant | None] = Decoder(Instant | None)


class Slot(Struct, gc=False):
    """A period during which the driver may come. Without `end_at`, the period is open-ended."""

    start_at: Instant
    end_at: Instant | None = None


class PartialSlot(Struct, gc=False):
    """A slot in which unreadable times have been replaced by null."""

    start_at: Instant | None = None
    end_at: Instant | None = None


class KnownSlot(Struct, forbid_unknown_fields=True, gc=False):
    """A time slot without unknown fields, before its times are parsed."""

    start_at: str
    end_at: str | UnsetType | None = UNSET


class _Sent(Struct, gc=False, kw_only=True):
    """The fields of a listed pickup, except for its times.

    The OpenAPI document marks no field as required. Fields without a default are required here, because the tables
    need these fields.
    """

    id: ID
    carrier: Word = field(name="carrier_code")
    pickup_status: Word = field(name="status")
    country: str | None = None
    tracking_number: str | int | None = None
    contract: CONTRACT | None = field(name="contract_id", default=None)


class _Windowed(_Sent, gc=False, kw_only=True):
    """A pickup whose window starts with the first slot and ends with the last slot.

    If a slot is open-ended, the window has no end. If a slot's start can't be read, the window has no start.
    """

    created_at: Instant
    cancelled_at: Instant | None = None
    time_slots: Sequence[PartialSlot | Slot] | None = None

    @property
    def pickup_from(self) -> Instant | None:
        starts = [slot.start_at for slot in self.time_slots or [] if slot.start_at]
        return min(starts, default=None) if len(starts) == len(self.time_slots or []) else None

    @property
    def pickup_until(self) -> Instant | None:
        ends = [slot.end_at for slot in self.time_slots or [] if slot.end_at]
        return max(ends, default=None) if len(ends) == len(self.time_slots or []) else None


class Pickup(_Windowed, gc=False, kw_only=True):
    """A pickup in which every field can be read. The pickup may have unknown fields."""

    time_slots: list[Slot] | None = None


class PartialPickup(_Windowed, gc=False, kw_only=True):
    """A pickup in which some parts of the time slots may be unreadable."""

    time_slots: list[PartialSlot] | None = None


class KnownPickup(_Sent, forbid_unknown_fields=True, gc=False, kw_only=True):
    """A pickup without unknown fields, before its times are parsed.

    Only pickups with at most one slot are allowed, because unparsed times don't show which slot comes first.
    """

    created_at: str
    cancelled_at: str | None = None
    time_slots: list[KnownSlot] | None = None

    @property
    def pickup_from(self) -> str | None:
        slot = self._slot()
        return slot.start_at if slot else None

    @property
    def pickup_until(self) -> str | None:
        slot = self._slot()
        return None if slot is None or slot.end_at is UNSET else slot.end_at

    def _slot(self) -> KnownSlot | None:
        if len(self.time_slots or []) > 1:
            raise ValueError("several slots")
        return self.time_slots[0] if self.time_slots else None


class Envelope(Struct, gc=False):
    """A page. `data` is a list of pickups or, as in a published example, a single pickup."""

    key: ClassVar[str] = "data"
    records: Raw = field(name=key)


def _next(_envelope: Any, header: str) -> str | None:
    """Returns the address of the `next` link. The header may contain any number of links in any order."""
    for address, parameters in LINK.findall(header):
        for name, quoted, bare in PARAMETER.findall(parameters):
            if name.lower() == "rel" and "next" in (quoted or bare).lower().split():
                return str(address)
    return None


def _message(response: requests.Response) -> str | None:
    """Returns the message of the first error. `errors` may be a list, as documented, or a single object."""
    try:
        errors = msgspec.json.decode(response.content)["errors"]
        first = errors[0] if isinstance(errors, list) else errors
        return str(first.get("detail") or first["title"])
    except (msgspec.DecodeError, LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return None


def _slots(pickups: Sequence[Any]) -> list[str | None]:
    return [None if p.time_slots is None else _sorted.encode(p.time_slots).decode() for p in pickups]


def _readable_slots(value: Raw) -> tuple[Raw, bool]:
    """Returns the slots, with null for unreadable times, and whether every slot has a start and only readable times."""
    try:
        slots = _decode_slots.decode(value)
    except DecodeError:
        return NULL, bytes(value) in (b"null", EMPTY)
    is_complete = True
    for slot in slots:
        for name in slot.keys() & {"start_at", "end_at"}:
            time = readable(slot[name], _decode_time)
            is_complete, slot[name] = is_complete and time is not None, time or NULL
        is_complete = is_complete and bytes(slot.get("start_at", NULL)) != bytes(NULL)
    return Raw(_sorted.encode(slots)), is_complete


V3 = Version(
    name="v3",
    base_url="https://panel.sendcloud.sc/api/v3",
    scope="read:pickup",
    page_size_name="page_size",
    largest_page=100,
    envelope=Envelope,
    lone_record=True,
    known=KnownPickup,
    pickup=Pickup,
    partial=PartialPickup,
    readable_slots=_readable_slots,
    encode_slots=_slots,
    next_link=_next,
    error_message=_message,
)
