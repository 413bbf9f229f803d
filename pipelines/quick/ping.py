"""Sends the ping after a quick run, without `requests`."""

from __future__ import annotations

from http.client import HTTPException
from urllib.parse import urlsplit

from pipelines.quick.marks import ENVIRONMENT
from pipelines.quick.pages import ORIGIN, Connection

SECONDS = 5.0


def is_accepted(url: str) -> bool:
    """Returns whether the address responds with 2xx. If not, the caller sends the ping the ordinary way."""
    found = ORIGIN.match(url)
    if not found or any(name.upper().endswith("_PROXY") for name in ENVIRONMENT):
        return False
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    try:
        with Connection(url, SECONDS) as connection:
            return 200 <= connection.get(target, {}).status < 300
    except (OSError, HTTPException, ValueError):
        return False
