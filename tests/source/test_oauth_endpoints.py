"""Tests how the client handles faulty responses of the token endpoint and of the API with OAuth2."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sources.sendcloud import SendcloudCredentials
from sources.sendcloud.errors import BadResponse, ClientAuthError, SettingsError, TokenAuthError, Unavailable
from sources.sendcloud.http import oauth
from sources.sendcloud.http.client import Client
from sources.sendcloud.sandbox import ABSENT, Sandbox, faults
from tests.support.clock import Clock
from tests.support.installation import SECRET, Installation
from tests.support.oauth import TOKEN_URL, asked, client_of, get, outcome, run, tokens_asked_for
from tests.support.oauth import api as api
from tests.support.oauth import clock as clock

# Responses of the token endpoint


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "error", "evidence"),
    [
        (401, "invalid_client", "401 with the message 'invalid_client: Client authentication failed.'"),
        (400, "invalid_scope", "400 with the message 'invalid_scope: Client authentication failed.'"),
        (403, "", "403. Check"),
    ],
)
def test_a_refused_client_id_and_secret_end_the_run_without_a_retry(
    installation: Installation, api: Sandbox, status: int, error: str, evidence: str
) -> None:
    said = {"error": error, "error_description": "Client authentication failed."} if error else {}
    api.fault(lambda due: replace(due, status=status, body=json.dumps(said).encode()), times=None)

    code, message = outcome(run(installation, api))

    assert code == 3
    assert f"refused client_id and client_secret: POST {api.token_url} returned" in message
    assert evidence in message
    variables = [f"SOURCES__SENDCLOUD__CREDENTIALS__{name}" for name in ("CLIENT_ID", "CLIENT_SECRET")]
    assert f"Check client_id and client_secret in {' and '.join(variables)} in the environment" in message
    assert asked(api) == [("POST", status)]


def test_a_wrong_client_secret_raises_an_error_with_the_endpoints_message(api: Sandbox) -> None:
    with pytest.raises(ClientAuthError, match="401 with the message 'invalid_client: Client authentication failed"):
        client_of(api, secret="not the right one").get(f"{api.base_url}/pickups")


def test_the_error_for_refused_keys_suggests_oauth2(api: Sandbox) -> None:
    """An integration that was created with OAuth2 accepts no other credentials."""
    client = Client(api.base_url, SendcloudCredentials(public_key=api.client_id, secret_key=SECRET), 1)

    with pytest.raises(Exception, match="uses OAuth2, set client_id and client_secret instead"):
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
def test_a_busy_or_failing_token_endpoint_is_retried_up_to_the_maximum_number_of_tries(
    api: Sandbox, fault: faults.Fault
) -> None:
    api.fault(fault, page="token", times=2)
    get(api)
    assert len(api.requests) == 4

    api.fault(fault, page="token", times=None)
    with pytest.raises(Unavailable) as failed:
        get(api)
    assert f"could not be read: POST {api.token_url}: " in str(failed.value)
    assert "after 3 tries" in str(failed.value)


@pytest.mark.slow
def test_a_run_ends_after_seven_tries_if_the_token_endpoint_stays_unavailable(
    installation: Installation, api: Sandbox
) -> None:
    api.fault(faults.status(503), page="token", times=None)

    code, message = outcome(run(installation, api))

    assert code == 4
    assert f"could not be read: POST {api.token_url}: " in message
    assert "after 7 tries" in message


def test_a_token_request_is_retried_after_a_timeout(api: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.3")
    api.fault(faults.slow(1.0), page="token")
    api.fault(faults.drip(0.05), page="token")

    get(api)

    assert tokens_asked_for(api) == 3


def test_a_token_endpoint_that_requests_a_wait_of_a_day_is_not_retried(api: Sandbox) -> None:
    api.fault(faults.too_many(86_400), page="token", times=None)

    with pytest.raises(Unavailable, match="asks for a wait of 86,400 s, after 1 try"):
        get(api)


UNUSABLE = {
    "too large": (faults.huge(65 * 2**20), "the body is larger than 64 MiB"),
    "encoding": (faults.encoded("utf-8", "application/json; charset=klingon"), "the body can't be decoded as klingon"),
    "no token": (faults.token(access_token=ABSENT), "without an access_token that can be sent in a header"),
    "null": (faults.token(access_token=None), "without an access_token that can be sent in a header"),
    "empty": (faults.token(access_token=""), "without an access_token that can be sent in a header"),
    "a number": (faults.token(access_token=7), "without an access_token that can be sent in a header"),
    "a space": (faults.token(access_token="ory_at_a b"), "without an access_token that can be sent in a header"),
    "a line break": (
        faults.token(access_token="ory_at_a\r\nX-Evil: 1"),
        "without an access_token that can be sent in a header",
    ),
    "not ASCII": (faults.token(access_token="ory_at_é"), "without an access_token that can be sent in a header"),
    "very long": (faults.token(access_token="ory_at_" + "a" * 5_000), "without an access_token that can be sent"),
    "not bearer": (faults.token(token_type="mac"), "its token_type is not bearer"),
    "nested": (lambda due: replace(due, body=b'{"a":' * 100_000 + b"}"), "without an access_token"),
    "accepted": (lambda due: replace(due, status=202), "/oauth2/token: 202. The response"),
    "the secret": (faults.token(access_token=SECRET), "the response repeats the secret key or an access token"),
    "the secret beside it": (faults.token(client_secret=SECRET), "repeats the secret key or an access token"),
}


@pytest.mark.parametrize(("fault", "evidence"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_response_without_a_usable_token_raises_an_error_without_a_retry(
    api: Sandbox, fault: faults.Fault, evidence: str
) -> None:
    api.fault(fault, page="token", times=None)

    with pytest.raises(BadResponse) as failed:
        get(api)

    assert evidence in str(failed.value)
    assert "If token_url is correct" in str(failed.value)
    assert asked(api) == [("POST", 202 if "202" in evidence else 200)]
    assert SECRET not in str(failed.value)
    assert "ory_at_" not in str(failed.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["no token", "accepted"])
def test_a_response_without_a_usable_token_ends_the_run(installation: Installation, api: Sandbox, name: str) -> None:
    fault, evidence = UNUSABLE[name]
    api.fault(fault, page="token", times=None)

    code, message = outcome(run(installation, api))

    assert code == 4
    assert evidence in message
    assert asked(api) == [("POST", 202 if name == "accepted" else 200)]


@pytest.mark.slow
def test_an_address_without_a_token_endpoint_is_reported_with_the_name_of_the_setting(
    installation: Installation, api: Sandbox
) -> None:
    code, message = outcome(run(installation, api, **{TOKEN_URL: f"{api.base_url}/nowhere"}))

    assert code == 3
    assert (
        "[sources.sendcloud] token_url (SOURCES__SENDCLOUD__TOKEN_URL in the environment) has no tokens: POST "
        in message
    )
    assert oauth.TOKEN_URL in message


def test_a_secret_echoed_by_the_token_endpoint_is_masked_in_the_error(api: Sandbox) -> None:
    echo = json.dumps({"error": "invalid_client", "error_description": f"no {SECRET} of sandbox-client-id"})
    for status, kind in ((401, ClientAuthError), (500, Unavailable)):
        api.heal()
        api.fault(lambda due, status=status: replace(due, status=status, body=echo.encode()), times=None)
        with pytest.raises(kind, match=r"invalid_client: no \*\*\* of \*\*\*"):
            get(api)


@pytest.mark.parametrize("status", [200, 201, 302, 400, 500])
def test_a_token_in_malformed_json_does_not_appear_in_the_error(api: Sandbox, status: int) -> None:
    broken = b'{"access_token": "ory_at_never-show-this"'
    api.fault(lambda due: replace(due, status=status, body=broken), times=None)

    with pytest.raises((BadResponse, Unavailable)) as failed:
        get(api)
    assert "ory_at_" not in str(failed.value)


def test_the_token_endpoint_may_reissue_a_token_and_an_error_that_echoes_it_is_masked(
    api: Sandbox, clock: Clock
) -> None:
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
    with pytest.raises(ClientAuthError, match=r"invalid_client: \*\*\* ended"):
        client.get(f"{api.base_url}/pickups")


# Responses of the API


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_a_token_echoed_by_the_api_is_masked_in_the_error(api: Sandbox, status: int) -> None:
    api.fault(
        lambda due: replace(due, status=status, body=f"not with Bearer {api.access_token}".encode()),
        page=1,
        times=None,
    )

    with pytest.raises((BadResponse, TokenAuthError, SettingsError, Unavailable)) as failed:
        get(api)
    assert api.access_token not in str(failed.value)
    assert "Bearer ***" in str(failed.value) or status == 404


def percent_encoded(text: str) -> str:
    return "".join(f"%{ord(character):02x}" for character in text)


@pytest.mark.parametrize("spelled", [str, percent_encoded, lambda token: token.replace("_", "\\u005f")])
@pytest.mark.parametrize("whose", ["token", "secret"])
def test_a_page_that_repeats_the_token_or_the_client_secret_is_refused(api: Sandbox, whose: str, spelled: Any) -> None:
    def repeated(due: Any) -> Any:
        text = spelled(api.access_token if whose == "token" else SECRET)
        return replace(due, body=due.body.replace(b'"carrier":"', f'"note":"{text}","carrier":"'.encode(), 1))

    api.fault(repeated, page=1, times=None)

    with pytest.raises(BadResponse, match="the response repeats the secret key or an access token"):
        get(api)


def test_a_page_that_repeats_the_previous_token_is_refused(api: Sandbox, clock: Clock) -> None:
    client = client_of(api)
    client.get(f"{api.base_url}/pickups")
    before = api.access_token
    clock.now += 3600
    api.world.book(note=before)

    with pytest.raises(BadResponse, match="the response repeats the secret key or an access token"):
        client.get(f"{api.base_url}/pickups")
    assert api.access_token != before
