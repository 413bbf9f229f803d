"""Answers from pages that were rendered beforehand: what is measured is who asks, not who answers.

python server.py PICKUPS DELAY_SECONDS; prints its address, serves /first/api/v2 and /later/api/v2 until stdin ends.
"""

from __future__ import annotations

import sys
import threading
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from listing import FIRST, LATER, PAGE, Account, pages

CLOCKS = {"first": FIRST, "later": LATER}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rendered: dict[str, list[bytes]]
    delay_seconds = 0.0

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        instant = asked.path.split("/")[1]
        start = int(parse_qs(asked.query).get("cursor", ["0"])[0])
        time.sleep(self.delay_seconds)
        body = self.rendered[instant][start // PAGE]
        clock = CLOCKS[instant] + (datetime.now(UTC) - LATER)
        head = (
            f"HTTP/1.1 200 OK\r\nDate: {format_datetime(clock, usegmt=True)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.wfile.write(head.encode() + body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def main(pickups: int, delay_seconds: float) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    account = Account(pickups)
    Handler.delay_seconds = delay_seconds
    Handler.rendered = {instant: list(pages(account, instant, f"{address}/{instant}/api/v2")) for instant in CLOCKS}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
