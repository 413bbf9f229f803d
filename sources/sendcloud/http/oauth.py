"""Requests OAuth2 access tokens with client credentials (RFC 6749, 4.4), and keeps them in memory until they expire."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Lock
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from ..api.tokens import read_token, token_form
from ..api.version import Version
from ..errors import ClientAuthError, SendcloudError, SettingsError
from .origins import origin_of, resolve_link
from .redaction import SecretMask
from .responses import decode_object, oauth_error_message
from .retrying import RetryingSession
from .transport import PacedAdapter

# The address has no trailing slash, because a redirected POST would lose its form data.
TOKEN_URL = "https://account.sendcloud.com/oauth2/token"  # noqa: S105 - the value is an address.
LIFETIME_SECONDS = 3_600.0  # The documented lifetime is used if expires_in is unusable.
MAX_LIFETIME_SECONDS = 86_400.0
LEEWAY_SECONDS = 60.0  # Tokens are renewed this long before they expire, but only in the last tenth of their lifetime.


@dataclass
class Token:
    """The access token of a run. `text` is initially empty, and `renew_at` is a time on the monotonic clock."""

    text: str = field(default="", repr=False)
    renew_at: float = 0.0
    lock: Lock = field(default_factory=Lock, repr=False)


Tokens = dict[tuple[str, ...], Token]
"""A run's access tokens, keyed by API origin, token endpoint, scope, client id and client secret.

This key ensures that a token is sent only to the API that it was requested for.
"""


class BearerAuth(AuthBase):
    """Sends a token in the Authorization header. Without an auth object, `requests` would read ~/.netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class TokenSource:
    """Requests access tokens from `token_url`, the only address to which the client id and secret are sent.

    All clients of a run share `token`, even across threads. `keys` masks the returned tokens in messages.
    """

    def __init__(
        self,
        token_url: str,
        version: Version,
        pair: SecretMask,
        keys: SecretMask,
        token: Token,
        wire: PacedAdapter,
        max_attempts: int,
    ) -> None:
        self._url, self._pair, self._keys, self._token = token_url, pair, keys, token
        self._form = token_form(version)
        # The session rejects a response that repeats `pair`. A response that repeats an earlier token is accepted,
        # because the endpoint may issue the same token again. Messages mask both.
        self._session = RetryingSession("token_url", token_url, pair, wire, max_attempts, self._message_of)
        self._address = pair.mask(f"{origin_of(token_url)}{urlsplit(token_url).path}")

    def token(self, instead_of: str = "") -> str:
        """Returns the current token, or a new one if needed.

        A new token is requested if there is none, if the current token is due for renewal, or if it equals
        `instead_of`. `instead_of` is a token that the API refused.

        Raises:
            ClientAuthError: the token endpoint refused the client id and secret.
            SettingsError: there is no token endpoint at `token_url`.
            Unavailable: no attempt returned a usable response.
            BadResponse: the response is not a usable token.
        """
        with self._token.lock:
            held = self._token.text
            if held in ("", instead_of) or time.monotonic() >= self._token.renew_at:
                self._renew()
            self._keys.add(self._token.text)
            return self._token.text

    def _renew(self) -> None:
        asked_at = time.monotonic()  # the lifetime is measured from the request, because an early renewal does no harm
        response = self._session.request("POST", self._url, self._address, self._pair.pair, data=self._form)
        if response.status_code != 200:
            raise self._error_of(response)
        answer = decode_object(response.content)
        try:
            token = read_token(answer)
        except ValueError as problem:
            raise self._unusable(str(problem)) from None
        seconds = _lifetime_seconds(answer.get("expires_in"))
        self._token.text = token
        self._token.renew_at = asked_at + seconds - min(LEEWAY_SECONDS, seconds / 10)

    def _message_of(self, response: requests.Response) -> str:
        return self._keys.mask(oauth_error_message(response))

    def _error_of(self, response: requests.Response) -> SendcloudError:
        status, message = response.status_code, self._session.error_message(response)
        if status in (401, 403) or (status == 400 and message):
            return ClientAuthError(status, self._address, message)
        if status in (404, 405):
            problem = f"has no tokens: POST {self._address} returned {status}"
            return SettingsError.of("token_url", problem, f"Remove token_url to use Sendcloud's address, {TOKEN_URL}.")
        if response.is_redirect:
            there = origin_of(resolve_link(self._url, response.headers["Location"])) or "an unreadable address"
            message = f"redirect to {self._keys.mask(there)}; the id and secret were not sent there"
        return self._unusable(f"{status} {message}".strip())

    def _unusable(self, evidence: str) -> SendcloudError:
        return self._session.unusable("POST", self._address, evidence)


def _lifetime_seconds(expires_in: object) -> float:
    """Returns the lifetime in seconds. `expires_in` may be a number or a string that contains a number.

    If `expires_in` is missing, not a number, not positive or longer than a day, the result is the documented lifetime
    of an hour.
    """
    try:
        seconds = float(expires_in)  # type: ignore[arg-type]  # float() raises TypeError for other types
    except (TypeError, ValueError, OverflowError):
        return LIFETIME_SECONDS
    return seconds if 0 < seconds <= MAX_LIFETIME_SECONDS else LIFETIME_SECONDS
