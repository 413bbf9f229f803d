"""Requests an account's pages without `requests`, and compares them with those of the last run.

Importing `requests` and dlt's retrying client takes ten times as long as requesting a few pages. Everything unusual,
even a failed request, is left to an ordinary run. This module therefore needs no retries, proxies or messages.
"""

from __future__ import annotations

import re
import time
import zlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from socket import SHUT_RDWR, socket
from threading import Timer
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit

import msgspec

from pipelines.quick.record import AccountRecord
from sources.sendcloud.api.dates import served_at
from sources.sendcloud.api.versions import VERSIONS
from sources.sendcloud.http.redaction import SecretMask
from sources.sendcloud.reading.clocks import ClockReading, machine_time
from sources.sendcloud.records.envelope import digest_page

if TYPE_CHECKING:
    from ssl import SSLContext

MAX_BODY_BYTES = 64 * 2**20
MAX_REDIRECTS = 3
REQUEST_SECONDS = 10.0
REDIRECTS = (301, 302, 303, 307, 308)
# Only the plainest addresses are followed, because parsers disagree about others. Their origin is compared as text.
ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[::1\])(?::\d{1,5})?")
TARGET = re.compile(r"/[A-Za-z0-9/?&=%._~:+,-]*")
CHARSET = re.compile(r"charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)


class Listed(NamedTuple):
    """The clock readings for each page, and the number of requests."""

    clocks: list[ClockReading]
    requests: int


class _Reply(NamedTuple):
    body: bytes
    link: str
    clocks: ClockReading


def list_same_pages(record: AccountRecord, keys: SecretMask, ends_at: float) -> Listed | None:
    """Returns how the pages were requested if they have the same records as in the last run, else None.

    Requests as many pages as the record has, and compares each before requesting the next. `keys` are sent only to the
    origin of the first page. `ends_at` is the time (time.monotonic) at which to give up.
    """
    try:
        walk = _Walk(record, keys, ends_at)
        with walk.connection:
            clocks = [clock for clock in walk.clocks() if clock]
        return Listed(clocks, walk.requests) if len(clocks) == len(record.digests) else None
    except (OSError, HTTPException, ValueError, RecursionError, zlib.error, msgspec.DecodeError):
        return None


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
        if self._http.sock:
            with suppress(OSError):
                socket.shutdown(self._http.sock, SHUT_RDWR)  # an SSLSocket's own method would forget its state

    def get(self, target: str, headers: dict[str, str]) -> HTTPResponse:
        self._http.request("GET", target, headers=headers)
        return self._http.getresponse()


class _Walk:
    def __init__(self, record: AccountRecord, keys: SecretMask, ends_at: float) -> None:
        self.record, self.keys, self.ends_at = record, keys, ends_at
        self.connection = Connection(record.first_page, ends_at - time.monotonic())
        self.requests = 0
        self.headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "Authorization": f"Basic {b64encode(':'.join(keys.pair).encode()).decode()}",
            "User-Agent": "sendcloud-pickups",
        }

    def clocks(self) -> Iterator[ClockReading | None]:
        """Yields the clock reading of each page, or None at the first page that differs."""
        link, version = self.record.first_page, VERSIONS[self.record.api_version]
        followed = set[str]()
        for number, digest in enumerate(self.record.digests, start=1):
            reply = self._get(link)
            found, following = digest_page(reply.body, version, reply.link)
            followed.add(link)
            is_last = number == len(self.record.digests)
            link = urljoin(link, following) if following else ""
            ends_early = link in followed or not (link or is_last)
            if found != digest or ends_early or (is_last and self.record.is_whole_list and link):
                yield None
                return
            yield reply.clocks

    def _get(self, link: str) -> _Reply:
        for _ in range(MAX_REDIRECTS + 1):
            if time.monotonic() >= self.ends_at:
                raise TimeoutError
            self.requests += 1
            reply = self.connection.get(self._target(link), self.headers)
            body = reply.read(MAX_BODY_BYTES + 1)
            if reply.status == 200:
                clocks = ClockReading(served_at(dict(reply.headers)), machine_time())
                return _Reply(self._content(reply, body), reply.headers.get("Link", ""), clocks)
            if reply.status not in REDIRECTS or reply.headers.get("Retry-After"):
                break
            link = urljoin(link, reply.headers["Location"])
        raise ValueError("an ordinary run asks again")

    def _target(self, link: str) -> str:
        target = link.removeprefix(self.connection.origin)
        if target == link or not TARGET.fullmatch(target):
            raise ValueError("an ordinary run judges this link")
        return target

    def _content(self, reply: HTTPResponse, body: bytes) -> bytes:
        """Returns the decoded body. Raises ValueError if the body is not plain JSON in UTF-8, or repeats a key."""
        encoding = reply.headers.get("Content-Encoding", "identity").strip().lower()
        charset = CHARSET.search(reply.headers.get("Content-Type", ""))
        is_whole = len(body) <= MAX_BODY_BYTES and not reply.length
        if not is_whole or encoding not in ("gzip", "identity") or (charset and charset[1].lower() != "utf-8"):
            raise ValueError("an ordinary run decodes this body")
        if encoding == "gzip":
            stream = zlib.decompressobj(31)
            body = stream.decompress(body, MAX_BODY_BYTES)
            if not stream.eof or stream.unused_data:
                raise ValueError("an ordinary run decodes this body")
        link = reply.headers.get("Link", "").encode("latin-1", "replace")
        if not body.startswith(b"{") or self.keys.appear_in(body) or self.keys.appear_in(link):
            raise ValueError("an ordinary run judges this body")
        return body


def _certificates() -> SSLContext:
    """Returns a context with the certificates that `requests` uses too."""
    import ssl

    import certifi

    return ssl.create_default_context(cafile=certifi.where())
