"""A running sandbox: the API at an address, what was asked of it, and what is to go wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from typing import NamedTuple

from .answer import Answer
from .api import Api
from .faults import Fault, Page, Trouble
from .forms import V2, V3
from .paging import Order
from .tokens import PATH as TOKEN_PATH
from .tokens import Tokens
from .wire import Server
from .world import World


class Request(NamedTuple):
    """A request as it came in, and the status it was answered with; 0 when the connection was reset instead."""

    method: str
    path: str
    """With the query."""
    status: int
    authorization: str | None


class Sandbox:
    """A running sandbox: where it is, what it was asked, and what is to go wrong."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.world = api.world
        self.base_url = api.origin + V2.root
        self.base_url_v3 = api.origin + V3.root
        self.public_key = api.public_key
        self.secret_key = api.secret_key
        self.token_url = api.tokens.url
        self.client_id = api.tokens.client_id
        self.client_secret = api.tokens.client_secret
        self.requests: list[Request] = []
        """Every request so far, oldest first."""
        self.on_request: Callable[[Sandbox, int], object] | None = None
        """Called before each answer with the request's number, from 1; may book, cancel, move the clock."""
        self._numbers = count(1)
        self._trouble = Trouble()
        self._lock = threading.Lock()

    @property
    def order(self) -> Order:
        """The order of the list. When it changes, cursors handed out before may be refused."""
        return self._api.order

    @order.setter
    def order(self, order: Order) -> None:
        self._api.order = order

    @property
    def access_token(self) -> str:
        """The access token handed out last; empty for none."""
        return self._api.tokens.newest

    def revoke_tokens(self) -> None:
        """No access token handed out so far is good any more."""
        self._api.tokens.revoke()

    def fault(self, fault: Fault, *, page: Page | None = None, times: int | None = 1) -> None:
        """Let something go wrong: on that page of a walk (from 1), on `token`s, else on any request; None times: until
        healed.

        Several faults stand in line; a request meets the first that concerns it.
        """
        self._trouble.add(fault, page, times)

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self._trouble.clear()

    def answer(self, method: str, path: str, authorization: str | None, body: bytes | None) -> Answer:
        """What goes on the wire for a request; it is noted in `requests`."""
        number = next(self._numbers)
        if self.on_request:
            self.on_request(self, number)
        with self._lock:
            due = self._api.answer(method, path, authorization, body)
            given = self._trouble.spoil(due, self._api.page_number(path))
            self.requests.append(Request(method, path, 0 if given.reset else given.status, authorization))
        return given


@contextmanager
def serve(
    world: World,
    *,
    public_key: str = "sandbox-public-key",
    secret_key: str = "sandbox-secret-key",  # noqa: S107 - opens this sandbox only
    client_id: str = "sandbox-client-id",
    client_secret: str = "sandbox-client-secret",  # noqa: S107
    token_seconds: float = 3600,
    port: int = 0,
    default_limit: int = 100,
    max_limit: int = 500,
    order: Order = "descending",
    on: Server | None = None,
) -> Iterator[Sandbox]:
    """The world's pickups on 127.0.0.1 until the block is left; port 0 takes a free one. A token lasts `token_seconds`
    by the world's clock. `on` is a server that listens already, and goes on to.
    """
    with nullcontext(on) if on else listening(port) as server:
        origin = f"http://127.0.0.1:{server.server_port}"
        tokens = Tokens(client_id, client_secret, token_seconds, origin + TOKEN_PATH)
        sandbox = Sandbox(Api(world, origin, public_key, secret_key, tokens, default_limit, max_limit, order))
        server.answer, server.clock = sandbox.answer, lambda: world.clock
        yield sandbox


@contextmanager
def listening(port: int = 0) -> Iterator[Server]:
    """A server on 127.0.0.1 until the block is left; it answers once a sandbox says what."""
    server = Server(port)
    # the default of 0.5 s would be waited for at every close
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
