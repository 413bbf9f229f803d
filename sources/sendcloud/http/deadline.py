"""Closes the connections of responses that take too long, with one thread for all responses of a client."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import requests


class DeadlineWatch:
    """Closes a connection when its response is not complete by a deadline.

    Reads block inside the chunking and gzip layers, so another thread must close the connection. A timer per response
    took 28 ms of CPU for the 200 pages of a first load of 100,000 pickups, and one thread takes 1 ms (2026-11-29). The
    thread ends once no response is open at the last deadline.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open: dict[int, tuple[float, requests.Response]] = {}
        self._wakes_at: float | None = None  # None if there is no thread

    @contextmanager
    def closing(self, response: requests.Response, deadline: float) -> Iterator[None]:
        """Closes the response's connection if the block takes until the deadline, a value of `time.monotonic`."""
        with self._changed:
            self._open[id(response)] = deadline, response
            if self._wakes_at is None:
                self._wakes_at = deadline
                threading.Thread(target=self._watch, name="deadlines", daemon=True).start()
            elif deadline < self._wakes_at:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._open.pop(id(response), None)

    def _watch(self) -> None:
        with self._changed:
            while self._open or time.monotonic() < (self._wakes_at or 0):
                self._wakes_at = min((at for at, _ in self._open.values()), default=self._wakes_at)
                self._changed.wait(min(max((self._wakes_at or 0) - time.monotonic(), 0), threading.TIMEOUT_MAX))
                for key, (deadline, response) in [*self._open.items()]:
                    if deadline <= time.monotonic():
                        del self._open[key]
                        close_connection(response)
            self._wakes_at = None


def close_connection(response: requests.Response) -> None:
    """Shuts the response's connection down, so that a read in another thread ends."""
    with suppress(OSError, RuntimeError, ValueError):  # the response may just have ended or failed
        response.raw.shutdown()
