"""What an answer says of itself: its clock, its encoding, how long to wait, what went wrong."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
import requests

LONG = 1e9  # seconds; longer than anybody waits, and still a number


class Unusable(requests.RequestException):
    """An answer that another try would not make better. The text says why."""


def served_at(headers: Mapping[str, str]) -> datetime:
    """The API's clock: the one that wrote created_at, and no business of this machine's. Ours if it sends none."""
    try:
        return parsedate_to_datetime(headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return datetime.now(UTC)


def asked_to_wait(headers: Mapping[str, str]) -> float:
    """The seconds that Retry-After asks for, in digits or as a date by the API's clock; 0 for none and for nonsense."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONG)
    try:
        until = parsedate_to_datetime(text).astimezone(UTC)
        return max((until - served_at(headers)).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return 0.0


def as_utf8(body: bytes, content_type: str) -> bytes:
    """A JSON body in UTF-8, from the encoding that its first bytes show or its charset names. Nothing is guessed.

    A byte that is no UTF-8, though nothing else was named, becomes JSON's escape for half a surrogate pair: that costs
    the record in which it stands, not the page. Raises Unusable for an encoding in which the body can't be read.
    """
    shown = json.detect_encoding(body[:4])  # by a byte order mark, or by the zeros that UTF-16 puts around "{"
    name: str = shown
    try:
        name = (_charset(content_type) or shown) if shown == "utf-8" else shown
        if codecs.lookup(name).name in ("utf-8", "utf-8-sig", "ascii"):
            return _mended(body.removeprefix(codecs.BOM_UTF8))
        return body.decode(name).encode()
    except (LookupError, ValueError):
        raise Unusable(f"it can't be read as {name}, the encoding that it comes in") from None


def _charset(content_type: str) -> str | None:
    header = Message()
    header["Content-Type"] = content_type
    return header.get_content_charset()


def _mended(body: bytes) -> bytes:
    if body.isascii():
        return body
    return body.decode("utf-8", "surrogateescape").encode("utf-8", "backslashreplace")


def holds_object(response: requests.Response) -> bool:
    """Whether the body looks like a JSON object: a proxy's page doesn't, nor does one that ended early."""
    body = response.content.strip()
    return body.startswith(b"{") and body.endswith(b"}")


def beginning_of(response: requests.Response) -> str:
    """The start of a body that is not what it should be."""
    return response.content[:4000].decode("utf-8", "replace")


def oauth_message_of(response: requests.Response) -> str:
    """What a token endpoint says of an error: OAuth2's fields, and nothing else of a body that may hold a token."""
    try:
        answer = msgspec.json.decode(response.content, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ""
    told = (answer.get(name) for name in ("error", "error_description"))
    return ": ".join(text for text in told if isinstance(text, str) and text)
