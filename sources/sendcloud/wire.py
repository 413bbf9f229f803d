"""What goes over the wire: paced and counted, and of an answer no more, and for no longer, than a page may take."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from io import BytesIO
from math import ceil, inf
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from .answer import Unusable, as_utf8, asked_to_wait
from .pace import Pace

BODY_LIMIT = 64 * 2**20  # decoded bytes; a page of 500 pickups has 0.13 MB
CHUNK = 2**16


class Wire(HTTPAdapter):
    """Paces and counts what really goes over the wire, and the waits: dlt retries below the call that asks.

    A 200 comes out of it with its body in UTF-8, so that what decides on another try can look at it.
    """

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    sent = 0
    retries = 0
    waited_seconds = 0.0
    tries = 0
    """Of the call under way."""
    _last_try_ended = 0.0

    def new_call(self) -> None:
        self.tries = 0

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        self.sent += 1
        self.tries += 1
        if self.tries > 1:
            self.retries += 1
            self.waited_seconds += time.monotonic() - self._last_try_ended
        self.waited_seconds += self._pace.wait()
        try:
            return self._answered(*args, **kwargs)
        finally:
            self._last_try_ended = time.monotonic()

    def _answered(self, *args: Any, **kwargs: Any) -> requests.Response:
        seconds = _seconds_to_read(kwargs.get("timeout"))
        deadline = time.monotonic() + seconds
        response = super().send(*args, **kwargs)
        body = _read_body(response, deadline, f"not complete {seconds:g} s after it was asked for")
        if response.status_code == 200:
            body = as_utf8(body, response.headers.get("Content-Type", ""))
        # as requests itself keeps a body that it has read; by way of `raw` it would lie in the memory twice
        response._content = body
        if "Retry-After" in response.headers:
            # dlt compares a date with this machine's clock, and ends in a ValueError at one that no calendar has
            response.headers["Retry-After"] = str(ceil(asked_to_wait(response.headers)))
        return response


def _seconds_to_read(timeout: float | tuple[float | None, float | None] | None) -> float:
    """How long an answer may take in all: the read timeout, which requests applies to each single read."""
    read = timeout[1] if isinstance(timeout, tuple) else timeout
    return inf if read is None else read


def _read_body(response: requests.Response, deadline: float, too_late: str) -> bytes:
    """The body, decoded, if it is complete by the deadline; else ReadTimeout, however steadily it drips.

    Reads block somewhere in the layers of chunks and gzip, so the deadline hangs up from another thread.
    """
    left = max(deadline - time.monotonic(), 0)
    watch = threading.Timer(min(left, threading.TIMEOUT_MAX), _hang_up, [response])
    watch.daemon = True
    watch.start()
    try:
        body = _within_limit(response)
    except requests.RequestException:
        response.close()  # half read: no connection for the next request
        if time.monotonic() < deadline:
            raise
    finally:
        watch.cancel()
    if time.monotonic() >= deadline:
        raise requests.ReadTimeout(too_late)
    return body


def _hang_up(response: requests.Response) -> None:
    with suppress(OSError, RuntimeError, ValueError):  # it has just ended, one way or the other
        response.raw.shutdown()


def _within_limit(response: requests.Response) -> bytes:
    """The body, decoded; Unusable as soon as it is over the limit. urllib3 unpacks gzip one chunk at a time."""
    body = BytesIO()  # gives out its bytes without a copy, as b"".join would not
    for chunk in response.iter_content(CHUNK):
        body.write(chunk)
        if body.tell() > BODY_LIMIT:
            raise Unusable(f"its body is larger than {BODY_LIMIT / 2**20:g} MiB")
    return body.getvalue()
