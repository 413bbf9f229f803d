"""What a Sendcloud v2 pickups API answers for a world, as the documents say; no socket yet."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from hmac import compare_digest
from urllib.parse import parse_qs, quote, urlsplit

import msgspec

from .answer import Answer
from .faults import Page
from .paging import InvalidCursor, Listing, Order
from .tokens import PATH as TOKEN_PATH
from .tokens import Tokens
from .world import World

ROOT = "/api/v2"
PICKUPS = f"{ROOT}/pickups"


@dataclass(slots=True)
class Api:
    """The API of one account with two integrations: one opens with keys, one with tokens."""

    world: World
    base_url: str
    public_key: str
    secret_key: str
    tokens: Tokens
    default_limit: int
    max_limit: int
    order: Order
    _listing: tuple[tuple[int, Order], Listing] | None = None
    _pages: dict[str, int] = field(default_factory=dict)
    """By cursor."""

    def answer(self, method: str, path: str, authorization: str | None, body: bytes | None) -> Answer:
        """What is due for a request; `path` with its query, no body is None."""
        if urlsplit(path).path == TOKEN_PATH:
            return self.tokens.answer(method, authorization, body or b"", self.world.clock)
        name = urlsplit(path).path.rstrip("/")
        if name != PICKUPS and name.rpartition("/")[0] != PICKUPS:
            return self._refusal(404, path, "Not found.")
        if method != "GET":
            return self._refusal(405, path, f'Method "{method}" not allowed.', Allow="GET")
        if not self._admits(authorization):
            challenge = {"WWW-Authenticate": 'Basic realm="api"'}
            return self._refusal(401, path, "Invalid username/password.", **challenge)
        if body is not None:
            return self._refusal(403, path, "A GET request must not have a body.")
        return self._page(path) if name == PICKUPS else self._single(path, name.rpartition("/")[2])

    def page_number(self, path: str) -> Page | None:
        """Which page of a walk that address is, from 1, or `token`; None when it is neither."""
        asked = urlsplit(path)
        if asked.path == TOKEN_PATH:
            return "token"
        cursor = parse_qs(asked.query).get("cursor", [""])[-1]
        return self._pages.get(cursor, 1) if asked.path.rstrip("/") == PICKUPS else None

    def _admits(self, authorization: str | None) -> bool:
        if self.tokens.admits(authorization, self.world.clock):
            return True
        pair = b64encode(f"{self.public_key}:{self.secret_key}".encode())
        return compare_digest((authorization or "").encode("latin-1"), b"Basic " + pair)

    def _single(self, path: str, number: str) -> Answer:
        with suppress(KeyError, ValueError):
            return self._answer(200, path, self.world.record(int(number)))
        return self._refusal(404, path, "No Pickup matches the given query.")

    def _page(self, path: str) -> Answer:
        query = parse_qs(urlsplit(path).query)
        limit, cursor = query.get("limit", [""])[-1], query.get("cursor", [None])[-1]
        listing = self._listed()
        try:
            page = listing.page(cursor, self._size(limit))
        except InvalidCursor:
            return self._refusal(404, path, "Invalid cursor")
        if page.next:
            self._pages[page.next] = self._pages.get(cursor or "", 1) + 1
        body = {
            "next": self._link(page.next, limit),
            "previous": self._link(page.previous, limit),
            "pickups": [pickup.record(listing.at) for pickup in page.pickups],
        }
        return self._answer(200, path, body)

    def _size(self, limit: str) -> int:
        """Rows on a page: too many are clamped, not refused; what isn't a number from 1 up is the default."""
        asked = int(limit) if limit.isdecimal() else 0
        return min(asked, self.max_limit) if asked else self.default_limit

    def _listed(self) -> Listing:
        state = self.world.version, self.order
        if self._listing is None or self._listing[0] != state:
            self._listing = state, Listing.of(self.world, self.order)
        return self._listing[1]

    def _link(self, cursor: str | None, limit: str) -> str | None:
        carried = f"&limit={quote(limit)}" if limit else ""
        return f"{self.base_url}/pickups/?cursor={quote(cursor, safe='')}{carried}" if cursor else None

    def _refusal(self, status: int, path: str, message: str, **headers: str) -> Answer:
        error = {"code": status, "request": urlsplit(path).path.strip("/"), "message": message}
        return self._answer(status, path, {"error": error}, **headers)

    def _answer(self, status: int, path: str, body: object, **headers: str) -> Answer:
        return Answer(status, msgspec.json.encode(body), headers, url=self.base_url.removesuffix(ROOT) + path)
