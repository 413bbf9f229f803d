"""Runs a sandbox that serves the API at a local address, records the requests and injects faults."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import NamedTuple

from .answer import Answer
from .api import Api
from .faults import Fault, Page
from .forms import V2, V3
from .paging import Order
from .tokens import PATH as TOKEN_PATH
from .tokens import Tokens
from .wire import Server
from .world import World


class Request(NamedTuple):
    """A request and the status of its response. If the connection was reset, the status is 0."""

    method: str
    path: str
    """The path with its query."""
    status: int
    authorization: str | None


@dataclass(eq=False, slots=True)
class QueuedFault:
    """A queued fault, the page that it applies to, and how often it applies.

    If `page` is None, the fault applies to every page. If `times` is infinite, the fault applies without limit.
    """

    fault: Fault
    page: Page | None
    times: float


@dataclass(eq=False)
class Sandbox(Api):
    """A running sandbox: its addresses and credentials, the requests it received, and its faults."""

    requests: list[Request] = field(default_factory=list)
    """All requests so far, oldest first."""
    on_request: Callable[[Sandbox, int], object] | None = None
    """A function that is called before each response, with the sandbox and the request number (from 1).

    The function may book and cancel pickups and move the clock.
    """
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _faults: list[QueuedFault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.base_url, self.base_url_v3 = self.origin + V2.root, self.origin + V3.root
        self.token_url = self.tokens.url
        self.client_id, self.client_secret = self.tokens.client_id, self.tokens.client_secret

    @property
    def access_token(self) -> str:
        """The most recently issued access token, or an empty string if there is none."""
        return self.tokens.newest

    def revoke_tokens(self) -> None:
        """Revokes all access tokens issued so far."""
        self.tokens.revoke()

    def fault(self, fault: Fault, *, page: Page | None = None, times: int | None = 1) -> None:
        """Queues a fault. For each request, the first queued fault that applies changes the response.

        Args:
            fault: a function that changes the response.
            page: the page of a walk (from 1), or `token` for the token endpoint. None selects every request.
            times: the number of requests that the fault affects. None repeats the fault until you call `heal`.
        """
        with self._lock:
            self._faults.append(QueuedFault(fault, page, inf if times is None else times))

    def heal(self) -> None:
        """Removes all faults."""
        with self._lock:
            self._faults.clear()

    def answer(self, method: str, path: str, authorization: str | None, body: bytes | None) -> Answer:
        """Returns the response to a request, and records the request in `requests`."""
        number = next(self._numbers)
        if self.on_request:
            self.on_request(self, number)
        with self._lock:
            due = super().answer(method, path, authorization, body)
            given = self._spoil(due, self.page_number(path))
            self.requests.append(Request(method, path, 0 if given.reset else given.status, authorization))
        return given

    def _spoil(self, due: Answer, page: Page | None) -> Answer:
        """Returns the response as changed by the first fault that applies, or `due` if no fault applies."""
        for queued in self._faults:
            given = queued.fault(due) if queued.page in (None, page) else due
            if given is not due:
                queued.times -= 1
                if queued.times <= 0:
                    self._faults.remove(queued)
                return given
        return due


@contextmanager
def serve(
    world: World,
    *,
    public_key: str = "sandbox-public-key",
    secret_key: str = "sandbox-secret-key",  # noqa: S107 - the key is valid only for this sandbox
    client_id: str = "sandbox-client-id",
    client_secret: str = "sandbox-client-secret",  # noqa: S107
    token_seconds: float = 3600,
    port: int = 0,
    default_limit: int = 100,
    max_limit: int = 500,
    order: Order = "descending",
    on: Server | None = None,
) -> Iterator[Sandbox]:
    """Serves the world's pickups on 127.0.0.1 until the `with` block ends.

    Args:
        world: the pickups and the clock.
        public_key: the public key of the integration that uses keys.
        secret_key: the secret key of the integration that uses keys.
        client_id: the client id of the integration that uses tokens.
        client_secret: the client secret of the integration that uses tokens.
        token_seconds: the lifetime of a token in seconds, measured by the world's clock.
        port: the port to listen on. 0 selects a free port.
        default_limit: the number of rows on a page if the request does not set a limit.
        max_limit: the maximum number of rows on a page.
        order: the order of the list.
        on: a server that is already listening and keeps listening after the block.
    """
    with nullcontext(on) if on else listening(port) as server:
        origin = f"http://127.0.0.1:{server.server_port}"
        tokens = Tokens(client_id, client_secret, token_seconds, origin + TOKEN_PATH)
        sandbox = Sandbox(world, origin, public_key, secret_key, tokens, default_limit, max_limit, order)
        server.answer, server.clock = sandbox.answer, lambda: world.clock
        yield sandbox


@contextmanager
def listening(port: int = 0) -> Iterator[Server]:
    """Starts a server on 127.0.0.1 and closes it when the `with` block ends.

    The server responds only after `serve` has connected it to a sandbox.
    """
    server = Server(port)
    # Closing the server takes one poll interval, which is 0.5 s by default.
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
