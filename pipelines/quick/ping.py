"""Sends the ping after a quick run, without `requests`."""

from __future__ import annotations

from http.client import HTTPException
from urllib.parse import urlsplit

from pipelines.quick.connection import ORIGIN, Connection
from pipelines.quick.marks import ENVIRONMENT

SECONDS = 5.0


def is_accepted(url: str) -> bool:
    """Returns whether the address responds with 2xx. If not, the caller sends the ping the ordinary way."""
    found = ORIGIN.match(url)
    if not found or any(name.upper().endswith("_PROXY") for name in ENVIRONMENT):
        return False
    parts = urlsplit(url)
    address = f"{found[0]}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")
    try:
        with Connection(url, SECONDS) as connection:
            return 200 <= connection.request("GET", address, {}).status < 300
    except (OSError, HTTPException, ValueError):
        return False
