"""OAuth2 client credentials: an access token for an id and a secret, kept in memory while it lasts (RFC 6749, 4.4)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import msgspec
import requests
from requests.auth import AuthBase

from .answer import oauth_message_of
from .asking import Asking
from .errors import ClientRefused, Misconfigured, SendcloudError
from .keys import Keys
from .origin import absolute, origin_of
from .wire import Wire

# without a slash at its end: a redirected POST would lose its form
TOKEN_URL = "https://account.sendcloud.com/oauth2/token"  # noqa: S105 - an address
LIFETIME_SECONDS = 3_600.0  # as documented; for an expires_in that can't be one
LONGEST_SECONDS = 86_400.0
LEEWAY_SECONDS = 60.0  # renewed so long before the end, but at most a tenth of the lifetime
FIT_FOR_A_HEADER = re.compile(r"[A-Za-z0-9._~+/-]{1,4096}=*")  # RFC 6750, 2.1


@dataclass
class Token:
    """An access token, and when to ask for the next by the monotonic clock; empty at first. One for a whole run."""

    text: str = field(default="", repr=False)
    renew_at: float = 0.0
    lock: Lock = field(default_factory=Lock, repr=False)


Tokens = dict[tuple[str, ...], Token]
"""By the API's origin, the token endpoint, its scope, and whose it is: no token goes where it wasn't asked for."""


class Bearer(AuthBase):
    """The header in which a token travels; without an auth of its own requests would look into ~/.netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Access:
    """Access tokens from `token_url`, the only address that id and secret are sent to.

    `token` is shared by whoever reads for the same run, on any thread. Those handed out are hidden by `keys`.
    """

    def __init__(
        self, token_url: str, scope: str, pair: Keys, keys: Keys, token: Token, wire: Wire, max_attempts: int
    ) -> None:
        self._url, self._pair, self._keys, self._token = token_url, pair, keys, token
        self._form = {"grant_type": "client_credentials", "scope": scope}
        # by `pair` alone an answer is judged, for a token that was there before may come again; told is neither
        self._asking = Asking("token_url", token_url, pair, wire, max_attempts, self._message_of)
        self._address = pair.masked(f"{origin_of(token_url)}{urlsplit(token_url).path}")

    def token(self, instead_of: str = "") -> str:
        """The token to use now: the one that there is, else, and in place of one that was refused, a new one.

        Raises ClientRefused, Misconfigured, Unavailable or BadReply.
        """
        with self._token.lock:
            held = self._token.text
            if held in ("", instead_of) or time.monotonic() >= self._token.renew_at:
                self._renew()
            self._keys.hide(self._token.text)
            return self._token.text

    def _renew(self) -> None:
        asked_at = time.monotonic()  # not when the answer was there: what is too early does no harm
        response = self._asking.ask("POST", self._url, self._address, self._pair.pair, data=self._form)
        if response.status_code != 200:
            raise self._error_of(response)
        answer = _decoded(response.content)
        token, kind = answer.get("access_token"), answer.get("token_type", "bearer")
        if not isinstance(token, str) or not FIT_FOR_A_HEADER.fullmatch(token):
            raise self._unusable("200, but without an access_token that a header can carry")
        if str(kind).lower() != "bearer":
            raise self._unusable("200, but its token_type is not bearer")  # not shown: fields may be mixed up
        seconds = _lifetime_seconds(answer.get("expires_in"))
        self._token.text = token
        self._token.renew_at = asked_at + seconds - min(LEEWAY_SECONDS, seconds / 10)

    def _message_of(self, response: requests.Response) -> str:
        return self._keys.masked(oauth_message_of(response))

    def _error_of(self, response: requests.Response) -> SendcloudError:
        status, said = response.status_code, self._asking.said(response)
        if status in (401, 403) or (status == 400 and said):
            return ClientRefused(status, self._address, said)
        if status in (404, 405):
            problem = f"has no tokens: POST {self._address} was answered {status}"
            return Misconfigured("token_url", problem, f"Leave it out; Sendcloud's is {TOKEN_URL}.")
        if response.is_redirect:
            there = origin_of(absolute(self._url, response.headers["Location"])) or "no readable address"
            return self._unusable(f"{status}, it redirects to {self._keys.masked(there)}; id and secret stay here")
        return self._unusable(f"{status} {said}".strip())

    def _unusable(self, evidence: str) -> SendcloudError:
        return self._asking.unusable("POST", self._address, evidence)


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return {}


def _lifetime_seconds(expires_in: object) -> float:
    """What expires_in says, in digits too; the documented hour for what is missing, no number, or more than a day."""
    try:
        seconds = float(expires_in)  # type: ignore[arg-type]  # TypeError is one of the answers
    except (TypeError, ValueError, OverflowError):
        return LIFETIME_SECONDS
    return seconds if 0 < seconds <= LONGEST_SECONDS else LIFETIME_SECONDS
