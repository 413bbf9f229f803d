"""Sends requests at a limited rate, counts them, and limits the size and duration of every response."""

from __future__ import annotations

import time
from io import BytesIO
from math import ceil, inf
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from ..errors import OutOfTime
from .deadline import DeadlineWatch
from .rate_limit import RateLimiter, TimeBudget
from .responses import UnusableResponse, has_readable_encoding, retry_after_seconds, to_utf8

MAX_BODY_BYTES = 64 * 2**20  # The limit applies after decompression; a page of 500 pickups takes up 0.13 MB.
CHUNK_BYTES = 2**16


class PacedAdapter(HTTPAdapter):
    """Limits the rate of requests, and records the number of requests, the number of retries and the waiting time.

    Only the adapter can count retries, because dlt hides them from the caller. The adapter also converts the body of
    a 200 to UTF-8, so that the retry condition can inspect the text.
    """

    def __init__(self, pace: RateLimiter, budget: TimeBudget | None = None) -> None:
        super().__init__()
        self._pace, self.budget, self._deadlines = pace, budget or TimeBudget(0), DeadlineWatch()

    sent = 0
    retries = 0
    waited_seconds = 0.0
    tries = 0
    """The number of attempts of the current call."""
    _last_try_ended = 0.0

    def pause(self, seconds: float) -> None:
        """Waits before a redirect is followed."""
        self.waited_seconds += seconds
        time.sleep(seconds)

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Sends the request. Raises OutOfTime if the account's time is used up."""
        if (left := self.budget.remaining_seconds()) <= 0:
            raise OutOfTime(urlsplit(str(args[0].url)).path, self.budget.seconds)
        if left < inf:
            kwargs["timeout"] = min(left, _seconds_to_read(kwargs.get("timeout")))
        self.sent += 1
        self.tries += 1
        if self.tries > 1:
            self.retries += 1
            self.waited_seconds += time.monotonic() - self._last_try_ended
        self.waited_seconds += self._pace.wait()
        try:
            return self._send_within_deadline(*args, **kwargs)
        finally:
            self._last_try_ended = time.monotonic()

    def _send_within_deadline(self, *args: Any, **kwargs: Any) -> requests.Response:
        seconds = _seconds_to_read(kwargs.get("timeout"))
        deadline = time.monotonic() + seconds
        response = super().send(*args, **kwargs)
        if response.status_code == 421:
            self.poolmanager.clear()  # the next attempt must not use this connection
        is_readable = has_readable_encoding(response)
        body = self._read_body(response, deadline, f"not complete {seconds:g} s after the request")
        if response.status_code == 200:
            body = to_utf8(body, response.headers.get("Content-Type", ""))
        # requests stores the body in this attribute; passing the body through `raw` would keep two copies in memory
        response._content = body if is_readable else b""
        if "Retry-After" in response.headers:
            # dlt would compare a date with the local clock, and raise ValueError for an impossible date
            response.headers["Retry-After"] = str(ceil(retry_after_seconds(response.headers)))
        return response

    def _read_body(self, response: requests.Response, deadline: float, too_late: str) -> bytes:
        """Returns the decoded body. Raises ReadTimeout if the body is not complete by the deadline.

        The deadline also applies to a body that arrives slowly but steadily.
        """
        try:
            with self._deadlines.closing(response, deadline):
                body = _read_limited(response)
        except requests.RequestException:
            response.close()  # a connection with a partially read response can't be reused
            if time.monotonic() < deadline:
                raise
        if time.monotonic() >= deadline:
            raise requests.ReadTimeout(too_late)
        return body


def _seconds_to_read(timeout: float | tuple[float | None, float | None] | None) -> float:
    """Returns the time limit in seconds for a whole response: the timeout that requests applies to each single read."""
    read = timeout[1] if isinstance(timeout, tuple) else timeout
    return inf if read is None else read


def _read_limited(response: requests.Response) -> bytes:
    """Returns the decoded body. Raises UnusableResponse as soon as the body exceeds the limit.

    urllib3 decompresses gzip one chunk at a time, so the limit also bounds memory use.
    """
    body = BytesIO()  # getvalue() returns the bytes without copying them, unlike b"".join
    for chunk in response.iter_content(CHUNK_BYTES):
        body.write(chunk)
        if body.tell() > MAX_BODY_BYTES:
            raise UnusableResponse(f"the body is larger than {MAX_BODY_BYTES / 2**20:g} MiB")
    return body.getvalue()
