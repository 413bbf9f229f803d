"""Keeps values from the API as JSON text that is valid in every database, with sorted keys and every digit as sent.

Decoding and encoding a number would reformat `1.10`, round long decimals and reject `1e400`. Numbers are therefore
copied as text, and only the text around the numbers is normalized.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

# PostgreSQL's jsonb expands exponents and stores up to 131,072 digits, and Spark reads up to 1,000 characters
MAX_NUMBER_LENGTH = 1000
PLAIN = re.compile(rb'"[^"\\]*"|-?[0-9.]{1,%d}|true|false|null' % MAX_NUMBER_LENGTH)  # Values that are kept unchanged.
RESPELLED = re.compile(rb"(?<![0-9])-0(?![.0-9eE])|[0-9]{%d}" % MAX_NUMBER_LENGTH)  # Integers that msgspec alters.
LARGE_EXPONENT = re.compile(r"[eE][+-]?0*[1-9][0-9]{3}")
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
sorted_json = msgspec.json.Encoder(order="deterministic")


class _Number(str):
    """A number as it was sent."""


def _number(text: str) -> str:
    """Returns the number as sent, or as plain text if a database could not store it."""
    return str(text) if len(text) > MAX_NUMBER_LENGTH or LARGE_EXPONENT.search(text) else _Number(text)


def _raw(text: str) -> Raw | str:
    return Raw(text.encode()) if isinstance(_number(text), _Number) else text


_decode = msgspec.json.Decoder(float_hook=_raw).decode  # This decoder is ten times as fast as _parse.
_parse: Callable[[str], Any] = json.JSONDecoder(parse_float=_number, parse_int=_number, parse_constant=str).decode
_parse_as_sent = json.JSONDecoder(parse_float=_Number, parse_int=_Number, parse_constant=_Number).decode


def keep_as_sent(value: Raw) -> Raw:
    """Returns a value from the API as valid JSON in UTF-8, with sorted keys and without spaces.

    Values that JSON or a database can't store become text. These are NaN, half a surrogate pair (as its escape), values
    that are not UTF-8, and numbers with more than MAX_NUMBER_LENGTH characters or an exponent beyond 999.
    """
    text = bytes(value)
    if PLAIN.fullmatch(text):
        return value
    try:
        kept = None if RESPELLED.search(text) else sorted_json.encode(_decode(text))
    except (msgspec.DecodeError, ValueError, RecursionError):
        kept = None
    return Raw(kept or _keep_slowly(text))


def _keep_slowly(text: bytes) -> bytes:
    try:
        return _write(_parse(text.decode()))
    except (ValueError, RecursionError):
        return sorted_json.encode(text.decode("utf-8", "backslashreplace"))


def split_as_sent(value: bytes) -> Any:
    """Returns a JSON value as lists and dicts, with numbers as sent, even if it contains NaN or a lone surrogate.

    Raises:
        ValueError, RecursionError: the standard library can't read the value either.
    """
    return _parse_as_sent(value.decode())


def join_as_sent(value: Any) -> Raw:
    """Converts a value from `split_as_sent` back to JSON without losing anything."""
    return Raw(_write(value, _escape))


def escape_surrogates(text: str) -> str:
    """Returns the text with each lone surrogate replaced by its escape, because UTF-8 can't encode surrogates."""
    return LONE_SURROGATE.sub(lambda half: f"\\u{ord(half[0]):x}", text)


def _text(text: str) -> bytes:
    try:
        return sorted_json.encode(text)
    except UnicodeEncodeError:
        return sorted_json.encode(escape_surrogates(text))


def _escape(text: str) -> bytes:
    return json.dumps(text).encode()


def _write(value: Any, text: Callable[[str], bytes] = _text) -> bytes:
    if isinstance(value, _Number):
        return value.encode()
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return b"{%b}" % b",".join(b"%b:%b" % (text(k), _write(v, text)) for k, v in sorted(value.items()))
    if isinstance(value, list):
        return b"[%b]" % b",".join([_write(one, text) for one in value])
    return sorted_json.encode(value)


def identify(record: bytes) -> bytes:
    """Returns the text from which a rejected record's hash is computed.

    Never change this text, because stored rows contain the hash. Unlike in `keep_as_sent`, numbers are reformatted, as
    they were when the first rows were stored.
    """
    try:
        return sorted_json.encode(msgspec.json.decode(record))
    except msgspec.DecodeError:
        pass
    try:
        value = json.loads(record, parse_constant=str, parse_float=_float)
        text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    except (ValueError, RecursionError):
        return sorted_json.encode(record.decode("utf-8", "backslashreplace"))
    return LONE_SURROGATE.sub(lambda half: f"\\\\u{ord(half[0]):x}", text).encode()


def _float(text: str) -> float | str:
    return float(text) if math.isfinite(float(text)) else text
