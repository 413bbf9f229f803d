"""One page at a time: credentials, origin, retries. Knows how to ask, not what to ask for."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlsplit

import msgspec
import requests
from dlt.common.configuration import configspec
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.configuration.specs import CredentialsConfiguration, RuntimeConfiguration
from dlt.common.typing import TSecretStrValue
from dlt.sources.helpers.requests import Client as RetryingClient
from dlt.sources.helpers.requests.retry import DEFAULT_RETRY_EXCEPTIONS
from requests.exceptions import ContentDecodingError

from .answer import Unusable, asked_to_wait, holds_page, message_of, served_at
from .errors import BadReply, ExpiredLink, Misconfigured, Refused, SendcloudError, StrayLink, Unavailable
from .keys import Keys
from .origin import absolute, as_sent, origin_of
from .pace import Pace
from .wire import Wire

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
REQUESTS_PER_MINUTE = 400  # the older of the documented limits is 420, the newer 1000
MAX_REDIRECTS = 3  # Sendcloud's own links end in a slash that its documented path lacks: one is normal


@configspec
class SendcloudCredentials(CredentialsConfiguration):
    """The API keys of one Sendcloud integration; HTTP Basic, public key as user name.

    A spec of their own, so that a stray SECRET_KEY in the environment can't stand in for them.
    """

    __section__: ClassVar[str] = "credentials"
    public_key: TSecretStrValue = None  # type: ignore[assignment]  # dlt's way of saying: required, no default
    secret_key: TSecretStrValue = None  # type: ignore[assignment]

    def parse_native_representation(self, native_value: Any) -> None:
        """Both keys from one text, as secret stores hand them out: a JSON object. ValueError for anything else."""
        try:
            keys = msgspec.json.decode(native_value, type=dict[str, str])
            self.public_key, self.secret_key = keys["public_key"], keys["secret_key"]
        except (msgspec.DecodeError, KeyError, TypeError):
            raise ValueError('It should be {"public_key": "…", "secret_key": "…"}, or a table of these two.') from None


class Reply(NamedTuple):
    """A page's body, undecoded, and the API's own clock when it answered (its Date header; UTC)."""

    body: bytes
    served_at: datetime


class Client:
    """Asks one origin, with the keys, and gives up after `max_attempts` tries of one page.

    Raises Misconfigured when `base_url` can't be asked safely: https, or a loopback host, and no keys in it.
    """

    def __init__(
        self, base_url: str, credentials: SendcloudCredentials, max_attempts: int, pace: Pace | None = None
    ) -> None:
        self.base_url = _checked(base_url)
        self._origin = origin_of(self.base_url)
        self._keys = Keys(str(credentials.public_key or ""), str(credentials.secret_key))
        runtime = resolve_configuration(RuntimeConfiguration())
        self._longest_wait = runtime.request_max_retry_delay
        retrying = RetryingClient(
            request_timeout=runtime.request_timeout,
            request_max_attempts=max_attempts,
            request_backoff_factor=runtime.request_backoff_factor,
            request_max_retry_delay=runtime.request_max_retry_delay,
            raise_for_status=False,
            status_codes=(),
            exceptions=(*DEFAULT_RETRY_EXCEPTIONS, ContentDecodingError),
            retry_condition=self._is_worth_another_try,
        )
        self._session = retrying.session
        self._session.auth = self._keys.pair
        if urlsplit(self.base_url).hostname in LOOPBACK:
            self._session.trust_env = False  # a proxy has no business between this machine and itself
        self.wire = Wire(pace or Pace(REQUESTS_PER_MINUTE))
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
        return self._keys.masked(urlsplit(url).path)

    def _of_our_origin(self, url: str, kind: str) -> str:
        """The address as requests will send it; the check is made on that, for parsers differ in what a host is.

        Raises StrayLink unless it has the scheme, host and port of base_url: the credentials go nowhere else.
        """
        sent = as_sent(url)
        there = origin_of(sent)
        if there != self._origin:
            there = self._keys.masked(there) or "no readable address"
            raise StrayLink(urlsplit(self.base_url).path, kind, there, self._origin)
        return sent

    def _is_worth_another_try(self, response: requests.Response | None, _: BaseException | None) -> bool:
        """Whether the API is busy or broken, or holds no page, and doesn't ask for a wait longer than any of ours."""
        if response is None or asked_to_wait(response.headers) > self._longest_wait:
            return False
        return _is_busy(response) or (response.status_code == 200 and not holds_page(response))

    def _ask(self, url: str, path: str) -> requests.Response:
        self.wire.new_call()
        try:
            # no redirect is followed unseen: requests would carry the keys along within the host name
            return self._session.get(url, headers={"Accept": "application/json"}, allow_redirects=False)
        except Unusable as error:
            raise BadReply(path, self._keys.masked(str(error))) from None
        except requests.RequestException as error:
            raise Unavailable(path, self._keys.masked(_innermost(error)), self.wire.tries) from None

    def _read(self, response: requests.Response, path: str) -> Reply:
        if response.status_code != 200:
            raise self._error_of(response, path)
        if not holds_page(response):
            kind = response.headers.get("Content-Type", "no content type")
            evidence = f"200, but no JSON page ({self._keys.masked(kind)}): {self._keys.masked(message_of(response))}"
            raise Unavailable(path, evidence, self.wire.tries)
        if self._keys.stand_in(response.content):
            raise BadReply(path, "200, but it repeats the secret key, which has no place in the tables")
        return Reply(response.content, served_at(response.headers))

    def _error_of(self, response: requests.Response, path: str) -> SendcloudError:
        status, message = response.status_code, self._keys.masked(message_of(response))
        if status in (401, 403):
            return Refused(status, path, message)
        if _is_busy(response):
            wait = asked_to_wait(response.headers)
            asks = f", and it asks to wait {wait:,.0f} s" if wait > self._longest_wait else ""
            return Unavailable(path, f"{status} {message}".strip() + asks, self.wire.tries)
        if status == 404 and "cursor=" in urlsplit(response.url).query:
            return ExpiredLink(path, message)
        if status == 404:
            return Misconfigured(
                "base_url", f"has no pickups: GET {path} was answered 404", "It should end in /api/v2."
            )
        return BadReply(path, f"{status} {message}".strip())


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


def _is_busy(response: requests.Response) -> bool:
    return response.status_code == 429 or response.status_code >= 500


def _innermost(error: BaseException) -> str:
    """The plainest sentence at the bottom of a requests error: 'Connection refused', not a tower of reprs."""
    while inner := error.__cause__ or error.__context__ or getattr(error, "reason", None):
        if not isinstance(inner, BaseException):
            break
        error = inner
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
