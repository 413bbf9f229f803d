"""Sends responses, including broken ones, over a real socket."""

from __future__ import annotations

import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import close
from typing import Any, cast

from .answer import Answer


class Server(ThreadingHTTPServer):
    """Runs one thread per connection. The threads end with the server, so a closed server sends no response."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.answer: Callable[[str, str, str | None, bytes | None], Answer]
        """Returns the response to a method, a path with its query, an Authorization header and a body.

        The server does not read a chunked body.
        """
        self.clock: Callable[[], datetime]
        self.closing = threading.Event()
        self._connections: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores clients that close the connection. Any other error is printed to stderr."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        self.closing.set()
        super().server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """Sends the responses over the wire."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    _date: datetime | None = None
    wbufsize = -1  # the headers and the body are sent in one segment

    def respond(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        has_body = length > 0 or "Transfer-Encoding" in self.headers
        body = self.rfile.read(length)
        self.close_connection |= "Transfer-Encoding" in self.headers
        server = cast(Server, self.server)
        answer = server.answer(self.command, self.path, self.headers.get("Authorization"), body if has_body else None)
        if answer.wait and server.closing.wait(answer.wait):
            return
        if answer.reset:
            self._reset()
        else:
            self._send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = respond  # noqa: N815 - set by http.server

    def _send(self, answer: Answer) -> None:
        self._date = answer.date
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        if answer.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(answer.body) + answer.padding))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(answer)
        self.close_connection |= answer.sent is not None

    def _send_body(self, answer: Answer) -> None:
        for piece in filter(None, answer.pieces()):
            if answer.pause:
                self.wfile.flush()
                if cast(Server, self.server).closing.wait(answer.pause):
                    return
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if answer.chunked else piece)
        if answer.chunked and answer.sent is None:
            self.wfile.write(b"0\r\n\r\n")

    def _reset(self) -> None:
        """Resets the connection (RST) by closing it without lingering. A plain close would send FIN."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        close(self.connection.detach())

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Returns the response's own time or the world's time, rather than the machine's time."""
        del timestamp
        return format_datetime(self._date or cast(Server, self.server).clock(), usegmt=True)

    def version_string(self) -> str:
        return "sendcloud-sandbox"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Logs nothing, because `Sandbox.requests` records every request."""
