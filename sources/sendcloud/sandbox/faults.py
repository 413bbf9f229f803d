"""Defines the faults that you can inject. A fault is a function that changes the correct response before it is sent.

If a fault returns the response object that it received, the fault does not apply and stays in the queue.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Literal

from .answer import BLOCK, Answer
from .forms import V2, V3
from .timeline import ABSENT, utc

Fault = Callable[[Answer], Answer]
Page = int | Literal["token"]
"""The number of a page in a walk (counting from 1), or `token` for the token endpoint."""


def status(code: int) -> Fault:
    """Sends the status `code` (500, 502, 503, 504 …) with an HTML page, as a proxy in front of the API would."""
    body = f"<html><body><h1>{code}</h1></body></html>".encode()
    return lambda due: Answer(code, body, content_type="text/html", url=due.url)


def too_many(retry_after: float | datetime | str | None = None) -> Fault:
    """Sends 429 with an empty body. Retry-After is a number of seconds, a date or any text. None omits the header."""
    if isinstance(retry_after, datetime):
        retry_after = format_datetime(utc(retry_after), usegmt=True)
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return lambda due: Answer(429, headers=headers, url=due.url)


def reset() -> Fault:
    """Resets the connection (RST) before the first byte."""
    return lambda due: replace(due, reset=True)


def cut(share: float = 0.5) -> Fault:
    """Ends the body early. Closes the connection after sending a `share` of the announced Content-Length."""
    return lambda due: replace(due, sent=int(len(due.body) * share))


def truncated(share: float = 0.5) -> Fault:
    """Sends broken JSON with a correct Content-Length. The body contains only a `share` of the correct body."""
    return lambda due: replace(due, body=due.body[: int(len(due.body) * share)])


def html() -> Fault:
    """Sends an HTML page with status 200, as a login page or captive portal would."""
    body = b"<!doctype html><html><body>Please log in.</body></html>"
    return lambda due: Answer(200, body, content_type="text/html; charset=utf-8", url=due.url)


def slow(seconds: float) -> Fault:
    """Sends the correct response after `seconds`."""
    return lambda due: replace(due, wait=seconds)


def drip(pause: float) -> Fault:
    """Sends the correct response one byte at a time, pausing for `pause` seconds before each byte.

    No single read waits for long, but the whole response takes a long time.
    """
    return lambda due: replace(due, pause=pause)


def huge(size: int) -> Fault:
    """Sends the correct response followed by `size` spaces. The body is valid JSON, but too large for any client."""
    return lambda due: replace(due, padding=size)


def chunked() -> Fault:
    """Sends the correct response in chunks, without a Content-Length."""
    return lambda due: replace(due, chunked=True)


def gzipped(padding: int = 0) -> Fault:
    """Sends the correct response gzipped. A large `padding` makes a gzip bomb, because spaces compress well."""
    header = {"Content-Encoding": "gzip"}
    return lambda due: replace(due, body=_packed(due.body, padding), headers={**due.headers, **header})


def encoded(codec: str, content_type: str = "application/json") -> Fault:
    """Sends the correct response in the encoding `codec`, even if `content_type` does not mention it."""
    return lambda due: replace(due, body=due.body.decode().encode(codec), content_type=content_type)


def together(*faults: Fault) -> Fault:
    """Applies several faults to the same response, in the given order."""

    def given(due: Answer) -> Answer:
        for fault in faults:
            due = fault(due)
        return due

    return given


def redirect(url: str, code: int = 302) -> Fault:
    """Sends a redirect to `url`."""
    return lambda due: Answer(code, headers={"Location": url}, url=due.url)


def stray_link(url: str) -> Fault:
    """Sends the page's rows with a next link to `url`, for example on another origin."""
    return lambda due: _edited(due, url)


def loop() -> Fault:
    """Sends the page's rows with a next link to the page itself."""
    return lambda due: _edited(due, due.url)


def empty_page() -> Fault:
    """Sends an empty page before the correct page. The empty page links to a new address with the correct rows."""
    return lambda due: _edited(due, f"{due.url}{'&' if '?' in due.url else '?'}empty=1", [])


def refusal(code: int, message: str = "No.") -> Fault:
    """Sends `code` (400, 401, 403, 404 …) with the API's documented error, unlike a proxy's page."""

    def given(due: Answer) -> Answer:
        form = V3 if V3.root in due.url else V2
        return Answer(code, json.dumps(form.error(code, f"{form.root}/pickups", message)).encode(), url=due.url)

    return given


def expired_cursor() -> Fault:
    """Sends 404 Invalid cursor if the request has a cursor. Other responses are unchanged."""
    refused = refusal(404, "Invalid cursor")
    return lambda due: refused(due) if "cursor=" in due.url else due


def token(**fields: Any) -> Fault:
    """Adds or overrides fields in a response that contains a token. Other responses are unchanged."""

    def given(due: Answer) -> Answer:
        answer = json.loads(due.body) if due.status == 200 else {}
        if "access_token" not in answer:
            return due
        body = {name: value for name, value in {**answer, **fields}.items() if value is not ABSENT}
        return replace(due, body=json.dumps(body).encode())

    return given


def _packed(body: bytes, padding: int) -> bytes:
    packer = zlib.compressobj(wbits=31)
    packed = [packer.compress(body)]
    packed += (packer.compress(b" " * min(left, BLOCK)) for left in range(padding, 0, -BLOCK))
    return b"".join(packed) + packer.flush()


def _edited(due: Answer, link: str, records: list[Any] | None = None) -> Answer:
    """Returns the page with `records`, and with `link` as the next link in the body (v2) or the header (v3)."""
    page = json.loads(due.body) if due.status == 200 and due.body else None
    if not isinstance(page, dict) or not page.keys() & {"pickups", "data"}:
        return due
    key = "data" if "data" in page else "pickups"
    page = page if records is None else {**page, key: records}
    if key == "pickups":
        return replace(due, body=json.dumps({**page, "next": link}).encode())
    return replace(due, body=json.dumps(page).encode(), headers={**due.headers, "Link": f'<{link}>; rel="next"'})
