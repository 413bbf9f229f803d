"""What can go wrong on the way, on demand. A fault is a function: the answer that was due → the answer that is given.

A fault that hands back the very answer it was given doesn't concern that request, and isn't used up by it.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Literal

from .answer import BLOCK, Answer
from .forms import V2, V3
from .timeline import ABSENT, utc

Fault = Callable[[Answer], Answer]
Page = int | Literal["token"]
"""A page of a walk, from 1, or what the token endpoint answers."""


def status(code: int) -> Fault:
    """An answer with that status and a page of HTML, as from a proxy in front of the API: 500, 502, 503, 504 …"""
    body = f"<html><body><h1>{code}</h1></body></html>".encode()
    return lambda due: Answer(code, body, content_type="text/html", url=due.url)


def too_many(retry_after: float | datetime | str | None = None) -> Fault:
    """429 with an empty body. Retry-After in seconds, as a date, as any text, or (None) not there at all."""
    if isinstance(retry_after, datetime):
        retry_after = format_datetime(utc(retry_after), usegmt=True)
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return lambda due: Answer(429, headers=headers, url=due.url)


def reset() -> Fault:
    """The connection is reset (RST) before the first byte."""
    return lambda due: replace(due, reset=True)


def cut(share: float = 0.5) -> Fault:
    """The body ends early: the connection closes after that share of the promised Content-Length."""
    return lambda due: replace(due, sent=int(len(due.body) * share))


def truncated(share: float = 0.5) -> Fault:
    """Broken JSON whose Content-Length is right: only that share of the body."""
    return lambda due: replace(due, body=due.body[: int(len(due.body) * share)])


def html() -> Fault:
    """A page of HTML with status 200, as from a log-in page or a captive network."""
    body = b"<!doctype html><html><body>Please log in.</body></html>"
    return lambda due: Answer(200, body, content_type="text/html; charset=utf-8", url=due.url)


def slow(seconds: float) -> Fault:
    """The right answer, so many seconds late."""
    return lambda due: replace(due, wait=seconds)


def drip(pause: float) -> Fault:
    """The right answer, a byte at a time with a pause before each: no single read waits for long, the whole does."""
    return lambda due: replace(due, pause=pause)


def huge(size: int) -> Fault:
    """The right answer and that many spaces behind it: still JSON, and more than anybody wants to hold."""
    return lambda due: replace(due, padding=size)


def chunked() -> Fault:
    """The right answer in chunks, without a Content-Length."""
    return lambda due: replace(due, chunked=True)


def gzipped(padding: int = 0) -> Fault:
    """The right answer, gzip'd; with many spaces behind it a bomb, for they pack a thousandfold."""
    return lambda due: replace(
        due, body=_packed(due.body, padding), headers={**due.headers, "Content-Encoding": "gzip"}
    )


def encoded(codec: str, content_type: str = "application/json") -> Fault:
    """The right answer in another encoding than UTF-8, told by that Content-Type or not."""
    return lambda due: replace(due, body=due.body.decode().encode(codec), content_type=content_type)


def together(*faults: Fault) -> Fault:
    """One fault on top of the other, the first one first."""

    def given(due: Answer) -> Answer:
        for fault in faults:
            due = fault(due)
        return due

    return given


def redirect(url: str, code: int = 302) -> Fault:
    """A redirect to that address."""
    return lambda due: Answer(code, headers={"Location": url}, url=due.url)


def stray_link(url: str) -> Fault:
    """The page's rows with a next link to that address, on another origin for instance."""
    return lambda due: _edited(due, url)


def loop() -> Fault:
    """The page's rows with a next link to the page itself."""
    return lambda due: _edited(due, due.url)


def empty_page() -> Fault:
    """An empty page in front of the right one: its next link, a new address, leads to the rows that were due."""
    return lambda due: _edited(due, f"{due.url}{'&' if '?' in due.url else '?'}empty=1", [])


def expired_cursor() -> Fault:
    """404 Invalid cursor for a request that brings a cursor; others are left alone."""

    def given(due: Answer) -> Answer:
        form = V3 if V3.root in due.url else V2
        body = json.dumps(form.error(404, f"{form.root}/pickups", "Invalid cursor")).encode()
        return Answer(404, body, url=due.url) if "cursor=" in due.url else due

    return given


def errors_as(form: Literal["list", "object"], status: str | int, code: int = 400, detail: str = "No.") -> Fault:
    """v3's errors as they are documented, or one object in the list's place; their status as text or as a number."""
    error = {"status": status, "code": "invalid", "detail": detail}
    body = json.dumps({"errors": [error] if form == "list" else error}).encode()
    return lambda due: Answer(code, body, url=due.url)


def lone_record() -> Fault:
    """A page of v3 whose `data` is its first record itself, not a list (a published example has it so)."""
    return lambda due: _with(due, "data", lambda records: records[0])


def without_slots() -> Fault:
    """A page of v3 on which no pickup has time slots (FedEx's, in the published examples)."""
    return lambda due: _with(
        due, "data", lambda records: [{k: v for k, v in r.items() if k != "time_slots"} for r in records]
    )


def token(**fields: Any) -> Fault:
    """An access token whose answer has these fields as well, or in place of its own; other answers are left alone."""

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
    """The page with that next link, in the body or in the header as its version has it, and with those records."""
    page = _page_of(due)
    if page is None:
        return due
    key = "data" if "data" in page else "pickups"
    page = page if records is None else {**page, key: records}
    if key == "pickups":
        return replace(due, body=json.dumps({**page, "next": link}).encode())
    return replace(due, body=json.dumps(page).encode(), headers={**due.headers, "Link": f'<{link}>; rel="next"'})


def _with(due: Answer, key: str, change: Callable[[list[Any]], Any]) -> Answer:
    page = _page_of(due)
    return (
        due
        if not page or not page.get(key)
        else replace(due, body=json.dumps({**page, key: change(page[key])}).encode())
    )


def _page_of(due: Answer) -> dict[str, Any] | None:
    page = json.loads(due.body) if due.status == 200 and due.body else None
    return page if isinstance(page, dict) and page.keys() & {"pickups", "data"} else None


@dataclass(slots=True)
class Waiting:
    """A fault in line: for which page, and how many times yet."""

    fault: Fault
    page: Page | None
    times: int | None


class Trouble:
    """The faults in line."""

    def __init__(self) -> None:
        self._line: list[Waiting] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault, page: Page | None, times: int | None) -> None:
        """Put a fault at the end of the line."""
        with self._lock:
            self._line.append(Waiting(fault, page, times))

    def clear(self) -> None:
        """Send all away."""
        with self._lock:
            self._line.clear()

    def spoil(self, due: Answer, page: Page | None) -> Answer:
        """The answer after the first fault that concerns it; the answer that was due when none does."""
        with self._lock:
            for waiting in self._line:
                given = waiting.fault(due) if waiting.page in (None, page) else due
                if given is not due:
                    self._use(waiting)
                    return given
        return due

    def _use(self, waiting: Waiting) -> None:
        if waiting.times is not None:
            waiting.times -= 1
            if waiting.times <= 0:
                self._line.remove(waiting)
