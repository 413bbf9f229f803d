"""Represents an API version as a named tuple. All differences between versions are confined to `v2.py` and `v3.py`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Raw, Struct

if TYPE_CHECKING:
    import requests


class Version(NamedTuple):
    """One version of the pickups API."""

    name: str
    base_url: str  # The address of Sendcloud's API.
    scope: str  # The scope that an access token needs to read pickups.
    page_size_name: str
    largest_page: int | None  # The maximum page size, or None if it is not documented.
    envelope: type[Struct]  # A page with undecoded `records`, and with a `next` field if the body contains the link.
    lone_record: bool  # Whether a page may contain a single record instead of a list.
    known: type[Struct]  # A record without unknown fields, before its times are parsed, for fast decoding.
    pickup: type[Struct]  # Any record in which every field can be read. A field with a default is optional.
    partial: type[Struct]  # A record in which unreadable optional fields have been replaced.
    # Returns the readable parts of the slots, and whether every slot is complete; None if pickups have no time slots.
    readable_slots: Callable[[Raw], tuple[Raw, bool]] | None
    # Returns the time slots of known records as JSON, or None if the version's pickups have no slots.
    encode_slots: Callable[[Sequence[Any]], list[str | None] | None]
    next_link: Callable[[Any, str], str | None]  # The arguments are the envelope and the Link header of a response.
    error_message: Callable[[requests.Response], str | None]  # Returns None if the error is not in the documented form.

    def is_about_page_size(self, message: str) -> bool:
        """Returns whether the error message of a 400 response names the page-size parameter."""
        return bool(re.search(rf"(?<!rate ){self.page_size_name}\b", message, re.IGNORECASE))

    def first_page(self, base_url: str, page_size: int) -> str:
        """Returns the address of the page with the newest pickups. The page size is capped at `largest_page`."""
        return f"{base_url}/pickups?{self.page_size_name}={min(page_size, self.largest_page or page_size)}"
