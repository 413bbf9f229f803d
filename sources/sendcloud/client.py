"""One page at a time: credentials, origin, retries. Knows how to ask, not what to ask for."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlsplit

import msgspec
import requests
from dlt.common.configuration import configspec
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.configuration.specs import CredentialsConfiguration, RuntimeConfiguration
from dlt.common.typing import TSecretStrValue
from dlt.sources.helpers.requests import Client as RetryingClient
from requests.adapters import HTTPAdapter

from .errors import BadReply, ExpiredLink, Misconfigured, Refused, StrayLink, Unavailable
from .origin import absolute, as_sent, origin_of
from .pace import Pace

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
REQUESTS_PER_MINUTE = 400  # the older of the documented limits is 420, the newer 1000
MAX_REDIRECTS = 3  # Sendcloud's own links end in a slash that its documented path lacks: one is normal


@configspec
class SendcloudCredentials(CredentialsConfiguration):
    """The API keys of one Sendcloud integration; HTTP Basic, public key as user name.

    A spec of their own, so that a stray SECRET_KEY in the environment can't stand in for them.
    """

    __section__: ClassVar[str] = "credentials"
    public_key: str = None  # type: ignore[assignment]  # dlt's way of saying: required, no default
    secret_key: TSecretStrValue = None  # type: ignore[assignment]


class Reply(NamedTuple):
    """A page's body, undecoded, and the API's own clock when it answered (its Date header; UTC)."""

    body: bytes
    served_at: datetime


class _Metered(HTTPAdapter):
    """Paces and counts what really goes over the wire, and the waits: dlt retries below the call that asks."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    sent = 0
    retries = 0
    waited_seconds = 0.0
    _last_try_ended: float | None = None

    def new_call(self) -> None:
        self._last_try_ended = None

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        self.sent += 1
        if self._last_try_ended is not None:
            self.retries += 1
            self.waited_seconds += time.monotonic() - self._last_try_ended
        self.waited_seconds += self._pace.wait()
        try:
            return super().send(*args, **kwargs)
        finally:
            self._last_try_ended = time.monotonic()


class Client:
    """Asks one origin, with the keys, and gives up after `max_attempts` tries of one page.

    Raises Misconfigured when `base_url` can't be asked safely: https, or a loopback host, and no keys in it.
    """

    def __init__(
        self, base_url: str, credentials: SendcloudCredentials, max_attempts: int, pace: Pace | None = None
    ) -> None:
        self.base_url = _checked(base_url)
        self._secrets = _usable(credentials)
        self._max_attempts = max_attempts
        runtime = resolve_configuration(RuntimeConfiguration())
        retrying = RetryingClient(
            request_timeout=runtime.request_timeout,
            request_max_attempts=max_attempts,
            request_backoff_factor=runtime.request_backoff_factor,
            request_max_retry_delay=runtime.request_max_retry_delay,
            raise_for_status=False,
            retry_condition=_no_page_in_it,
        )
        self._session = retrying.session
        self._session.auth = self._secrets
        if urlsplit(self.base_url).hostname in LOOPBACK:
            self._session.trust_env = False  # a proxy has no business between this machine and itself
        self.wire = _Metered(pace or Pace(REQUESTS_PER_MINUTE))
        self._session.mount("http://", self.wire)
        self._session.mount("https://", self.wire)

    def get(self, url: str) -> Reply:
        """The page at `url`, which may be any link of the configured origin.

        Raises Refused, Unavailable, BadReply or StrayLink, see errors.py; on StrayLink nothing was sent.
        """
        url = self._of_our_origin(url, "next link")
        path = self.path_of(url)
        for _ in range(MAX_REDIRECTS + 1):
            response = self._ask(url, path)
            if not response.is_redirect:
                return self._read(response, path)
            url = self._of_our_origin(absolute(url, response.headers["Location"]), "redirect")
        raise BadReply(path, f"it redirects more than {MAX_REDIRECTS} times")

    def path_of(self, url: str) -> str:
        """The path of an address of ours, fit for a message: a server may have echoed a key into its links."""
        return self._masked(urlsplit(url).path)

    def _of_our_origin(self, url: str, kind: str) -> str:
        """The address as requests will send it; the check is made on that, for parsers differ in what a host is.

        Raises StrayLink unless it has the scheme, host and port of base_url: the credentials go nowhere else.
        """
        sent = as_sent(url)
        there, here = origin_of(sent), origin_of(self.base_url)
        if there != here:
            there = self._masked(there) or "no readable address"
            raise StrayLink(urlsplit(self.base_url).path, kind, there, here)
        return sent

    def _ask(self, url: str, path: str) -> requests.Response:
        self.wire.new_call()
        try:
            # no redirect is followed unseen: requests would carry the keys along within the host name
            return self._session.get(url, headers={"Accept": "application/json"}, allow_redirects=False)
        except requests.RequestException as error:
            raise Unavailable(path, self._masked(_innermost(error)), self._max_attempts) from None

    def _read(self, response: requests.Response, path: str) -> Reply:
        status, message = response.status_code, self._masked(_message(response))
        if status in (401, 403):
            raise Refused(status, path, message)
        if status == 429 or status >= 500:
            raise Unavailable(path, f"{status} {message}".strip(), self._max_attempts)
        if status == 404 and "cursor=" in urlsplit(response.url).query:
            raise ExpiredLink(path, message)
        if status == 404:
            raise Misconfigured("base_url", f"has no pickups: GET {path} was answered 404", "It should end in /api/v2.")
        if status != 200:
            raise BadReply(path, f"{status} {message}".strip())
        if _no_page_in_it(response, None):
            kind = self._masked(response.headers.get("Content-Type", "no content type"))
            raise Unavailable(path, f"200, but no JSON page ({kind}): {message}", self._max_attempts)
        return Reply(response.content, _served_at(response.headers))

    def _masked(self, text: str) -> str:
        """The text in one line of at most 200 characters, without either key, should a server echo them."""
        pair = b64encode(":".join(self._secrets).encode()).decode()
        for secret in (pair, *self._secrets):
            text = text.replace(secret, "***")
        line = " ".join(text.split())
        return line if len(line) <= 200 else line[:199] + "…"


