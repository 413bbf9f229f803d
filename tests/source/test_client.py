"""Tests the HTTP client: origins, redirects, retries, error messages and the clock."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
import requests

from sources.sendcloud.errors import AuthError, BadResponse, ForeignLink, SettingsError, Unavailable
from sources.sendcloud.http.client import Client, SendcloudCredentials
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.installation import SECRET
from tests.support.worlds import NOW

pytestmark = pytest.mark.versions


@pytest.fixture
def api() -> Iterator[Sandbox]:
    with serve(World(clock=NOW), secret_key=SECRET) as sandbox:
        yield sandbox


def client_of(api: Sandbox, tries: int = 3) -> Client:
    return Client(api.base_url, SendcloudCredentials(public_key=api.public_key, secret_key=SECRET), tries)


def get(api: Sandbox, path: str = "/pickups?limit=5", tries: int = 3) -> tuple[Client, bytes, datetime]:
    client = client_of(api, tries)
    reply = client.get(api.base_url + path)
    return client, reply.body, reply.served_at


def test_the_response_time_comes_from_the_api_clock_and_not_the_local_clock(api: Sandbox) -> None:
    assert get(api)[2] == NOW


def test_the_client_counts_retries_and_the_wait_requested_by_retry_after(api: Sandbox) -> None:
    api.fault(faults.too_many(retry_after=1))

    client, _, _ = get(api)

    assert (client.wire.sent, client.wire.retries) == (2, 1)
    assert 0.9 < client.wire.waited_seconds < 10


def test_a_redirect_within_the_origin_is_followed(api: Sandbox) -> None:
    api.fault(faults.redirect("/api/v2/pickups/?limit=5", 301))

    assert get(api)[1].startswith(b"{")
    assert [request.status for request in api.requests] == [301, 200]


def test_three_redirects_are_followed(api: Sandbox) -> None:
    api.fault(faults.redirect("/api/v2/pickups/?limit=5"), times=3)

    assert get(api)[1].startswith(b"{")
    assert [request.status for request in api.requests] == [302, 302, 302, 200]


def test_an_endless_redirect_is_an_error_after_three_redirects(api: Sandbox) -> None:
    api.fault(faults.redirect("/api/v2/pickups/?limit=5"), times=None)

    with pytest.raises(BadResponse, match="redirects more than 3 times"):
        get(api)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://127.0.0.1:1/api/v2/pickups",
        "https://127.0.0.1/pickups",
        "http://localhost/x",
        "//evil.example/x",
        "ftp://x/y",
        "http://[half/an/address",
        "http://127.0.0.1:99999/",
    ],
)
def test_nothing_is_sent_to_another_scheme_host_or_port(api: Sandbox, elsewhere: str) -> None:
    client = client_of(api)

    with pytest.raises(ForeignLink):
        client.get(elsewhere)
    assert (client.wire.sent, api.requests) == (0, [])


@contextmanager
def https_redirect_server(folder: Path, location: str) -> Iterator[tuple[int, Path, list[bytes]]]:
    """Serves a redirect to `location` over TLS, one connection at a time.

    Yields the port, the path of the certificate and the list of received requests.
    """
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, "-keyout", key, "-out", certificate]
    subprocess.run(words, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    received: list[bytes] = []

    def answer() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with context.wrap_socket(connection, server_side=True) as secure:
                    received.append(secure.recv(65_536))
                    port = listener.getsockname()[1]
                    head = f"HTTP/1.1 302 Found\r\nLocation: {location.format(port=port)}\r\nContent-Length: 0\r\n\r\n"
                    secure.sendall(head.encode())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield listener.getsockname()[1], certificate, received
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_redirect_from_https_to_http_is_refused_and_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with https_redirect_server(tmp_path, "http://127.0.0.1:{port}/api/v2/pickups/") as (port, certificate, received):
        monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
        base_url = f"https://127.0.0.1:{port}/api/v2"
        client = Client(base_url, SendcloudCredentials(public_key="public", secret_key=SECRET), 1)

        with pytest.raises(
            ForeignLink, match=f"its redirect leads to http://127.0.0.1:{port}, but .* may be sent only to https://"
        ):
            client.get(f"{base_url}/pickups")

    assert [request.splitlines()[0] for request in received] == [b"GET /api/v2/pickups HTTP/1.1"]
    assert client.wire.sent == 1


@pytest.mark.parametrize("kind", ["next link", "redirect"])
def test_a_url_that_two_parsers_read_differently_receives_no_keys(api: Sandbox, kind: str) -> None:
    """The address contains a backslash before an @.

    urllib.parse reads the text before the @ as a user name. urllib3, which sends the request, reads it as the host.
    """
    with serve(World(clock=NOW)) as foreign:
        there, here = (sandbox.base_url.split("/")[2] for sandbox in (foreign, api))
        trap = f"http://{there}\\@{here}/api/v2/pickups"
        if kind == "redirect":
            api.fault(faults.redirect(trap), times=None)
        with pytest.raises(ForeignLink, match=f"its {kind} leads to"):
            client_of(api).get(f"{api.base_url}/pickups" if kind == "redirect" else trap)
        assert foreign.requests == []


def test_proxy_variables_are_ignored_for_requests_to_loopback(api: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert get(api)[1].startswith(b"{")


@pytest.mark.parametrize("status", [401, 403])
def test_refused_keys_raise_an_error_without_a_retry(api: Sandbox, status: int) -> None:
    api.fault(lambda due: replace(due, status=status, body=b'{"error": {"message": "No."}}'), times=None)

    with pytest.raises(AuthError):
        get(api)
    assert len(api.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_busy_and_failing_servers_are_retried_up_to_the_maximum_number_of_tries(api: Sandbox, status: int) -> None:
    api.fault(faults.status(status), times=None)

    with pytest.raises(Unavailable, match=f"{status} .* after 4 tries"):
        get(api, tries=4)
    assert len(api.requests) == 4


def test_keys_echoed_by_the_server_are_masked_in_the_error(api: Sandbox) -> None:
    echo = f'{{"error": {{"message": "denied for {api.public_key}:{SECRET}"}}}}'.encode()
    api.fault(lambda due: replace(due, status=401, body=echo), times=None)

    with pytest.raises(AuthError) as refused:
        get(api)
    assert SECRET not in str(refused.value)
    assert "denied for ***:***" in str(refused.value)


def test_a_key_in_a_header_redirect_or_requested_url_does_not_appear_in_the_error(api: Sandbox) -> None:
    api.fault(lambda due: replace(due, body=b"-", content_type=f"text/{SECRET}"), times=None)
    with pytest.raises(Unavailable) as no_page:
        get(api, tries=1)
    api.heal()
    api.fault(faults.redirect(f"http://{SECRET}.example/"), times=None)
    with pytest.raises(ForeignLink) as stray:
        get(api)
    api.heal()
    api.fault(lambda due: replace(due, status=404, body=b"{}"), times=None)
    with pytest.raises(SettingsError) as lost:
        client_of(api).get(f"{api.base_url}/{SECRET}")

    assert all(SECRET not in str(error.value) for error in (no_page, stray, lost))


def test_a_long_error_page_is_shortened_to_one_line_in_the_error(api: Sandbox) -> None:
    page = b"<html>\n" + b"<p>Sorry</p>\n" * 500
    api.fault(lambda due: replace(due, status=500, body=page), times=None)

    with pytest.raises(Unavailable) as failed:
        get(api, tries=1)
    assert "\n" not in str(failed.value)
    assert len(str(failed.value)) < 450
    assert "after 1 try." in str(failed.value)


def test_a_read_timeout_is_retried(api: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.3")
    api.fault(faults.slow(1.0))

    assert get(api)[0].wire.retries == 1


@pytest.mark.parametrize(
    "base_url", ["https://panel.sendcloud.example/api/v2/", "http://localhost:1/x", "http://[::1]:1"]
)
def test_base_url_may_use_https_on_any_host_and_http_on_loopback(base_url: str) -> None:
    client = Client(base_url, SendcloudCredentials(public_key="p", secret_key="s"), 1)

    assert client.base_url == base_url.rstrip("/")


@pytest.mark.parametrize(
    "base_url",
    ["http://127.0.0.1.evil.example/", "http://10.0.0.1/", "file:///etc/passwd", "", "http://[", "https://h:99999/"],
)
def test_http_outside_loopback_and_invalid_addresses_are_refused_as_base_url(base_url: str) -> None:
    with pytest.raises(SettingsError, match="base_url"):
        Client(base_url, SendcloudCredentials(public_key="p", secret_key="s"), 1)
