"""Opens the envelope of a page: its undecoded records and the link to the next page."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from ..api.fields import decoder_of
from ..api.version import Version


def digest_page(body: bytes, version: Version, header: str) -> tuple[str, str | None]:
    """Returns a digest of a page's undecoded records, and the link to the next page (None after the last page).

    Two pages with the same digest contain the same records, byte for byte. `header` is the Link header.

    Raises:
        msgspec.DecodeError, RecursionError: the body can't be opened without looking at its records.
    """
    envelope = decoder_of(version.envelope).decode(body)
    return hashlib.sha256(bytes(envelope.records)).hexdigest(), next_link(version, envelope, header)


def next_link(version: Version, envelope: Any, header: str) -> str | None:
    """Returns the link to the next page, or None after the last page. An empty link would hide the rest of the list."""
    following = version.next_link(envelope, header)
    if following is not None and not following.strip():
        raise msgspec.DecodeError("the link to the next page is empty")
    return following