def _checked(base_url: str) -> str:
    parts = urlsplit(as_sent(base_url))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        shown = base_url if "@" not in base_url else "…@…"
        raise Misconfigured("base_url", f"is {shown!r}, not a web address", "The default is Sendcloud's API v2.")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise Misconfigured(
            "base_url",
            f"is http on the foreign host {parts.hostname}: the keys would travel unencrypted",
            "Use https; http is for loopback hosts only.",
        )
    return base_url.strip().rstrip("/")


def _usable(credentials: SendcloudCredentials) -> tuple[str, str]:
    """Both keys. Raises Misconfigured for an empty one, and for characters that no header can carry."""
    keys = (credentials.public_key, str(credentials.secret_key))
    for name, key in zip(("public_key", "secret_key"), keys, strict=True):
        if not key or not key.isascii() or not key.isprintable():
            problem = "has characters that no key has" if key else "is empty"
            raise Misconfigured(f"credentials.{name}", problem, "Copy it once more from Sendcloud's panel.")
    return keys


def _no_page_in_it(response: requests.Response | None, exception: BaseException | None) -> bool:
    """Whether a 200 holds no JSON object: a proxy's page, or a body that ended early. Worth another try."""
    if isinstance(exception, requests.exceptions.ChunkedEncodingError):
        return True
    if response is None or response.status_code != 200:
        return False
    body = response.content.strip()
    return not (body.startswith(b"{") and body.endswith(b"}"))


def _message(response: requests.Response) -> str:
    """What the API says of an error: v2's error.message, else the start of the body."""
    try:
        return str(msgspec.json.decode(response.content)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return response.text[:4000]


def _innermost(error: BaseException) -> str:
    """The plainest sentence at the bottom of a requests error: 'Connection refused', not a tower of reprs."""
    while inner := error.__cause__ or error.__context__ or getattr(error, "reason", None):
        if not isinstance(inner, BaseException):
            break
        error = inner
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _served_at(headers: Mapping[str, str]) -> datetime:
    """The API's clock: the one that wrote created_at, and no business of this machine's. Ours if it sends none."""
    try:
        return parsedate_to_datetime(headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.now(UTC)
