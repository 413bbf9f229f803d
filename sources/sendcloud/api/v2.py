"""Defines version 2 of the API: `GET /api/v2/pickups`, as specified by PickupList in Sendcloud's OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec
from msgspec import Raw, Struct, field

from .fields import CONTRACT, ID, Instant, Word
from .version import Version

if TYPE_CHECKING:
    import requests


class _Sent(Struct, gc=False, kw_only=True):
    """The fields of a listed pickup, except for its times.

    Only the fields that the tables need are required. The OpenAPI document also requires `country`, `pickup_from` and
    `cancelled_at`, but a record without these fields can be loaded. `tracking_number` is text, but the API may send a
    bare integer (seen in published v3 examples).
    """

    id: ID
    carrier: Word
    pickup_status: Word
    country: str | None = None
    tracking_number: str | int | None = None
    contract: CONTRACT | None = None


class Pickup(_Sent, gc=False, kw_only=True):
    """A pickup in which every field can be read. The pickup may have unknown fields."""

    created_at: Instant
    pickup_from: Instant | None = None
    pickup_until: Instant | None = None
    cancelled_at: Instant | None = None


class KnownPickup(_Sent, forbid_unknown_fields=True, gc=False, kw_only=True):
    """A pickup without unknown fields, before its times are parsed."""

    created_at: str
    pickup_from: str | None = None
    pickup_until: str | None = None
    cancelled_at: str | None = None


class Envelope(Struct, gc=False):
    """A page. If `next` is null, the page is the last one in the list.

    The document requires `next`. If `next` is absent, the rest of the list may be missing, so the response is not a
    page.
    """

    key: ClassVar[str] = "pickups"
    records: Raw = field(name=key)
    next: str | None


def _message(response: requests.Response) -> str | None:
    try:
        return str(msgspec.json.decode(response.content)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, RecursionError):
        return None


V2 = Version(
    name="v2",
    base_url="https://panel.sendcloud.sc/api/v2",
    scope="api",
    page_size_name="limit",
    largest_page=None,
    envelope=Envelope,
    lone_record=False,
    known=KnownPickup,
    pickup=Pickup,
    partial=Pickup,
    readable_slots=None,
    encode_slots=lambda _pickups: None,  # pickups of this version have no time slots
    next_link=lambda envelope, _link: envelope.next,
    error_message=_message,
)
