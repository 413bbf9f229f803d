"""Requests an account's pages without `requests`, and compares them with those of the last run.

Everything unusual, even a failed request, is left to an ordinary run. This module therefore needs no retries, proxies
or messages.
"""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from typing import NamedTuple
from urllib.parse import urljoin

import msgspec

from pipelines.quick.connection import Connection
from pipelines.quick.record import AccountRecord
from pipelines.quick.token import basic_header, bearer_header
from sources.sendcloud.api.dates import served_at
from sources.sendcloud.api.versions import VERSIONS
from sources.sendcloud.http.redaction import SecretMask
from sources.sendcloud.reading.clocks import ClockReading, machine_time
from sources.sendcloud.records.envelope import digest_page

MAX_BODY_BYTES = 64 * 2**20
MAX_REDIRECTS = 3
REDIRECTS = (301, 302, 303, 307, 308)
CHARSET = re.compile(r"charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)


class Listed(NamedTuple):
    """The clock readings for each page, and the number of requests, which include one for an access token."""

    clocks: list[ClockReading]
    requests: int


class _Reply(NamedTuple):
    body: bytes
    link: str
    clocks: ClockReading


def list_same_pages(record: AccountRecord, keys: SecretMask, ends_at: float) -> Listed | None:
    """Returns how the pages were requested if they have the same records as in the last run, else None.

    Requests as many pages as the record has, and compares each before requesting the next. `keys` or a token are sent
    only to the origin of the first page, and a client id and secret only to the token endpoint. `ends_at` is the time
    (time.monotonic) at which to give up.
    """
    try:
        walk = _Walk(record, keys, ends_at)
        with walk.connection:
            clocks = [clock for clock in walk.clocks() if clock]
        return Listed(clocks, walk.requests) if len(clocks) == len(record.digests) else None
    except (OSError, HTTPException, ValueError, RecursionError, zlib.error, msgspec.DecodeError):
        return None


class _Walk:
    def __init__(self, record: AccountRecord, keys: SecretMask, ends_at: float) -> None:
        self.record, self.keys, self.ends_at = record, keys, ends_at
        self.connection = Connection(record.first_page, ends_at - time.monotonic())
        self.requests = 1 if record.token_url else 0
        token_url = record.token_url
        self.headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "Authorization": bearer_header(record, token_url, keys, ends_at) if token_url else basic_header(keys),
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
            reply = self.connection.request("GET", link, self.headers)
            body = reply.read(MAX_BODY_BYTES + 1)
            if reply.status == 200:
                clocks = ClockReading(served_at({"Date": _header(reply, "Date")}), machine_time())
                return _Reply(self._content(reply, body), _header(reply, "Link"), clocks)
            if reply.status not in REDIRECTS or reply.headers.get("Retry-After"):
                break
            link = urljoin(link, reply.headers["Location"])
        raise ValueError("an ordinary run asks again")

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
        link = _header(reply, "Link").encode("latin-1", "replace")
        if not body.startswith(b"{") or self.keys.appear_in(body) or self.keys.appear_in(link):
            raise ValueError("an ordinary run judges this body")
        return body


def _header(reply: HTTPResponse, name: str) -> str:
    """Returns the header's value as `requests` does: regardless of case, and with repeated headers joined."""
    return ", ".join(reply.headers.get_all(name, []))
