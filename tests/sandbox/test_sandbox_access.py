"""Tests authentication at the sandbox, and the requests that it accepts."""

from __future__ import annotations

import http.client
import socket
from base64 import b64encode
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.sandbox_answers import ask, get, ids
from tests.support.sandbox_answers import seven as seven


@pytest.mark.parametrize("auth", [None, ("sandbox-public-key", "wrong"), ("wrong", "sandbox-secret-key"), ("", "é")])
def test_a_request_without_valid_keys_is_refused(seven: Sandbox, auth: tuple[str, str] | None) -> None:
    answer = get(seven, auth=auth)

    assert answer.status_code == 401
    assert answer.json() == {
        "error": {"code": 401, "request": "api/v2/pickups", "message": "Invalid username/password."}
    }


FORM = {"grant_type": "client_credentials", "scope": "api"}


def post(sandbox: Sandbox, **how: Any) -> requests.Response:
    ours: dict[str, Any] = {"auth": (sandbox.client_id, sandbox.client_secret), "data": FORM, "timeout": 5}
    return requests.post(sandbox.token_url, **ours | how)


def bearer(token: str) -> dict[str, Any]:
    return {"auth": None, "headers": {"Authorization": f"Bearer {token}"}}


def test_a_token_is_accepted_until_it_expires_by_the_clock_of_the_world(seven: Sandbox) -> None:
    answer = post(seven)
    token = answer.json()["access_token"]

    assert answer.json() == {"access_token": token, "expires_in": 3600, "scope": "api", "token_type": "bearer"}
    assert token.startswith("ory_at_")
    assert seven.access_token == token
    assert ids(get(seven, **bearer(token)).json()) == ids(get(seven).json())
    seven.world.advance(minutes=59)
    assert get(seven, **bearer(token)).status_code == 200
    seven.world.advance(minutes=1)
    assert get(seven, **bearer(token)).status_code == 401


def test_tokens_can_be_revoked(seven: Sandbox) -> None:
    token = post(seven).json()["access_token"]
    seven.revoke_tokens()

    assert get(seven, **bearer(token)).status_code == 401
    assert get(seven, **bearer("")).status_code == 401
    assert seven.access_token == ""


@pytest.mark.parametrize(
    ("how", "status", "error"),
    [
        ({"auth": None}, 401, "invalid_client"),
        ({"auth": ("sandbox-client-id", "wrong")}, 401, "invalid_client"),
        ({"auth": ("sandbox-public-key", "sandbox-secret-key")}, 401, "invalid_client"),
        ({"auth": None, "headers": {"Authorization": "Basic %%%"}}, 401, "invalid_client"),
        ({"auth": None, "data": FORM | {"client_id": "sandbox-client-id"}}, 401, "invalid_client"),
        ({"data": None}, 400, "unsupported_grant_type"),
        ({"data": FORM | {"grant_type": "password"}}, 400, "unsupported_grant_type"),
        ({"data": FORM | {"scope": "api write:pickup"}}, 400, "invalid_scope"),
    ],
)
def test_an_invalid_token_request_is_refused(seven: Sandbox, how: dict[str, Any], status: int, error: str) -> None:
    answer = post(seven, **how)

    assert (answer.status_code, answer.json()["error"], answer.json()["status_code"]) == (status, error, status)


def test_the_api_refuses_client_credentials_and_the_token_endpoint_accepts_only_post(seven: Sandbox) -> None:
    assert get(seven, auth=(seven.client_id, seven.client_secret)).status_code == 401
    assert requests.get(seven.token_url, auth=(seven.client_id, seven.client_secret), timeout=5).status_code == 405
    assert requests.post(f"{seven.token_url}/", timeout=5).status_code == 404


def test_a_pickup_is_served_by_its_id(seven: Sandbox) -> None:
    assert get(seven, "/pickups/290003").json() == seven.world.record(290003)

    missing = get(seven, "/pickups/1")
    assert missing.status_code == 404
    documented = {"code": 404, "request": "api/v2/pickups/1", "message": "No Pickup matches the given query."}
    assert missing.json() == {"error": documented}


def test_unsupported_paths_bodies_and_methods_are_refused(seven: Sandbox) -> None:
    auth = (seven.public_key, seven.secret_key)

    assert get(seven, "/parcels").status_code == 404
    assert get(seven, "/parcels/290003").status_code == 404
    assert get(seven, "/pickups/290003/cancel").status_code == 404
    assert get(seven, "/pickups", data=b"{}").status_code == 403
    for method in ("POST", "PUT", "PATCH", "DELETE", "HEAD"):
        assert requests.request(method, f"{seven.base_url}/pickups", auth=auth, timeout=5).status_code == 405


def test_a_response_to_head_has_no_body(seven: Sandbox) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(seven.base_url).port), timeout=5) as connection:
        connection.sendall(b"HEAD /api/v2/pickups HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))

    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.endswith(b"\r\n\r\n")


def test_the_sandbox_records_its_requests(seven: Sandbox) -> None:
    get(seven, "/pickups/?limit=2")
    get(seven, "/pickups", auth=None)
    basic = "Basic " + b64encode(b"sandbox-public-key:sandbox-secret-key").decode()

    assert [tuple(request) for request in seven.requests] == [
        ("GET", "/api/v2/pickups/?limit=2", 200, basic),
        ("GET", "/api/v2/pickups", 401, None),
    ]


def test_a_connection_carries_several_requests_and_closes_with_the_sandbox() -> None:
    with serve(World()) as sandbox:
        connection = http.client.HTTPConnection(urlsplit(sandbox.base_url).netloc, timeout=5)
        for _ in range(3):
            assert ask(connection) == 401
            assert connection.sock, "the server closed the connection"
        connection.auto_open = 0
    with pytest.raises((http.client.HTTPException, OSError)):
        ask(connection)
