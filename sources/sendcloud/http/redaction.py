"""Masks the keys of an integration in messages, and detects the keys in responses."""

from __future__ import annotations

import re
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote_to_bytes

from ..errors import SettingsError

MIN_LENGTH = 12  # a shorter key may occur in a valid response by chance; Sendcloud's keys have 32 characters
QUOTES = {(quote, quote) for quote in "\"'`"} | {("“", "”"), ("„", "“"), ("‘", "’"), ("«", "»")}
_ESCAPE = re.compile(rb"\\(?:u00([0-9A-Fa-f]{2})|(.))", re.DOTALL)


class SecretMask:
    """Stores a pair of keys and the access tokens that were issued for the pair.

    `named` maps names to keys, with the secret key last. `spelled` encodes a key for the header.

    Raises:
        SettingsError: a key is empty or contains characters that are not allowed in a header.
    """

    def __init__(self, named: Mapping[str, str], spelled: Callable[[str], str] = str) -> None:
        for name, key in named.items():
            if problem := _problem_of(key):
                raise SettingsError.of(f"credentials.{name}", problem, "Copy the value again from the Sendcloud panel.")
        public_key, secret_key = named.values()
        if spelled is str and ":" in public_key:  # RFC 7617, 2: the server would split the pair at this colon
            problem = "has a colon"
            raise SettingsError.of(f"credentials.{next(iter(named))}", problem, "Copy the value again.")
        self.pair = spelled(public_key), spelled(secret_key)
        basic = b64encode(":".join(self.pair).encode()).decode()
        self._shown = (basic, secret_key, public_key)
        # a response may repeat the base64 text without the trailing =
        self._secret = [key.encode() for key in (basic.rstrip("="), secret_key) if len(key) >= MIN_LENGTH]
        self._tokens: deque[str] = deque(maxlen=2)  # the previous token remains valid after a renewal

    def add(self, token: str) -> None:
        """Adds a token, so that `mask` masks it and `appear_in` detects it."""
        if token not in self._tokens:
            self._tokens.append(token)

    def mask(self, text: str) -> str:
        """Returns the text as one line of at most 200 characters, with keys and tokens masked.

        A server may echo keys and tokens in its responses.
        """
        for key in (*self._tokens, *self._shown):
            text = text.replace(key, "***")
        if self.appear_in(text.encode("utf-8", "replace")):
            text = "*** (the text repeats the keys)"
        line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(text.split()))
        return line if len(line) <= 200 else line[:199] + "…"

    def appear_in(self, body: bytes) -> bool:
        """Returns whether the body contains the secret key, the Basic credentials or a token.

        These secrets may be in plain text, escaped in JSON or percent-encoded in a link.
        """
        secret = [*self._secret, *(token.encode() for token in self._tokens if len(token) >= MIN_LENGTH)]
        return any(key in spelling for spelling in _encodings(body) for key in secret)


def _problem_of(key: str) -> str | None:
    """Returns what is wrong with a key, or None. The server would refuse a key that was copied incorrectly."""
    if not key.strip():
        return "is empty"
    if key != key.strip():
        return "starts or ends with a space or a line break"
    if len(key) > 1 and (key[0], key[-1]) in QUOTES:
        return "has quotes around it"
    return None if key.isascii() and key.isprintable() else "has invalid characters"


def _encodings(body: bytes) -> Iterator[bytes]:
    """Yields the body unchanged, then with JSON escapes decoded, and then with percent-encoding decoded as well."""
    yield body
    if b"\\" in body:
        body = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()) if found[1] else found[2], body)
        yield body
    if b"%" in body:
        yield unquote_to_bytes(body)
