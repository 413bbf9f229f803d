"""Tests which responses are requested again, and that a status counts only if the API sent it."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from sources.sendcloud.errors import AuthError, BadResponse, ForeignLink, SendcloudError, SettingsError, Unavailable
from sources.sendcloud.http import transport
from sources.sendcloud.http.client import Client, SendcloudCredentials
from sources.sendcloud.http.network_variables import BUNDLES
from sources.sendcloud.http.responses import retry_after_seconds, served_at
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.bad_input import outcome
from tests.support.cases import quick
from tests.support.clock import Clock
from tests.support.installation import API_VERSION, Installation, as_rows
from tests.support.oauth import client_of as client_with_oauth
from tests.support.worlds import NOW

pytestmark = pytest.mark.v3
HTML = b"<html><body>Access denied by the firewall</body></html>"


@pytest.fixture
def api() -> Iterator[Sandbox]:
    world = World(clock=NOW)
    world.book()
    with serve(world) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def _no_variables_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*BUNDLES, "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def get(api: Sandbox, tries: int = 3) -> Client:
    client = Client(api.base_url, SendcloudCredentials(public_key=api.public_key, secret_key=api.secret_key), tries)
    client.get(f"{api.base_url}/pickups")
    return client


def documented(status: int, message: str = "No.", v3: bool = False) -> faults.Fault:
    error = {"errors": [{"detail": message}]} if v3 else {"error": {"message": message, "code": status}}
    return lambda due: replace(due, status=status, body=json.dumps(error).encode(), content_type="application/json")


def html(status: int) -> faults.Fault:
    return lambda due: replace(due, status=status, body=HTML, content_type="text/html")


@pytest.mark.parametrize("status", [408, 421, 425, 429, 500, 502, 503, 504, 507, 599, 700])
def test_a_status_of_the_moment_is_requested_again(api: Sandbox, status: int) -> None:
    api.fault(documented(status), times=2)

    assert get(api).wire.retries == 2
    api.fault(documented(status), times=None)
    with pytest.raises(Unavailable, match=f"{status} No., after 3 tries"):
        get(api)


@pytest.mark.parametrize("status", [206, 400, 402, 405, 409, 410, 416, 422, 426, 431, 451, 501, 505, 506, 510])
def test_a_status_that_stays_is_not_requested_again(api: Sandbox, status: int) -> None:
    api.fault(documented(status), times=None)

    with pytest.raises(BadResponse, match=f"{status} No"):
        get(api)
    assert len(api.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 451])
@pytest.mark.parametrize(
    ("body", "kind"), [(HTML, "an HTML page"), (b"", "an empty body"), (b"no", "a body that is not JSON")]
)
def test_a_status_without_an_answer_of_the_api_is_requested_again(
    api: Sandbox, status: int, body: bytes, kind: str
) -> None:
    page = html(status)
    api.fault(lambda due: replace(page(due), body=body, content_type="text/html" if body == HTML else ""), times=2)
    assert get(api).wire.retries == 2

    api.fault(lambda due: replace(page(due), body=body, content_type="text/html" if body == HTML else ""), times=None)
    with pytest.raises(Unavailable, match=f"{status} with {kind}, not a response from Sendcloud .*, after 3 tries"):
        get(api)


def test_a_firewalls_page_exits_4_and_does_not_blame_the_keys(installation: Installation, api: Sandbox) -> None:
    api.fault(html(403), times=None)

    code, message = outcome(installation.command("run", api=api))
    checked = installation.command("check", api=api)

    assert code == 4
    assert "403 with an HTML page, not a response from Sendcloud" in message
    assert "secret_key" not in message
    assert checked.returncode == 4
    assert "an HTML page, not a response from Sendcloud" in checked.stdout


@pytest.mark.parametrize(("status", "error"), [(401, AuthError), (403, AuthError), (404, SettingsError)])
def test_a_documented_error_means_what_the_documents_say(
    api: Sandbox, status: int, error: type[SendcloudError]
) -> None:
    api.fault(documented(status), times=None)

    with pytest.raises(error):
        get(api)
    assert len(api.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_page_of_html_from_the_token_endpoint_says_nothing_about_the_client_id(api: Sandbox, status: int) -> None:
    api.fault(html(status), page="token", times=None)

    with pytest.raises(Unavailable, match=f"POST .*: {status} with an HTML page, not a response from Sendcloud"):
        client_with_oauth(api, secret=api.client_secret).get(f"{api.base_url}/pickups")
    assert [request.method for request in api.requests] == ["POST"] * 3


@pytest.mark.parametrize(
    ("message", "is_about_it"),
    quick(
        [
            ("{size}: Ensure this value is less than or equal to 100.", True),
            ("Invalid {size}", True),
            ("The rate {size} is exceeded.", False),
            ("No.", False),
        ],
        only=(0, 2),
    ),
)
def test_a_400_about_the_page_size_names_the_setting(
    installation: Installation, api: Sandbox, message: str, is_about_it: bool
) -> None:
    size = "page_size" if API_VERSION == "v3" else "limit"
    api.fault(documented(400, message.format(size=size), v3=API_VERSION == "v3"), times=None)

    code, text = outcome(installation.command("run", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="90"))

    assert code == (3 if is_about_it else 4)
    assert ("page_size (SOURCES__SENDCLOUD__PAGE_SIZE in the environment) 90 is refused" in text) == is_about_it
    assert len(api.requests) == 1
    checked = installation.command("check", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="90")
    assert ("90 is refused" in checked.stdout) == is_about_it


# Clocks


@pytest.mark.parametrize("date", ["Mon, 23 Nov 2026 08:00:00 -0000", "Mon, 23 Nov 2026 08:00:00", "23 Nov 2026 08:00"])
def test_a_date_without_a_zone_is_in_gmt(monkeypatch: pytest.MonkeyPatch, date: str) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        served = served_at({"Date": date})
        wait = retry_after_seconds({"Date": "Mon, 23 Nov 2026 07:59:30 GMT", "Retry-After": date})
    finally:
        monkeypatch.undo()
        time.tzset()

    assert served == datetime(2026, 11, 23, 8, tzinfo=UTC)
    assert wait == 30


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [("20", 20.0), ("Mon, 23 Nov 2026 08:00:07 -0000", 7.0), ("soon", 0.0)]
)
def test_a_redirect_is_followed_after_the_wait_that_it_asks_for(
    monkeypatch: pytest.MonkeyPatch, api: Sandbox, retry_after: str, seconds: float
) -> None:
    clock = Clock()
    monkeypatch.setattr(transport, "time", clock)
    api.world.clock = datetime(2026, 11, 23, 8, tzinfo=UTC)
    move = faults.redirect("/api/v2/pickups/", 302)
    api.fault(lambda due: replace(move(due), headers={**move(due).headers, "Retry-After": retry_after}))

    assert get(api).wire.waited_seconds == seconds
    assert clock.now == 1_000.0 + seconds


def test_a_redirect_that_asks_for_a_wait_of_a_day_ends_the_run(api: Sandbox) -> None:
    move, later = faults.redirect("/api/v2/pickups/", 307), str(int(timedelta(days=1).total_seconds()))
    api.fault(lambda due: replace(move(due), headers={**move(due).headers, "Retry-After": later}), times=None)

    with pytest.raises(Unavailable, match=r"307, and the server asks for a wait of 86,400 s, after 1 try\."):
        get(api)


# Encodings


@pytest.mark.parametrize("encoding", ["zstd", "br", "compress", "klingon", "gzip, gzip", "gzip, br", "\x9b31m"])
def test_a_page_in_an_encoding_nobody_asked_for_ends_the_run_after_one_try(api: Sandbox, encoding: str) -> None:
    raw = b"\x28\xb5\x2f\xfd\x00raw bytes"
    api.fault(lambda due: replace(due, body=raw, headers={"Content-Encoding": encoding}), times=None)

    with pytest.raises(BadResponse) as told:
        get(api)

    assert f"the body has Content-Encoding {encoding!r}, but the request offered gzip, deflate." in str(told.value)
    assert "raw bytes" not in str(told.value)
    assert len(api.requests) == 1


def test_the_body_of_an_error_in_such_an_encoding_is_not_shown(api: Sandbox) -> None:
    zstd = {"Content-Encoding": "zstd"}
    api.fault(lambda due: replace(due, status=503, body=b"\x28\xb5raw", headers=zstd), times=2)
    assert get(api).wire.retries == 2

    api.fault(lambda due: replace(due, status=503, body=b"\x28\xb5raw", headers=zstd), times=None)
    with pytest.raises(Unavailable, match=r": 503, after 3 tries\."):
        get(api)


# Links with http


@contextmanager
def behind_a_proxy(folder: Path, pages: list[dict[str, object]]) -> Iterator[tuple[str, Path, list[str]]]:
    """Serves pages by https on 127.0.0.1, as a server does that does not know that it is reached by https."""
    key, certificate, asked = folder / "key.pem", folder / "certificate.pem", list[str]()
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, "-keyout", key, "-out", certificate]
    subprocess.run(words, check=True, capture_output=True)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages[min(len(asked), len(pages) - 1)]
            asked.append(self.path)
            body = json.dumps(page).replace("PORT", str(server.server_port)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_port}/api/v2", certificate, asked
    finally:
        server.shutdown()
        server.server_close()


def test_a_next_link_with_http_to_our_own_https_host_is_requested_by_https(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = World(clock=NOW)
    world.book()
    world.book()
    first, second = world.records()
    pages: list[dict[str, object]] = [
        {"pickups": [second], "next": "http://127.0.0.1:PORT/api/v2/pickups?cursor=a"},
        {"pickups": [first], "next": None},
    ]
    with behind_a_proxy(tmp_path, pages) as (base_url, certificate, asked):
        monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
        settings = {"SOURCES__SENDCLOUD__BASE_URL": base_url, "SOURCES__SENDCLOUD__API_VERSION": "v2"}
        keys = {f"SOURCES__SENDCLOUD__CREDENTIALS__{name}_KEY": "a" * 32 for name in ("PUBLIC", "SECRET")}
        done = installation.command("run", **settings, **keys)

    assert done.returncode == 0, done.stderr
    assert asked == ["/api/v2/pickups?limit=500", "/api/v2/pickups?cursor=a"]
    assert installation.pickups() == as_rows([first, second], api_version="v2")
    assert "1 next link from Sendcloud began with http; the pages were requested over https" in done.stdout
    assert installation.rows("select links_by_https from sendcloud.pickup_runs") == [{"links_by_https": 1}]


@pytest.mark.parametrize(
    ("base_url", "link", "sent"),
    [
        ("https://panel.example/api", "http://panel.example/x?cursor=a", "https://panel.example/x?cursor=a"),
        ("https://panel.example/api", "http://panel.example:80/x", "https://panel.example/x"),
        ("https://panel.example:443/api", "http://PANEL.example/x", "https://panel.example/x"),
        ("https://panel.example:8443/api", "http://panel.example:8443/x", "https://panel.example:8443/x"),
        ("https://panel.example/api", "http://panel.example:443/x", "https://panel.example:443/x"),
        ("https://panel.example/api", "http://panel.example:8080/x", None),
        ("https://panel.example:8443/api", "http://panel.example/x", None),
        ("https://panel.example/api", "http://other.example/x", None),
        ("https://panel.example/api", "http://panel.example.evil.example/x", None),
        ("https://panel.example/api", "http://user@panel.example/x", None),
        ("https://panel.example/api", "ftp://panel.example/x", None),
        ("http://127.0.0.1:1/api", "https://127.0.0.1:1/x", None),
    ],
)
def test_only_the_scheme_of_a_link_to_our_own_host_is_corrected(base_url: str, link: str, sent: str | None) -> None:
    client = Client(base_url, SendcloudCredentials(public_key="public", secret_key="secret"), 1)
    corrected = client._by_https(link)

    if sent:
        assert client._check_origin(corrected, "next link") == sent
    else:
        with pytest.raises(ForeignLink):
            client._check_origin(corrected, "next link")
    assert client.links_by_https == bool(sent)


# The environment


def new_client(base_url: str = "https://panel.sendcloud.example/api/v2") -> Client:
    return Client(base_url, SendcloudCredentials(public_key="public", secret_key="secret"), 1)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("missing", "which can't be read: No such file or directory"),
        ("text", "which contains no certificate in PEM format"),
        ("empty", "which contains no certificate in PEM format"),
        ("folder", "a folder without certificates that openssl rehash has prepared"),
        ("broken", "which contains no certificate in PEM format"),
    ],
)
def test_a_bundle_of_certificates_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, problem: str
) -> None:
    bundle = tmp_path / kind
    begin = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    if kind == "folder":
        bundle.mkdir()
    elif kind != "missing":
        bundle.write_text({"text": "no", "empty": "", "broken": begin}[kind])
    monkeypatch.setenv(name, str(bundle))

    with pytest.raises(SettingsError) as told:
        new_client()
    assert str(told.value).startswith(f"{name} in the environment is {str(bundle)!r}, {problem}. Correct the variable")


def test_a_run_with_an_unusable_bundle_exits_3_and_check_says_so(installation: Installation) -> None:
    keys = {f"SOURCES__SENDCLOUD__CREDENTIALS__{name}_KEY": "a" * 32 for name in ("PUBLIC", "SECRET")}
    wrong = {**keys, "REQUESTS_CA_BUNDLE": "/nonexistent.pem"}

    code, message = outcome(installation.command("run", **wrong))
    checked = installation.command("check", **wrong)

    assert (code, checked.returncode) == (3, 3)
    assert "REQUESTS_CA_BUNDLE in the environment is '/nonexistent.pem', which can't be read" in message
    assert "error   settings   default: REQUESTS_CA_BUNDLE in the environment is '/non" in checked.stdout


def test_a_bundle_that_can_be_used_is_accepted_and_loopback_needs_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, api: Sandbox
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", requests.certs.where())
    monkeypatch.setenv("CURL_CA_BUNDLE", "/nonexistent.pem")  # requests looks at it only without the other one
    new_client()

    (tmp_path / "0123abcd.0").write_text("")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    new_client()

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent.pem")
    assert get(api).wire.sent == 1


def test_ssl_cert_file_has_no_effect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent.pem")
    with behind_a_proxy(tmp_path, [{"pickups": [], "next": None}]) as (base_url, certificate, _asked):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
        assert new_client(base_url).get(f"{base_url}/pickups").body.startswith(b"{")


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    ("proxy", "problem"),
    [
        ("http://", "names no host"),
        ("http://:3128", "names no host"),
        ("http://user:s3cret@", "names no host"),
        ("ftp://proxy.example:21", "has the scheme 'ftp', which is not a proxy scheme"),
        ("http://proxy.example:port", "is not a URL"),
        ("http://[::1", "is not a URL"),
        ("http://proxy.example:99999", "is not a URL"),
    ],
)
def test_a_proxy_that_is_no_url_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, proxy: str, problem: str
) -> None:
    monkeypatch.setenv(name, proxy)

    with pytest.raises(SettingsError) as told:
        new_client()
    assert str(told.value) == f"{name} in the environment {problem}. Write it as http://HOST:PORT, or unset it."


@pytest.mark.parametrize(
    "variables",
    [
        {"HTTPS_PROXY": "proxy.example:3128"},
        {"HTTPS_PROXY": "http://user:pass@proxy.example:3128"},
        {"HTTPS_PROXY": "http://[2001:db8::1]:3128"},
        {"HTTP_PROXY": "http://"},  # the API is reached by https
        {"HTTPS_PROXY": "http://", "NO_PROXY": ".sendcloud.example"},
        {"HTTPS_PROXY": "http://", "NO_PROXY": "*"},
        {"HTTPS_PROXY": ""},
        {"NO_PROXY": "10.0.0.0/99,[::1,,//"},
    ],
)
def test_other_proxies_are_accepted(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    new_client()


# Keys


@pytest.mark.parametrize("name", ["public_key", "secret_key"])
@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("abc ", "starts or ends with a space or a line break"),
        (" abc", "starts or ends with a space or a line break"),
        ("abc\t", "starts or ends with a space or a line break"),
        ("\u00a0abc", "starts or ends with a space or a line break"),
        ("abc\n", "starts or ends with a space or a line break"),
        ('"abc"', "has quotes around it"),
        ("'abc'", "has quotes around it"),
        ("`abc`", "has quotes around it"),
        ("“abc”", "has quotes around it"),
        ("   ", "is empty"),
        ("ab\ufeffc", "has invalid characters"),
        ("ab\u200bc", "has invalid characters"),
    ],
)
def test_a_key_with_a_slip_of_the_clipboard_is_named_before_anything_is_sent(
    api: Sandbox, name: str, key: str, problem: str
) -> None:
    keys = {"public_key": "public", "secret_key": "secret"} | {name: key}

    with pytest.raises(SettingsError, match=rf"\] credentials.{name} {problem}\. Copy the value again"):
        Client(api.base_url, SendcloudCredentials(**keys), 1)
    assert api.requests == []


def test_a_colon_is_refused_in_a_public_key_and_accepted_in_a_secret_key_and_in_a_client_id(api: Sandbox) -> None:
    with pytest.raises(SettingsError, match="public_key has a colon"):
        Client(api.base_url, SendcloudCredentials(public_key="a:b", secret_key="secret"), 1)

    Client(api.base_url, SendcloudCredentials(public_key="a", secret_key="b:c"), 1)
    Client(api.base_url, SendcloudCredentials(client_id="a:b", client_secret="c"), 1)
