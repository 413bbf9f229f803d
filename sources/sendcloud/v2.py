"""Version 2 of the API: `GET /api/v2/pickups` (the document that the project came from, PickupList)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import requests
from msgspec import Raw, Struct, field

from .record import CONTRACT, ID, Instant, Word
from .version import Version


class _Sent(Struct, gc=False, kw_only=True):
    """A pickup as the list sends it, but for its times.

    Only what the tables need is required: `country`, `pickup_from` and `cancelled_at` are required by the document
    but may be missing here without harm. `tracking_number` may come as a bare integer (seen in published v3
    examples); it is text.
    """

    id: ID
    carrier: Word
    pickup_status: Word
    country: str | None = None
    tracking_number: str | int | None = None
    contract: CONTRACT | None = None


class Pickup(_Sent, gc=False, kw_only=True):
    """Any pickup that can be loaded, and fields that nobody told us of beside it."""

    created_at: Instant
    pickup_from: Instant | None = None
    pickup_until: Instant | None = None
    cancelled_at: Instant | None = None


class KnownPickup(_Sent, forbid_unknown_fields=True, gc=False, kw_only=True):
    """One without such fields, its times left as text."""

    created_at: str
    pickup_from: str | None = None
    pickup_until: str | None = None
    cancelled_at: str | None = None


class Envelope(Struct, gc=False):
    """A page; an absent or null `next` is the end of the list."""

    key: ClassVar[str] = "pickups"
    records: Raw = field(name=key)
    next: str | None = None


def _next(envelope: Any, _link: str) -> str | None:
    link: str | None = envelope.next
    return link


def _message(response: requests.Response) -> str | None:
    try:
        return str(msgspec.json.decode(response.content)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, RecursionError):
        return None


def _no_slots(_pickups: Sequence[Any]) -> None:
    """No pickup of this version has any."""


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
    slots_of=_no_slots,
    next_of=_next,
    message_of=_message,
)
