"""Defines the field types of the records for all versions of the API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

# Every timestamp must have a UTC offset. Records without an offset are rejected, because a guess could be wrong.
Instant = Annotated[datetime, Meta(tz=True)]
Word = Annotated[str, Meta(min_length=1)]
ID = Annotated[int, Meta(ge=1, le=2**63 - 1)]
CONTRACT = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
