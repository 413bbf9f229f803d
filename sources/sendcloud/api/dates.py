"""Reads the times in the headers of a response."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def served_at(headers: Mapping[str, str]) -> datetime:
    """Returns the UTC time of a response, from its Date header.

    The API's clock also determines created_at. The local clock is used only if the header is missing or invalid.
    """
    try:
        return http_date(headers["Date"])
    except (KeyError, ValueError, OverflowError):
        return datetime.now(UTC)


def http_date(text: str) -> datetime:
    """Returns the time of a date in a header. A date without a zone, or with `-0000`, is in GMT (RFC 9110, 5.6.7)."""
    read = parsedate_to_datetime(text)
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
