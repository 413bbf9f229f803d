"""Determines the origin of an address, and whether keys may be sent to it.

The checks use the address in the form that `requests` sends, because parsers disagree about which part is the host.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import requests

from ..errors import SettingsError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def resolve_link(base: str, link: str) -> str:
    """Returns the link as an absolute address. An invalid link is returned unchanged for the origin check to refuse."""
    try:
        return urljoin(base, link)
    except ValueError:
        return link


def normalize_url(url: str) -> str:
    """Returns the address as `requests` sends it, or an empty string if it is invalid or contains keys."""
    try:
        request = requests.PreparedRequest()
        request.prepare_url(url, None)
        sent = request.url or ""
        return "" if urlsplit(sent).username is not None else sent
    except (requests.RequestException, ValueError):
        return ""


def origin_of(url: str) -> str:
    """Returns an address's scheme, host and port, or an empty string if it is invalid, for example with port 99999."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname}:{port}" if parts.hostname else ""


def validate_base_url(setting: str, address: str) -> str:
    """Returns a setting's address without its trailing slash.

    Raises:
        SettingsError: the address is not safe. It must use https unless its host is loopback, and must not contain
            keys.
    """
    parts = urlsplit(normalize_url(address))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        shown = address if "@" not in address else "…@…"
        raise SettingsError.of(setting, f"is {shown!r}, not a web address", "Remove it to use Sendcloud's address.")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise SettingsError.of(
            setting,
            f"uses http on the remote host {parts.hostname}, so the keys would be sent unencrypted",
            "Use https; http is allowed for loopback hosts only.",
        )
    return address.strip().rstrip("/")
