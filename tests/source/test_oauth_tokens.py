"""Tests how the client requests, stores and renews access tokens."""

from __future__ import annotations

import json
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest

from sources.sendcloud.errors import AuthError
from sources.sendcloud.http.oauth import Tokens
from sources.sendcloud.reading.progress import ReadStats
from sources.sendcloud.sandbox import ABSENT, Sandbox, World, faults, serve
from tests.support.clock import Clock
from tests.support.installation import SECRET, Installation, as_rows
from tests.support.oauth import api as api
from tests.support.oauth import asked, client_of, get, outcome, run, tokens_asked_for
from tests.support.oauth import clock as clock
from tests.support.worlds import NOW


def test_client_id_and_secret_go_to_the_token_endpoint_and_the_token_to_the_api(api: Sandbox) -> None:
    get(api)

    basic = b64encode(f"sandbox-client-id:{SECRET}".encode()).decode()
    assert [tuple(request) for request in api.requests] == [
        ("POST", "/oauth2/token", 200, f"Basic {basic}"),
        ("GET", "/api/v2/pickups", 200, f"Bearer {api.access_token}"),
    ]


@pytest.mark.slow
def test_one_token_is_enough_for_twelve_pages_in_several_packages(
    installation: Installation, world: World, api: Sandbox
) -> None:
    for _ in range(40):
        world.book(created_at=NOW)

    done = run(installation, api, "--json")

    receipt = json.loads(done.stdout)
    assert (done.returncode, receipt["rows_new"], receipt["pages"]) == (0, 60, 12)
    assert receipt["requests"] == 13
    assert tokens_asked_for(api) == 1
    assert {request.authorization for request in api.requests[1:]} == {f"Bearer {api.access_token}"}
    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_one_token_is_enough_for_the_head_and_the_history_that_a_failed_run_left_unread(
    installation: Installation,
) -> None:
    """The run reads the two packages separately, and each of them sends its own requests."""
    settled = World(clock=NOW)
    for days in range(100, 60, -1):
        settled.book(created_at=NOW - timedelta(days=days), pickup_status="Failed")
    with serve(settled, client_secret=SECRET) as api:
        api.fault(faults.status(503), page=5, times=None)
        assert run(installation, api).returncode == 4
        api.heal()
        api.requests.clear()

        receipt = json.loads(run(installation, api, "--json").stdout)

        assert (receipt["rows_new"], receipt["history_complete"]) == (20, True)
        assert tokens_asked_for(api) == 1
    assert installation.pickups() == as_rows(settled.records())


@pytest.mark.slow
def test_each_run_requests_its_own_token(installation: Installation, api: Sandbox) -> None:
    run(installation, api)
    run(installation, api)

    assert tokens_asked_for(api) == 2


@pytest.mark.parametrize(("lifetime_seconds", "renewed_after"), [(2, 1.8), (60, 54), (3600, 3540)])
def test_a_token_is_renewed_shortly_before_it_expires(
    clock: Clock, world: World, lifetime_seconds: float, renewed_after: float
) -> None:
    with serve(world, client_secret=SECRET, token_seconds=lifetime_seconds) as api:
        client = client_of(api)
        for seconds, tokens in ((0, 1), (renewed_after - 0.01, 1), (renewed_after, 2), (renewed_after + 1, 2)):
            clock.now = 1_000 + seconds
            client.get(f"{api.base_url}/pickups")
            assert tokens_asked_for(api) == tokens, seconds
    assert 401 not in {request.status for request in api.requests}


@pytest.mark.parametrize("expires_in", [ABSENT, None, 0, -1, "soon", "", 10**12, 10**400, [], 86_401])
def test_an_invalid_token_lifetime_counts_as_the_documented_hour(clock: Clock, api: Sandbox, expires_in: Any) -> None:
    api.fault(faults.token(expires_in=expires_in), times=None)
    client = client_of(api)

    for seconds, tokens in ((0, 1), (3539, 1), (3540, 2)):
        clock.now = 1_000 + seconds
        client.get(f"{api.base_url}/pickups")
        assert tokens_asked_for(api) == tokens, seconds


def test_a_token_lifetime_may_be_a_numeric_string(clock: Clock, api: Sandbox) -> None:
    api.fault(faults.token(expires_in="20"), times=None)
    client = client_of(api)
    for clock.now in (1_000, 1_017, 1_018):
        client.get(f"{api.base_url}/pickups")

    assert tokens_asked_for(api) == 2


