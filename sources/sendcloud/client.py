"""One page at a time: credentials, origin, retries. Knows how to ask, not what to ask for."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote_plus, urlsplit

import requests

from .answer import beginning_of, served_at
from .asking import Asking
from .credentials import OAUTH2, SendcloudCredentials
from .errors import BadReply, ExpiredLink, Misconfigured, Refused, SendcloudError, StrayLink, TokenRefused
from .keys import Keys
from .oauth import TOKEN_URL, Access, Bearer, Token, Tokens
from .origin import absolute, as_sent, fit_for_keys, origin_of
from .pace import Pace
from .v2 import V2
from .version import Version
from .wire import Wire

REQUESTS_PER_MINUTE = 400  # the older of the documented limits is 420, the newer 1000
MAX_REDIRECTS = 3  # Sendcloud's own links end in a slash that its documented path lacks: one is normal


class Reply(NamedTuple):
    """A page's body, undecoded, its Link header, and the API's own clock when it answered (its Date header; UTC)."""

    body: bytes
    served_at: datetime
    link: str = ""


class Client:
    """Asks one origin, with the keys or a token for them, and gives up after `max_attempts` tries of one page.

    Raises Misconfigured when `base_url` or `token_url` can't be asked safely: https, or a loopback host, and no keys in
    it. `tokens` are those of the run so far, if others read for it too.
    """

    def __init__(
        self,
        base_url: str,
        credentials: SendcloudCredentials,
        max_attempts: int,
        pace: Pace | None = None,
        token_url: str = TOKEN_URL,
        tokens: Tokens | None = None,
        version: Version = V2,
    ) -> None:
        self.base_url, token_url = fit_for_keys("base_url", base_url), fit_for_keys("token_url", token_url)
        self.version = version
        self._origin = origin_of(self.base_url)
        pair = credentials.pair()
        # what is asked for a token reads both as form fields (RFC 6749, 2.3.1; Ory's server does)
        spelled = quote_plus if tuple(pair) == OAUTH2 else str
        self._keys = Keys(pair, spelled)
        self.wire = Wire(pace or Pace(REQUESTS_PER_MINUTE))
        self._asking = Asking("base_url", self.base_url, self._keys, self.wire, max_attempts, self._message_of)
        self._access: Access | None = None
        if tuple(pair) == OAUTH2:
            whose = (self._origin, token_url, version.scope, *pair.values())
            token = ({} if tokens is None else tokens).setdefault(whose, Token())
            its_keys = Keys(pair, spelled)
            self._access = Access(token_url, version.scope, its_keys, self._keys, token, self.wire, max_attempts)

    def get(self, url: str) -> Reply:
        """The page at `url`, which may be any link of the configured origin.

        Raises Refused, Unavailable, BadReply or StrayLink, see errors.py; on StrayLink nothing was sent.
        """
        url = self._of_our_origin(url, "next link")
        path = self.path_of(url)
        for _ in range(MAX_REDIRECTS + 1):
            response = self._ask(url, path)
            if response.status_code == 200:
                return Reply(response.content, served_at(response.headers), response.headers.get("Link", ""))
            if not response.is_redirect:
                raise self._error_of(response, path)
            url = self._of_our_origin(absolute(url, response.headers["Location"]), "redirect")
        raise BadReply(path, f"it redirects more than {MAX_REDIRECTS} times")

    def first_page(self, page_size: int) -> str:
        """The address of the newest page."""
        return self.version.first_page(self.base_url, page_size)

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

    def _ask(self, url: str, path: str) -> requests.Response:
        """The answer; where a token was refused, which may have ended or been revoked, the answer to a fresh one."""
        if not self._access:
            return self._asking.ask("GET", url, path, self._keys.pair)
        token = self._access.token()
        response = self._asking.ask("GET", url, path, Bearer(token))
        if response.status_code != 401:
            return response
        return self._asking.ask("GET", url, path, Bearer(self._access.token(instead_of=token)))

    def _message_of(self, response: requests.Response) -> str:
        message = self.version.message_of(response)
        return beginning_of(response) if message is None else message

    def _error_of(self, response: requests.Response, path: str) -> SendcloudError:
        status, message = response.status_code, self._asking.said(response)
        if status in (401, 403):
            return TokenRefused(status, path, message) if self._access else Refused(status, path, message)
        if status == 404 and "cursor=" in urlsplit(response.url).query:
            return ExpiredLink(path, message)
        if status == 404:
            return Misconfigured(
                "base_url",
                f"has no pickups: GET {path} was answered 404",
                f"It should end in /api/{self.version.name}.",
            )
        return BadReply(path, f"{status} {message}".strip())
