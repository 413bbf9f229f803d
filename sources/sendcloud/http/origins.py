"""Determines the origin of an address, and checks whether keys may be sent to that address.

The checks use the address exactly as `requests` sends it, because parsers disagree about which part is the host.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import requests

from ..errors import SettingsError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def resolve_link(base: str, link: str) -> str:
    """Returns the link as an absolute address. Invalid links are returned unchanged and refused later."""
    try:
        return urljoin(base, link)
    except ValueError:
        return link


def normalize_url(url: str) -> str:
    """Returns the address as `requests` sends it, or an empty string if the address is invalid or contains keys."""
    try:
        request = requests.PreparedRequest()
        request.prepare_url(url, None)
        sent = request.url or ""
        return "" if urlsplit(sent).username is not None else sent
    except (requests.RequestException, ValueError):
        return ""


def origin_of(url: str) -> str:
    """Returns the scheme, host and port, or an empty string if the address is invalid, for example with port 99999."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname}:{port}" if parts.hostname else ""


def secure_link(url: str, origin: str) -> str:
    """Returns the http address changed to https if the result leads to this https origin, else an empty string.

    The port stays the same, except that an explicit port 80 may be replaced by the default port of https.
    """
    parts = urlsplit(url)
    if parts.scheme != "http":
        return ""
    hosts = (parts.netloc, parts.netloc.removesuffix(":80"))
    candidates = (parts._replace(scheme="https", netloc=host).geturl() for host in hosts)
    return next((secure for secure in candidates if origin_of(secure) == origin), "")


def validate_base_url(setting: str, address: str) -> str:
    """Returns the address in a setting, without a trailing slash.

    Raises:
        SettingsError: the address is not a web address, contains keys, or uses http although its host is not a
            loopback host.
    """
    parts = urlsplit(normalize_url(address))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        shown, remedy = address if "@" not in address else "…@…", "Remove the setting to use Sendcloud's address."
        raise SettingsError.of(setting, f"is {shown!r}, not a web address", remedy)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        problem = f"uses http on the remote host {parts.hostname}, so the keys would be sent unencrypted"
        raise SettingsError.of(setting, problem, "Use https; http is allowed for loopback hosts only.")
    return address.strip().rstrip("/")
