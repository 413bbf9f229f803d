"""Builds the documented responses of the pickups API (v2 and v3) for a given world. This module opens no socket."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from hmac import compare_digest
from urllib.parse import parse_qs, quote, urlsplit

import msgspec

from .answer import Answer
from .faults import Page
from .forms import V2, V3, Form
from .paging import InvalidCursor, Listing, Order
from .tokens import PATH as TOKEN_PATH
from .tokens import Tokens
from .world import World

FORMS = {f"{form.root}/pickups": form for form in (V2, V3)}


@dataclass(slots=True)
class Api:
    """The API of one account with two integrations: one accepts a pair of keys, and the other accepts access tokens."""

    world: World
    origin: str
    public_key: str
    secret_key: str
    tokens: Tokens
    default_limit: int
    max_limit: int
    order: Order
    _listing: tuple[tuple[int, Order], Listing] | None = None
    _pages: dict[str, int] = field(default_factory=dict)
    """Page numbers by cursor."""

    def answer(self, method: str, path: str, authorization: str | None, body: bytes | None) -> Answer:
        """Returns the response to a request. `path` includes the query, and `body` is None if there is no body."""
        if urlsplit(path).path == TOKEN_PATH:
            return self.tokens.answer(method, authorization, body or b"", self.world.clock)
        name = urlsplit(path).path.rstrip("/")
        form = FORMS.get(name) or FORMS.get(name.rpartition("/")[0])
        if not form:
            return self._refusal(V3 if name.startswith(V3.root) else V2, 404, path, "Not found.")
        if method != "GET":
            return self._refusal(form, 405, path, f'Method "{method}" not allowed.', Allow="GET")
        if not self._admits(authorization):
            challenge = {"WWW-Authenticate": 'Basic realm="api"'}
            return self._refusal(form, 401, path, "Invalid username/password.", **challenge)
        if not self._grants(form, authorization):
            return self._refusal(form, 403, path, "You do not have permission to perform this action.")
        if body is not None:
            return self._refusal(form, 403, path, "A GET request must not have a body.")
        return self._page(form, path) if name in FORMS else self._single(form, path, name.rpartition("/")[2])

    def page_number(self, path: str) -> Page | None:
        """Returns the page number of `path` (from 1), `token` for the token endpoint, or None for other paths."""
        asked = urlsplit(path)
        if asked.path == TOKEN_PATH:
            return "token"
        cursor = parse_qs(asked.query).get("cursor", [""])[-1]
        return self._pages.get(cursor, 1) if asked.path.rstrip("/") in FORMS else None

    def _admits(self, authorization: str | None) -> bool:
        if self.tokens.admits(authorization, self.world.clock):
            return True
        pair = b64encode(f"{self.public_key}:{self.secret_key}".encode())
        return compare_digest((authorization or "").encode("latin-1"), b"Basic " + pair)

    def _grants(self, form: Form, authorization: str | None) -> bool:
        """Returns whether the credentials may read pickups: keys always may, but a token needs the version's scope."""
        return not (authorization or "").startswith("Bearer ") or self.tokens.grants(authorization, form.scope)

    def _single(self, form: Form, path: str, number: str) -> Answer:
        with suppress(KeyError, ValueError):
            record = form.record(self.world.record(int(number)))
            return self._answer(200, path, {"data": record} if form is V3 else record)
        return self._refusal(form, 404, path, "No Pickup matches the given query.")

    def _page(self, form: Form, path: str) -> Answer:
        query = parse_qs(urlsplit(path).query)
        limit, cursor = query.get(form.size, [""])[-1], query.get("cursor", [None])[-1]
        listing = self._listed()
        try:
            page = listing.page(cursor, self._size(form, limit))
        except InvalidCursor:
            return self._refusal(form, 404, path, "Invalid cursor")
        if page.next:
            self._pages[page.next] = self._pages.get(cursor or "", 1) + 1
        links = self._link(form, page.next, limit), self._link(form, page.previous, limit)
        body, headers = form.page([form.record(pickup.record(listing.at)) for pickup in page.pickups], links)
        return self._answer(200, path, body, **headers)

    def _size(self, form: Form, limit: str) -> int:
        """Returns the number of rows on a page.

        A limit above the maximum is reduced to the maximum. Any value other than a number of at least 1 selects the
        default.
        """
        asked = int(limit) if limit.isdecimal() else 0
        return min(asked, form.largest or self.max_limit, self.max_limit) if asked else self.default_limit

    def _listed(self) -> Listing:
        state = self.world.version, self.order
        if self._listing is None or self._listing[0] != state:
            self._listing = state, Listing.of(self.world, self.order)
        return self._listing[1]

    def _link(self, form: Form, cursor: str | None, limit: str) -> str | None:
        carried = f"&{form.size}={quote(limit)}" if limit else ""
        return f"{self.origin}{form.root}/pickups/?cursor={quote(cursor, safe='')}{carried}" if cursor else None

    def _refusal(self, form: Form, status: int, path: str, message: str, **headers: str) -> Answer:
        return self._answer(status, path, form.error(status, urlsplit(path).path, message), **headers)

    def _answer(self, status: int, path: str, body: object, **headers: str) -> Answer:
        return Answer(status, msgspec.json.encode(body), headers, url=self.origin + path)
