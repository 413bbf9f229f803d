"""Sends requests to one origin with `http.client`, which is imported ten times as fast as `requests`."""

from __future__ import annotations

import re
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from socket import SHUT_RDWR, socket
from threading import Timer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from ssl import SSLContext

REQUEST_SECONDS = 10.0
# Only the plainest addresses are followed, because parsers disagree about others. Their origin is compared as text.
ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[::1\])(?::\d{1,5})?(?=[/?#]|$)")
TARGET = re.compile(r"/[A-Za-z0-9/?&=%._~:+,-]*")


class Connection:
    """Keeps one connection to the origin of an address, and ends it after `seconds`.

    A socket's own timeout is not enough, because it begins again with each byte.
    """

    def __init__(self, address: str, seconds: float) -> None:
        found = ORIGIN.match(address)
        if not found:
            raise ValueError("an ordinary run reads this address")
        self.origin, parts = found[0], urlsplit(found[0])
        host = parts.hostname or ""
        self._socket: socket | None = None
        self._end = Timer(max(seconds, 0), self._shut_down)
        self._end.daemon = True
        self._http: HTTPConnection
        if parts.scheme == "https":
            self._http = HTTPSConnection(host, parts.port, timeout=REQUEST_SECONDS, context=_certificates())
        else:
            self._http = HTTPConnection(host, parts.port, timeout=REQUEST_SECONDS)

    def __enter__(self) -> Connection:
        self._end.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.cancel()
        self._http.close()

    def _shut_down(self) -> None:
        if self._socket:
            with suppress(OSError):
                socket.shutdown(self._socket, SHUT_RDWR)  # an SSLSocket's own method would forget its state

    def request(self, method: str, address: str, headers: dict[str, str], form: bytes | None = None) -> HTTPResponse:
        """Returns the response to a request for an address of this origin.

        Raises:
            OSError, HTTPException: the request failed.
            ValueError: the address has another origin, or is too unusual to judge.
        """
        target = address.removeprefix(self.origin)
        if target == address or not TARGET.fullmatch(target):
            raise ValueError("an ordinary run judges this address")
        self._http.request(method, target, form, headers)
        self._socket = self._http.sock  # `_http` forgets it if the server closes the connection after the response
        return self._http.getresponse()


def _certificates() -> SSLContext:
    """Returns a context with the certificates that `requests` uses too."""
    import ssl

    import certifi

    return ssl.create_default_context(cafile=certifi.where())