@pytest.mark.slow
def test_a_token_that_is_refused_during_a_walk_is_renewed_once(
    installation: Installation, api: Sandbox, world: World
) -> None:
    api.on_request = lambda sandbox, number: number == 4 and sandbox.revoke_tokens()

    done = run(installation, api)

    assert done.returncode == 0, done.stderr
    assert asked(api)[:6] == [("POST", 200), ("GET", 200), ("GET", 200), ("GET", 401), ("POST", 200), ("GET", 200)]
    assert tokens_asked_for(api) == 2
    assert installation.pickups() == as_rows(world.records())


def test_a_token_that_expired_while_the_machine_was_suspended_is_renewed(clock: Clock, world: World) -> None:
    """Monotonic time stops while the machine is suspended, but the server's time does not."""
    with serve(world, client_secret=SECRET, token_seconds=2) as api:
        client = client_of(api)
        client.get(f"{api.base_url}/pickups")
        world.clock += timedelta(hours=9)
        client.get(f"{api.base_url}/pickups")

    assert clock.now == 1_000
    assert asked(api) == [("POST", 200), ("GET", 200), ("GET", 401), ("POST", 200), ("GET", 200)]


@pytest.mark.parametrize("status", [401, 403])
def test_a_run_ends_if_the_api_refuses_a_fresh_token(installation: Installation, api: Sandbox, status: int) -> None:
    api.fault(lambda due: replace(due, status=status, body=b'{"error": {"message": "No."}}'), page=1, times=None)

    code, message = outcome(run(installation, api))

    assert code == 3
    assert f"Sendcloud refused a fresh access token: GET /api/v2/pickups returned {status}" in message
    variables = [f"SOURCES__SENDCLOUD__CREDENTIALS__{name}" for name in ("CLIENT_ID", "CLIENT_SECRET")]
    assert f"client_id and client_secret in {' and '.join(variables)} in the environment." in message
    once = [("POST", 200), ("GET", status)]
    assert asked(api) == (once * 2 if status == 401 else once)


def test_two_threads_that_send_concurrent_requests_share_one_token(api: Sandbox) -> None:
    api.fault(faults.slow(0.2), page="token", times=None)
    tokens: Tokens = {}
    together = Barrier(2)

    def read(_: int) -> None:
        client = client_of(api, tokens=tokens)
        together.wait()
        client.get(f"{api.base_url}/pickups")

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(read, range(2)))
        assert tokens_asked_for(api) == 1

        api.revoke_tokens()
        list(threads.map(read, range(2)))
        assert tokens_asked_for(api) == 2


def test_two_accounts_with_one_token_cache_do_not_share_a_token(api: Sandbox, world: World) -> None:
    """The caller passes one token cache for two accounts."""
    tokens: Tokens = {}
    with serve(world, client_secret="another-client-secret") as other:
        client_of(api, tokens=tokens).get(f"{api.base_url}/pickups")
        client_of(other, tokens=tokens, secret="another-client-secret").get(f"{other.base_url}/pickups")

        assert (tokens_asked_for(api), tokens_asked_for(other)) == (1, 1)
        assert api.access_token not in {str(request.authorization)[7:] for request in other.requests}
    assert api.access_token not in repr(tokens.values())
    assert "another-client-secret" not in repr(ReadStats(account="shop", tokens=tokens))


def test_a_token_for_one_api_is_not_sent_to_another_api_of_the_same_client(api: Sandbox, world: World) -> None:
    """Client id, secret and token endpoint are equal, but the tokens go to different origins."""
    tokens: Tokens = {}
    with serve(world) as other:
        client_of(api, tokens=tokens).get(f"{api.base_url}/pickups")
        of_the_first = api.access_token
        with pytest.raises(AuthError):  # the second API knows no token of the first API
            client_of(other, tokens=tokens, token_url=api.token_url).get(f"{other.base_url}/pickups")

        assert of_the_first not in {str(request.authorization)[7:] for request in other.requests}


@pytest.mark.parametrize("secret", ["a+b/c=d%e&f-a-secret", "a secret:with a colon"])
def test_special_characters_in_the_client_secret_are_form_encoded(world: World, secret: str) -> None:
    with serve(world, client_secret=secret) as api:
        client_of(api, secret=secret).get(f"{api.base_url}/pickups")

    assert asked(api) == [("POST", 200), ("GET", 200)]
