"""The floor of a run that finds nothing: the pages asked for, and their digests compared with those of the last run.

python ask_and_compare.py FOLDER. It reads as many pages as the other contenders. Nothing is written if all are equal.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

NEXT = re.compile(rb'"next":"([^"]+)"')
PAGES = 4  # down to the oldest open pickup of 100,000 (listing.py), as the others read


def digests() -> list[str]:
    base = urlsplit(os.environ["SOURCES__SENDCLOUD__BASE_URL"])
    connection = http.client.HTTPConnection(base.netloc)
    path, found = f"{base.path}/pickups?limit=500", []
    for _ in range(PAGES):
        connection.request("GET", path, headers={"Authorization": "Basic cHVibGljOnNlY3JldA=="})
        body = connection.getresponse().read()
        found.append(hashlib.sha256(body).hexdigest())
        following = NEXT.search(body, 0, 400)
        if not following:
            break
        path = following[1].decode().split(base.netloc, 1)[1]
    return found


if __name__ == "__main__":
    kept, now = Path(sys.argv[1]) / "digests.json", digests()
    if not kept.exists() or json.loads(kept.read_text()) != now:
        kept.write_text(json.dumps(now))
