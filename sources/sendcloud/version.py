"""What differs between the API's versions, as a value: v2.py and v3.py each make one, and nothing else knows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import requests
from msgspec import Struct


class Version(NamedTuple):
    """One version of the pickups API."""

    name: str
    base_url: str  # Sendcloud's own
    scope: str  # of an access token that may read pickups
    page_size_name: str
    largest_page: int | None  # None: not documented
    envelope: type[Struct]  # a page, with `records` left undecoded, and `next` where the body holds the link
    lone_record: bool  # whether one record may stand in the list's place
    known: type[Struct]  # a record of nothing but what we know, its times as text: the quick way
    pickup: type[Struct]  # any record that can be loaded
    slots_of: Callable[[Sequence[Any]], list[str | None] | None]  # time slots of known records, as JSON; None: none
    next_of: Callable[[Any, str], str | None]  # of an envelope and the answer's Link header
    message_of: Callable[[requests.Response], str | None]  # what an error says, None where it isn't as documented

    def first_page(self, base_url: str, page_size: int) -> str:
        """The address of the newest page; a size beyond the largest is not asked for."""
        return f"{base_url}/pickups?{self.page_size_name}={min(page_size, self.largest_page or page_size)}"
