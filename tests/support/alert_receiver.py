"""Runs a server on loopback that receives a run's alerts and pings, and responds as a test requires."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

from tests.support.leaks import SECRET

PATH = f"/services/{quote(SECRET, safe='')}"


@dataclass
class Listening:
    """The server's state: its response and the requests that it has received.

    `status` is the response's status, or None to cut the connection. With `drips`, the response never ends.
    """

    address: str = ""
    status: int | None = 200
    drips: bool = False
    location: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    @property
    def messages(self) -> list[str]:
        return [body["text"] for body in self.bodies]

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append((request.command, request.path))
        if size := int(request.headers.get("Content-Length", 0)):
            self.bodies.append(json.loads(request.rfile.read(size)))
        if self.status is None:
            return
        if self.drips:
            _drip(request)
            return
        request.send_response(self.status)
        if self.location:
            request.send_header("Location", self.location)
        request.send_header("Content-Length", "0")
        request.end_headers()


def _drip(request: BaseHTTPRequestHandler) -> None:
    """Sends an endless header one byte at a time, so that no single read is slow."""
    with suppress(OSError):
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300:
            request.wfile.write(bytes([byte]))
            time.sleep(0.1)


@contextmanager
def listening() -> Iterator[Listening]:
    house = Listening()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            house.answer(self)

        do_POST = do_GET  # noqa: N815  # http.server calls these names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    house.address = f"http://127.0.0.1:{server.server_port}{PATH}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield house
    finally:
        server.shutdown()
        server.server_close()
