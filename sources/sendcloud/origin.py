"""Where an address leads, and whether keys may go there.

Judged on the form in which requests sends it: parsers differ in what a host is.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import requests

from .errors import Misconfigured

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def absolute(base: str, link: str) -> str:
    """The link as an absolute address; as it came where it is none, for the origin check to refuse."""
    try:
        return urljoin(base, link)
    except ValueError:
        return link


def as_sent(url: str) -> str:
    """The address as requests puts it on the wire; empty for what it can't send, and for one that carries keys."""
    try:
        request = requests.PreparedRequest()
        request.prepare_url(url, None)
        sent = request.url or ""
        return "" if urlsplit(sent).username is not None else sent
    except (requests.RequestException, ValueError):
        return ""


def origin_of(url: str) -> str:
    """Scheme, host and port of an address; empty for none (a port of 99999, say)."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname}:{port}" if parts.hostname else ""


def fit_for_keys(setting: str, address: str) -> str:
    """The address of a setting without a slash at its end.

    Raises Misconfigured for one that can't be asked safely: https, or a loopback host, and no keys in it.
    """
    parts = urlsplit(as_sent(address))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        shown = address if "@" not in address else "…@…"
        raise Misconfigured(setting, f"is {shown!r}, not a web address", "Leave it out; the default is Sendcloud's.")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise Misconfigured(
            setting,
            f"is http on the foreign host {parts.hostname}: the keys would travel unencrypted",
            "Use https; http is for loopback hosts only.",
        )
    return address.strip().rstrip("/")
