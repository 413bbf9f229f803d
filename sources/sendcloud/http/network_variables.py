"""Checks the environment variables that tell `requests` where to find certificates and proxies.

Without these checks, `requests` would raise an OSError for a missing bundle, as if there were a problem with the
destination. With a malformed proxy address, each request would be tried seven times.
"""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from ..errors import SettingsError

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # `requests` uses this order and ignores SSL_CERT_FILE.
HASHED_NAME = re.compile(r"[0-9a-f]{8}\.\d+")  # Matches certificate names in a folder that `openssl rehash` prepared.
PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


def check_certificates() -> None:
    """Raises SettingsError if a variable points to unusable certificates. The message names the variable."""
    name = next((name for name in BUNDLES if os.environ.get(name)), None)
    if name and (problem := _bundle_problem(Path(os.environ[name]))):
        remedy = "Correct the variable, or unset it to use the certificates that come with requests."
        raise _error(f"{name} in the environment is {os.environ[name]!r}, {problem}. {remedy}")


def check_proxies(address: str) -> None:
    """Raises SettingsError if the proxy for an address can't be used. The message names the variable."""
    proxy = select_proxy(address, get_environ_proxies(address))
    if proxy and (problem := _proxy_problem(proxy)):
        scheme = urlsplit(address).scheme
        spellings = [name for each in (scheme, "all") for name in (f"{each}_proxy", f"{each}_proxy".upper())]
        name = next((name for name in spellings if os.environ.get(name) == proxy), f"{scheme.upper()}_PROXY")
        # the value is not shown, because it may contain a password
        raise _error(f"{name} in the environment {problem}. Write it as http://HOST:PORT, or unset it.")


def _error(message: str) -> SettingsError:
    error = SettingsError(message)
    error.setting = "environment"  # `pickups check` would otherwise report a problem with the keys
    return error


def _bundle_problem(bundle: Path) -> str | None:
    try:
        if bundle.is_dir():
            has_certificates = any(HASHED_NAME.fullmatch(path.name) for path in bundle.iterdir())
            return None if has_certificates else "a folder without certificates that openssl rehash has prepared"
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=bundle)
    except ssl.SSLError:
        return "which contains no certificate in PEM format"
    except OSError as error:
        return f"which can't be read: {error.strerror or error}"
    return None


def _proxy_problem(proxy: str) -> str | None:
    try:
        parts = parse_url(proxy if "://" in proxy else f"http://{proxy}")  # requests adds the scheme in the same way
    except LocationParseError:
        return "is not a URL"
    if parts.scheme not in PROXY_SCHEMES:
        return f"has the scheme {parts.scheme!r}, which is not a proxy scheme"
    return None if parts.host else "names no host"
