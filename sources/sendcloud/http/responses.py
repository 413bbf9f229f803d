"""Reads the metadata of a response: the API's clock, the encoding, the requested wait and the error message."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from email.message import Message
from typing import Any

import msgspec
import requests

from ..api.dates import http_date, served_at

ENCODINGS = "gzip, deflate"  # other encodings would be decoded only if certain packages happened to be installed
READABLE_ENCODINGS = {"gzip", "x-gzip", "deflate", "identity"}
MAX_SECONDS = 1e9  # longer than any realistic wait, but finite


class UnusableResponse(requests.RequestException):
    """Raised for an unusable response if a retry would not help. The message states the reason."""


def retry_after_seconds(headers: Mapping[str, str]) -> float:
    """Returns the wait in seconds from the Retry-After header, or 0 if the header is missing or invalid.

    The header contains a number of seconds or a date. A date is compared with the API's clock.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_SECONDS)
    try:
        return max((http_date(text) - served_at(headers)).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return 0.0


def has_readable_encoding(response: requests.Response) -> bool:
    """Returns whether the body is in an encoding that the request offered.

    Raises:
        UnusableResponse: the request did not offer the encoding, although the response is a page.
    """
    header = response.headers.get("Content-Encoding", "")
    encodings = [name.strip().lower() for name in header.split(",") if name.strip()]
    if len(encodings) <= 1 and {*encodings} <= READABLE_ENCODINGS:
        return True
    if response.status_code == 200:
        raise UnusableResponse(f"the body has Content-Encoding {header[:40]!r}, but the request offered {ENCODINGS}")
    return False


def to_utf8(body: bytes, content_type: str) -> bytes:
    """Returns a JSON body in UTF-8. The first bytes or the charset determine the original encoding.

    The encoding is never guessed. In a UTF-8 body, an invalid byte becomes the JSON escape of a lone surrogate. As a
    result, only the record with the invalid byte is rejected, not the whole page.

    Raises:
        UnusableResponse: the body can't be decoded with its encoding.
    """
    # The encoding is detected from a byte order mark, or from the zero bytes next to "{" in UTF-16.
    shown = json.detect_encoding(body[:4])
    name: str = shown
    try:
        name = (_charset(content_type) or shown) if shown == "utf-8" else shown
        if codecs.lookup(name).name in ("utf-8", "utf-8-sig", "ascii"):
            body = body.removeprefix(codecs.BOM_UTF8)
            is_plain = body.isascii()
            return body if is_plain else body.decode("utf-8", "surrogateescape").encode("utf-8", "backslashreplace")
        return body.decode(name).encode()
    except (LookupError, ValueError):
        raise UnusableResponse(f"the body can't be decoded as {name}") from None


def _charset(content_type: str) -> str | None:
    header = Message()
    header["Content-Type"] = content_type
    return header.get_content_charset()


def is_json_object(response: requests.Response) -> bool:
    """Returns whether the body looks like a JSON object, unlike a proxy's HTML page or a truncated body."""
    body = response.content.strip()
    return body.startswith(b"{") and body.endswith(b"}")


def is_html(response: requests.Response) -> bool:
    """Returns whether the body is an HTML page, based on its Content-Type or its first character."""
    return "html" in response.headers.get("Content-Type", "").lower() or response.content.lstrip().startswith(b"<")


def excerpt(response: requests.Response) -> str:
    """Returns the start of an unexpected body as text."""
    return response.content[:4000].decode("utf-8", "replace")


def oauth_error_message(response: requests.Response) -> str:
    """Returns the OAuth2 error fields of a token endpoint's response, or an empty string.

    Other fields are omitted, because the body may contain a token.
    """
    answer = decode_object(response.content)
    texts = (answer.get(name) for name in ("error", "error_description"))
    return ": ".join(text for text in texts if isinstance(text, str) and text)


def decode_object(body: bytes) -> dict[str, Any]:
    """Returns the JSON object in the body, or an empty object if the body is something else."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}
