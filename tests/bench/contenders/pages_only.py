"""Every page asked for and thrown away: what the server and the wire cost, and nothing else. First loads only.

python pages_only.py FOLDER
"""

from __future__ import annotations

import http.client
import os
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

NEXT = re.compile(rb'"next":"([^"]+)"')


def bodies() -> Iterator[bytes]:
    base = urlsplit(os.environ["SOURCES__SENDCLOUD__BASE_URL"])
    connection = http.client.HTTPConnection(base.netloc)
    path: str | None = f"{base.path}/pickups?limit=500"
    while path:
        connection.request("GET", path, headers={"Authorization": "Basic cHVibGljOnNlY3JldA=="})
        body = connection.getresponse().read()
        yield body
        found = NEXT.search(body, 0, 400)
        path = found[1].decode().split(base.netloc, 1)[1] if found else None


if __name__ == "__main__":
    for _ in bodies():
        pass
