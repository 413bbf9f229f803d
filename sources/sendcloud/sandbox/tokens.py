"""Implements the token endpoint, which accepts client credentials by HTTP Basic and issues access tokens."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hmac import compare_digest
from secrets import token_urlsafe
from urllib.parse import parse_qs, unquote_plus

import msgspec

from .answer import Answer

PATH = "/oauth2/token"
SCOPES = frozenset({"api", "read:pickup"})


@dataclass(slots=True)
class Tokens:
    """The access tokens of one client. Tokens expire according to the world's clock."""

    client_id: str
    client_secret: str
    lifetime_seconds: float
    url: str
    _good_until: dict[str, datetime] = field(default_factory=dict)
    _scopes: dict[str, set[str]] = field(default_factory=dict)

    def answer(self, method: str, authorization: str | None, form: bytes, now: datetime) -> Answer:
        """Returns the endpoint's response to a request."""
        if method != "POST":
            return self._refusal(405, "invalid_request", "The request method is not POST.", Allow="POST")
        if not self._knows(authorization):
            challenge = {"WWW-Authenticate": "Basic"}
            return self._refusal(401, "invalid_client", "Client authentication failed.", **challenge)
        fields = parse_qs(form.decode("latin-1"))
        if fields.get("grant_type") != ["client_credentials"]:
            return self._refusal(400, "unsupported_grant_type", "The grant type is not supported.")
        # If the request specifies no scope, the token gets all scopes.
        scopes = set(fields["scope"][0].split()) if "scope" in fields else set(SCOPES)
        if not scopes <= SCOPES:
            return self._refusal(400, "invalid_scope", "The requested scope is not granted to this client.")
        token = f"ory_at_{token_urlsafe(32)}.{token_urlsafe(32)}"
        self._good_until[token], self._scopes[token] = now + timedelta(seconds=self.lifetime_seconds), scopes
        granted = {"scope": " ".join(sorted(scopes)), "token_type": "bearer"}
        body = {"access_token": token, "expires_in": self.lifetime_seconds, **granted}
        return Answer(200, msgspec.json.encode(body), {"Cache-Control": "no-store"}, url=self.url)

    def admits(self, authorization: str | None, now: datetime) -> bool:
        """Returns whether the Authorization header contains a valid token."""
        kind, _, token = (authorization or "").partition(" ")
        until = self._good_until.get(token)
        return kind == "Bearer" and until is not None and now < until

    def grants(self, authorization: str | None, scope: str) -> bool:
        """Returns whether the token in the Authorization header has the given scope."""
        return scope in self._scopes.get((authorization or "").partition(" ")[2], set())

    @property
    def newest(self) -> str:
        """The most recently issued token that is not revoked, or an empty string if there is none."""
        return next(reversed(self._good_until), "")

    def revoke(self) -> None:
        """Revokes all tokens issued so far."""
        self._good_until.clear()

    def _knows(self, authorization: str | None) -> bool:
        """Returns whether the header contains the id and secret, each encoded like a form field (RFC 6749, 2.3.1)."""
        kind, _, pair = (authorization or "").partition(" ")
        try:
            client_id, _, secret = b64decode(pair, validate=True).decode().partition(":")
        except ValueError:
            return False
        given, right = f"{unquote_plus(client_id)}:{unquote_plus(secret)}", f"{self.client_id}:{self.client_secret}"
        return kind == "Basic" and compare_digest(given.encode(), right.encode())

    def _refusal(self, status: int, error: str, description: str, **headers: str) -> Answer:
        body = {"error": error, "error_description": description, "status_code": status}
        return Answer(status, msgspec.json.encode(body), headers, url=self.url)
