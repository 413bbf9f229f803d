"""Tests that a server that sends a byte now and then can't hold a quick run, which holds the lock."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException

import pytest

from pipelines.quick.connection import Connection

BEGINNINGS = [
    b"",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n",
]


@pytest.fixture
def dripping(request: pytest.FixtureRequest) -> Iterator[str]:
    """Serves the beginning of an answer, and then a byte every 0.1 s."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            with suppress(OSError), server.accept()[0] as connection:
                connection.sendall(request.param)
                while True:
                    connection.sendall(b"H")
                    time.sleep(0.1)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize("dripping", BEGINNINGS, indirect=True)
def test_a_slow_answer_ends_at_the_deadline(dripping: str) -> None:
    began, body = time.monotonic(), b""

    with Connection(dripping, 1.0) as connection, suppress(OSError, HTTPException):
        body = connection.request("GET", f"{dripping}/", {}).read(1000)

    assert len(body) < 1000
    assert time.monotonic() - began < 8
