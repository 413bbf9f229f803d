"""Defines the types of a record's fields, for all versions of the API, and reads single values."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any

from msgspec import DecodeError, Meta, Raw
from msgspec.json import Decoder

# Every timestamp must have a UTC offset. A timestamp without an offset counts as unreadable, because a guess could be
# wrong.
Instant = Annotated[datetime, Meta(tz=True)]
Word = Annotated[str, Meta(min_length=1)]
ID = Annotated[int, Meta(ge=1, le=2**63 - 1)]
CONTRACT = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
NULL, EMPTY = Raw(b"null"), b'""'
decoder_of = cache(Decoder)


def readable(value: Raw, decoder: Decoder[Any]) -> Raw | None:
    """Returns the value if the decoder can read it, JSON's null if the value is an empty string, or None otherwise.

    Where a time or a number is expected, an empty string counts as null. A string that contains only spaces doesn't
    count as null, because its meaning is unclear.
    """
    try:
        if isinstance(read := decoder.decode(value), datetime):
            read.astimezone(UTC)
    except (DecodeError, OverflowError):
        return NULL if bytes(value) == EMPTY else None
    return value
