"""Creates OAuth2 clients for a sandbox, and reads the requests that the sandbox has received."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from sources.sendcloud import SendcloudCredentials
from sources.sendcloud.http import oauth
from sources.sendcloud.http.client import Client
from sources.sendcloud.http.oauth import Tokens
from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.clock import Clock
from tests.support.installation import SECRET, Done, Installation
from tests.support.worlds import NOW

TOKEN_URL = "SOURCES__SENDCLOUD__TOKEN_URL"
CLIENT_ID = "SOURCES__SENDCLOUD__CREDENTIALS__CLIENT_ID"
CLIENT_SECRET = "SOURCES__SENDCLOUD__CREDENTIALS__CLIENT_SECRET"
PUBLIC_KEY = "SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY"
SECRET_KEY = "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY"


@pytest.fixture
def api(world: World) -> Iterator[Sandbox]:
    """Serves twenty pickups with a secret that is easy to find wherever it must not appear."""
    for _ in range(20):
        world.book(created_at=NOW)
    with serve(world, client_secret=SECRET) as sandbox:
        yield sandbox


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replaces the only clock that determines when a token expires. The replacement has only monotonic time."""
    made = Clock()
    monkeypatch.setattr(oauth, "time", made)
    return made


def client_of(
    api: Sandbox, tries: int = 3, tokens: Tokens | None = None, token_url: str = "", secret: str = SECRET
) -> Client:
    credentials = SendcloudCredentials(client_id=api.client_id, client_secret=secret)
    return Client(api.base_url, credentials, tries, None, token_url or api.token_url, tokens)


def get(api: Sandbox, tries: int = 3) -> None:
    client_of(api, tries).get(f"{api.base_url}/pickups")


def asked(api: Sandbox) -> list[tuple[str, int]]:
    return [(request.method, request.status) for request in api.requests]


def tokens_asked_for(api: Sandbox) -> int:
    return Counter(request.method for request in api.requests)["POST"]


def run(installation: Installation, api: Sandbox, *words: str, **settings: str) -> Done:
    """Runs `pickups run` with a client id and secret, five pickups per page and two pages per package."""
    named = {
        "SOURCES__SENDCLOUD__BASE_URL": api.base_url,
        "SOURCES__SENDCLOUD__PAGE_SIZE": "5",
        "SOURCES__SENDCLOUD__PAGES_PER_PACKAGE": "2",
        TOKEN_URL: api.token_url,
        CLIENT_ID: api.client_id,
        CLIENT_SECRET: SECRET,
        **settings,
    }
    return installation.command("run", *words, **{name: value for name, value in named.items() if value})


def outcome(done: Done) -> tuple[int, str]:
    """Returns the exit code and the error lines. Fails if the output contains a traceback, a secret or a token."""
    both = done.stdout + done.stderr
    assert "Traceback" not in both
    assert SECRET not in both
    assert "ory_at_" not in both
    return done.returncode, "\n".join(line for line in done.stderr.splitlines() if line.startswith("pickups: "))
