"""The pair of keys of an integration: fit for a header, out of every message, and never let in by the back door."""

from __future__ import annotations

import re
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote_to_bytes

from .errors import Misconfigured

SHORT = 12  # a shorter key may stand in an honest answer by chance; Sendcloud's have 32 characters
_ESCAPE = re.compile(rb"\\(?:u00([0-9A-Fa-f]{2})|(.))", re.DOTALL)


class Keys:
    """Both keys by name, the secret one last, and the access tokens that were got for them.

    Raises Misconfigured for an empty key, and for characters that no header can carry. `spelled` is how they are
    written into the header.
    """

    def __init__(self, named: Mapping[str, str], spelled: Callable[[str], str] = str) -> None:
        for name, key in named.items():
            if not key or not key.isascii() or not key.isprintable():
                problem = "has characters that no key has" if key else "is empty"
                raise Misconfigured(f"credentials.{name}", problem, "Copy it once more from Sendcloud's panel.")
        public_key, secret_key = named.values()
        self.pair = spelled(public_key), spelled(secret_key)
        basic = b64encode(":".join(self.pair).encode()).decode()
        self._shown = (basic, secret_key, public_key)
        # base64 ends in = or not
        self._secret = [key.encode() for key in (basic.rstrip("="), secret_key) if len(key) >= SHORT]
        self._tokens: deque[str] = deque(maxlen=2)  # the one before is still good when the next is there

    def hide(self, token: str) -> None:
        """From now on that token is out of every message too, and not let in."""
        if token not in self._tokens:
            self._tokens.append(token)

    def masked(self, text: str) -> str:
        """The text in one line of at most 200 characters, without either key, should a server echo them."""
        for key in (*self._tokens, *self._shown):
            text = text.replace(key, "***")
        if self.stand_in(text.encode("utf-8", "replace")):
            text = "*** (it repeats the keys)"
        line = " ".join(text.split())
        return line if len(line) <= 200 else line[:199] + "…"

    def stand_in(self, body: bytes) -> bool:
        """Whether the secret key is in there, or what goes into a header: plain, escaped, or in a link."""
        secret = [*self._secret, *(token.encode() for token in self._tokens if len(token) >= SHORT)]
        return any(key in spelling for spelling in _spellings(body) for key in secret)


def _spellings(body: bytes) -> Iterator[bytes]:
    """The body as it is, then without JSON's escapes, then without a link's percent signs too."""
    yield body
    if b"\\" in body:
        body = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()) if found[1] else found[2], body)
        yield body
    if b"%" in body:
        yield unquote_to_bytes(body)
