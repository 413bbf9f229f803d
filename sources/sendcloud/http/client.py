"""Requests single pages from one origin, with credentials and retries. The modules in `api/` define the requests."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from urllib.parse import parse_qs, quote_plus, urlsplit

import requests

from ..api.dates import served_at
from ..api.v2 import V2
from ..api.version import Version
from ..errors import (
    AuthError,
    BadResponse,
    ExpiredLink,
    ForeignLink,
    SendcloudError,
    SettingsError,
    TokenAuthError,
    Unavailable,
)
from .credentials import OAUTH2, SendcloudCredentials
from .oauth import TOKEN_URL, BearerAuth, Token, Tokens, TokenSource
from .origins import normalize_url, origin_of, resolve_link, secure_link, validate_base_url
from .rate_limit import RateLimiter, TimeBudget
from .redaction import SecretMask
from .responses import excerpt, retry_after_seconds
from .retrying import RetryingSession
from .transport import PacedAdapter

REQUESTS_PER_MINUTE = 400  # Sendcloud's old documentation allows 420 requests a minute, and the new one allows 1000.
MAX_REDIRECTS = 3  # One redirect is normal: unlike Sendcloud's links, the documented path has no trailing slash.


class PageResponse(NamedTuple):
    """A response that contains a page: the undecoded body, the UTC time from the Date header, and the Link header."""

    body: bytes
    served_at: datetime
    link: str = ""


class Client:
    """Sends requests to one origin with the keys or an access token, and tries each page up to `max_attempts` times.

    `tokens` contains the access tokens that all clients of the run share.

    Raises:
        SettingsError: the credentials are invalid, or one of the addresses (`base_url`, `token_url`) is not safe. A
            safe address does not contain keys, and uses https unless its host is a loopback host.
    """

    def __init__(
        self,
        base_url: str,
        credentials: SendcloudCredentials,
        max_attempts: int,
        pace: RateLimiter | None = None,
        token_url: str = TOKEN_URL,
        tokens: Tokens | None = None,
        version: Version = V2,
        budget: TimeBudget | None = None,
    ) -> None:
        self.base_url, token_url = validate_base_url("base_url", base_url), validate_base_url("token_url", token_url)
        self.version, self.links_by_https = version, 0
        self._origin = origin_of(self.base_url)
        pair = credentials.pair()
        # like Ory's server, the token endpoint decodes the id and secret as form fields (RFC 6749, 2.3.1)
        spelled = quote_plus if tuple(pair) == OAUTH2 else str
        self._keys = SecretMask(pair, spelled)
        self.wire = PacedAdapter(pace or RateLimiter(REQUESTS_PER_MINUTE), budget)
        self._session = RetryingSession(
            "base_url", self.base_url, self._keys, self.wire, max_attempts, self._message_of
        )
        self._token_source: TokenSource | None = None
        if tuple(pair) == OAUTH2:
            whose = (self._origin, token_url, version.scope, *pair.values())
            token = ({} if tokens is None else tokens).setdefault(whose, Token())
            its_keys = SecretMask(pair, spelled)
            self._token_source = TokenSource(token_url, version, its_keys, self._keys, token, self.wire, max_attempts)

    def get(self, url: str) -> PageResponse:
        """Returns the page at `url`, which may be any link to the configured origin.

        Raises:
            AuthError: the API or the token endpoint refused the credentials.
            SettingsError: the API has no pickups at `base_url`, or there is no token endpoint at `token_url`.
            Unavailable: no attempt returned a usable response.
            BadResponse: the response contradicts the API's documentation. An expired link raises
                ExpiredLink.
            ForeignLink: `url` or a redirect leads to another origin. No request was sent to that origin.
        """
        url = self._check_origin(self._by_https(url), "next link")
        path = self.path_of(url)
        for _ in range(MAX_REDIRECTS + 1):
            response = self._ask(url, path)
            if response.status_code == 200:
                return PageResponse(response.content, served_at(response.headers), response.headers.get("Link", ""))
            if not response.is_redirect:
                raise self._error_of(response, path)
            if asks := self._session.asks_to_wait(response):
                raise Unavailable(path, f"{response.status_code}{asks}", self.wire.tries)
            self.wire.pause(retry_after_seconds(response.headers))
            url = self._check_origin(resolve_link(url, response.headers["Location"]), "redirect")
        raise BadResponse(path, f"the API redirects more than {MAX_REDIRECTS} times")

    def first_page(self, page_size: int) -> str:
        """Returns the address of the page with the newest pickups."""
        return self.version.first_page(self.base_url, page_size)

    def path_of(self, url: str) -> str:
        """Returns a URL's path for use in messages. Keys are masked, because the API may repeat a key in its links."""
        return self._keys.mask(urlsplit(url).path)

    def _by_https(self, url: str) -> str:
        """Returns the address, with http replaced by https if the result leads to the configured origin.

        A server behind a proxy often does not know that clients use https, and returns links that begin with http.
        """
        if self._origin.startswith("http:") or not url.lstrip().lower().startswith("http:"):
            return url  # normalizing every link took 2 % of a first load of a million pickups (2026-11-29)
        secure = secure_link(normalize_url(url), self._origin)
        self.links_by_https += bool(secure)
        return secure or url

    def _check_origin(self, url: str, kind: str) -> str:
        """Returns the address exactly as `requests` will send it.

        The origin check uses this form, because parsers disagree about which part of an address is the host. Raises
        ForeignLink if the scheme, host or port differs from `base_url`, because the credentials must not be sent
        elsewhere.
        """
        sent = normalize_url(url)
        there = origin_of(sent)
        if there != self._origin:
            there = self._keys.mask(there) or "an unreadable address"
            raise ForeignLink(urlsplit(self.base_url).path, kind, there, self._origin)
        return sent

    def _ask(self, url: str, path: str) -> requests.Response:
        """Returns the response. Retries once with a new token if the API refuses the access token.

        The refused token may have expired or been revoked.
        """
        if not self._token_source:
            return self._session.request("GET", url, path, self._keys.pair)
        token = self._token_source.token()
        response = self._session.request("GET", url, path, BearerAuth(token))
        if response.status_code != 401:
            return response
        return self._session.request("GET", url, path, BearerAuth(self._token_source.token(instead_of=token)))

    def _message_of(self, response: requests.Response) -> str:
        message = self.version.error_message(response)
        return excerpt(response) if message is None else message

    def _error_of(self, response: requests.Response, path: str) -> SendcloudError:
        status, message = response.status_code, self._session.error_message(response)
        if status == 400 and self.version.is_about_page_size(message):
            asked = parse_qs(urlsplit(response.url).query).get(self.version.page_size_name, ["?"])[0]
            problem = f"{asked} is refused: GET {path} returned 400 with the message {message!r}"
            return SettingsError.of("page_size", problem, "Use a smaller number.")
        if status in (401, 403):
            return TokenAuthError(status, path, message) if self._token_source else AuthError(status, path, message)
        if status == 404 and "cursor=" in urlsplit(response.url).query:
            return ExpiredLink(path, message)
        if status == 404:
            remedy = f"The address should end in /api/{self.version.name}."
            return SettingsError.of("base_url", f"has no pickups: GET {path} returned 404", remedy)
        return BadResponse(path, f"{status} {message}".strip())
