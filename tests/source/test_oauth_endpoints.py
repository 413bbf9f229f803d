"""What a token endpoint and the API may do with a client, a secret and a token."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sources.sendcloud import SendcloudCredentials, oauth
from sources.sendcloud.client import Client
from sources.sendcloud.errors import BadReply, ClientRefused, Misconfigured, TokenRefused, Unavailable
from sources.sendcloud.sandbox import ABSENT, Sandbox, faults
from tests.support.clock import Clock
from tests.support.installation import SECRET, Installation
from tests.support.oauth import TOKEN_URL, asked, client_of, get, outcome, run, tokens_asked_for
from tests.support.oauth import api as api
from tests.support.oauth import clock as clock

# What a token endpoint may do


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "error", "evidence"),
    [
        (401, "invalid_client", "401 and said 'invalid_client: Client authentication failed.'"),
        (400, "invalid_scope", "400 and said 'invalid_scope: Client authentication failed.'"),
        (403, "", "403. Check"),
    ],
)
def test_an_id_and_secret_that_are_refused_are_told_at_once(
    installation: Installation, api: Sandbox, status: int, error: str, evidence: str
) -> None:
    said = {"error": error, "error_description": "Client authentication failed."} if error else {}
    api.fault(lambda due: replace(due, status=status, body=json.dumps(said).encode()), times=None)

    code, message = outcome(run(installation, api))

    assert code == 3
    assert f"refused client_id and client_secret: POST {api.token_url} was answered" in message
    assert evidence in message
    assert "Check client_id and client_secret in [sources.sendcloud.credentials] of .dlt/secrets.toml" in message
    assert asked(api) == [("POST", status)]


def test_a_wrong_secret_is_refused(api: Sandbox) -> None:
    with pytest.raises(ClientRefused, match="401 and said 'invalid_client: Client authentication failed"):
        client_of(api, secret="not the right one").get(f"{api.base_url}/pickups")


def test_basic_keys_that_are_refused_point_to_oauth(api: Sandbox) -> None:
    """An integration that was made with OAuth2 takes nothing else."""
    client = Client(api.base_url, SendcloudCredentials(public_key=api.client_id, secret_key=SECRET), 1)

    with pytest.raises(Exception, match="made with OAuth2 takes client_id and client_secret in their place"):
        client.get(f"{api.base_url}/pickups")


BUSY = {
    "429": faults.status(429),
    "500": faults.status(500),
    "503": faults.status(503),
    "reset": faults.reset(),
    "html": faults.html(),
    "cut": faults.cut(),
    "truncated": faults.truncated(),
}


@pytest.mark.parametrize("fault", BUSY.values(), ids=BUSY)
def test_a_busy_or_broken_token_endpoint_is_asked_again_and_then_no_more(api: Sandbox, fault: faults.Fault) -> None:
    api.fault(fault, page="token", times=2)
    get(api)
    assert len(api.requests) == 4

    api.fault(fault, page="token", times=None)
    with pytest.raises(Unavailable) as failed:
        get(api)
    assert f"could not be read: POST {api.token_url}: " in str(failed.value)
    assert "after 3 tries" in str(failed.value)


@pytest.mark.slow
def test_a_run_whose_token_endpoint_never_answers_ends_after_seven_tries(
    installation: Installation, api: Sandbox
) -> None:
    api.fault(faults.status(503), page="token", times=None)

    code, message = outcome(run(installation, api))

    assert code == 4
    assert f"could not be read: POST {api.token_url}: " in message
    assert "after 7 tries" in message


def test_a_token_endpoint_that_says_nothing_in_time_is_asked_again(
    api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.3")
    api.fault(faults.slow(1.0), page="token")
    api.fault(faults.drip(0.05), page="token")

    get(api)

    assert tokens_asked_for(api) == 3


def test_a_token_endpoint_that_asks_to_wait_for_a_day_ends_the_run(api: Sandbox) -> None:
    api.fault(faults.too_many(86_400), page="token", times=None)

    with pytest.raises(Unavailable, match="asks to wait 86,400 s, after 1 try"):
        get(api)


ODD = {
    "too large": (faults.huge(65 * 2**20), "its body is larger than 64 MiB"),
    "encoding": (faults.encoded("utf-8", "application/json; charset=klingon"), "it can't be read as klingon"),
    "no token": (faults.token(access_token=ABSENT), "without an access_token that a header can carry"),
    "null": (faults.token(access_token=None), "without an access_token that a header can carry"),
    "empty": (faults.token(access_token=""), "without an access_token that a header can carry"),
    "a number": (faults.token(access_token=7), "without an access_token that a header can carry"),
    "a space": (faults.token(access_token="ory_at_a b"), "without an access_token that a header can carry"),
    "a line": (faults.token(access_token="ory_at_a\r\nX-Evil: 1"), "without an access_token that a header can carry"),
    "no ASCII": (faults.token(access_token="ory_at_é"), "without an access_token that a header can carry"),
    "very long": (faults.token(access_token="ory_at_" + "a" * 5_000), "without an access_token that a header"),
    "not bearer": (faults.token(token_type="mac"), "its token_type is not bearer"),
    "nested": (lambda due: replace(due, body=b'{"a":' * 100_000 + b"}"), "without an access_token"),
    "accepted": (lambda due: replace(due, status=202), "/oauth2/token: 202. Nothing"),
    "the secret": (faults.token(access_token=SECRET), "it repeats the secret key or an access token"),
    "the secret beside it": (faults.token(client_secret=SECRET), "it repeats the secret key or an access token"),
}


@pytest.mark.parametrize(("fault", "evidence"), ODD.values(), ids=ODD)
def test_an_answer_that_holds_no_usable_token_is_told_at_once(api: Sandbox, fault: faults.Fault, evidence: str) -> None:
    api.fault(fault, page="token", times=None)

    with pytest.raises(BadReply) as failed:
        get(api)

    assert evidence in str(failed.value)
    assert "if token_url is right" in str(failed.value)
    assert asked(api) == [("POST", 202 if "202" in evidence else 200)]
    assert SECRET not in str(failed.value)
    assert "ory_at_" not in str(failed.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["no token", "accepted"])
def test_and_ends_the_run(installation: Installation, api: Sandbox, name: str) -> None:
    fault, evidence = ODD[name]
    api.fault(fault, page="token", times=None)

    code, message = outcome(run(installation, api))

    assert code == 4
    assert evidence in message
    assert asked(api) == [("POST", 202 if name == "accepted" else 200)]


@pytest.mark.slow
def test_an_address_where_no_tokens_are_is_told(installation: Installation, api: Sandbox) -> None:
    code, message = outcome(run(installation, api, **{TOKEN_URL: f"{api.base_url}/nowhere"}))

    assert code == 3
    assert (
        "[sources.sendcloud] token_url (SOURCES__SENDCLOUD__TOKEN_URL in the environment) has no tokens: POST "
        in message
    )
    assert oauth.TOKEN_URL in message


def test_a_token_endpoint_that_echoes_the_secret_does_not_get_it_into_the_error(api: Sandbox) -> None:
    echo = json.dumps({"error": "invalid_client", "error_description": f"no {SECRET} of sandbox-client-id"})
    for status, kind in ((401, ClientRefused), (500, Unavailable)):
        api.heal()
        api.fault(lambda due, status=status: replace(due, status=status, body=echo.encode()), times=None)
        with pytest.raises(kind, match=r"invalid_client: no \*\*\* of \*\*\*"):
            get(api)


@pytest.mark.parametrize("status", [200, 201, 302, 400, 500])
def test_a_broken_answer_with_a_token_in_it_is_not_shown(api: Sandbox, status: int) -> None:
    broken = b'{"access_token": "ory_at_never-show-this"'
    api.fault(lambda due: replace(due, status=status, body=broken), times=None)

    with pytest.raises((BadReply, Unavailable)) as failed:
        get(api)
    assert "ory_at_" not in str(failed.value)


def test_a_token_endpoint_may_give_the_same_token_again_but_not_tell_it(api: Sandbox, clock: Clock) -> None:
    client = client_of(api)
    client.get(f"{api.base_url}/pickups")
    first = api.access_token
    api.fault(faults.token(access_token=first), page="token")
    clock.now += 3600
    client.get(f"{api.base_url}/pickups")
    assert tokens_asked_for(api) == 2

    clock.now += 3600
    error = json.dumps({"error": "invalid_client", "error_description": f"{first} ended"}).encode()
    api.fault(lambda due: replace(due, status=401, body=error), page="token")
    with pytest.raises(ClientRefused, match=r"invalid_client: \*\*\* ended"):
        client.get(f"{api.base_url}/pickups")


# What the API may do with a token


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_an_api_that_echoes_the_token_does_not_get_it_into_the_error(api: Sandbox, status: int) -> None:
    api.fault(
        lambda due: replace(due, status=status, body=f"not with Bearer {api.access_token}".encode()),
        page=1,
        times=None,
    )

    with pytest.raises((BadReply, TokenRefused, Misconfigured, Unavailable)) as failed:
        get(api)
    assert api.access_token not in str(failed.value)
    assert "Bearer ***" in str(failed.value) or status == 404


def percent(text: str) -> str:
    return "".join(f"%{ord(character):02x}" for character in text)


@pytest.mark.parametrize("spelled", [str, percent, lambda token: token.replace("_", "\\u005f")])
@pytest.mark.parametrize("whose", ["token", "secret"])
def test_a_page_that_repeats_token_or_secret_is_refused(api: Sandbox, whose: str, spelled: Any) -> None:
    def repeated(due: Any) -> Any:
        text = spelled(api.access_token if whose == "token" else SECRET)
        return replace(due, body=due.body.replace(b'"carrier":"', f'"note":"{text}","carrier":"'.encode(), 1))

    api.fault(repeated, page=1, times=None)

    with pytest.raises(BadReply, match="it repeats the secret key or an access token"):
        get(api)


def test_the_token_before_the_last_is_refused_too(api: Sandbox, clock: Clock) -> None:
    client = client_of(api)
    client.get(f"{api.base_url}/pickups")
    before = api.access_token
    clock.now += 3600
    api.world.book(note=before)

    with pytest.raises(BadReply, match="it repeats the secret key or an access token"):
        client.get(f"{api.base_url}/pickups")
    assert api.access_token != before
