"""Tests quick runs over TLS: only a server whose certificate is trusted receives the keys."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import certifi
import pytest
import requests

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.both_ways import Files, differences, left_by_run, ordinary, quick
from tests.support.installation import API_VERSION, Installation

BOOKED = 12


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1, in one file with its key."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, "-keyout", key, "-out", certificate]
    subprocess.run(words, check=True, capture_output=True)
    certificate.write_text(certificate.read_text() + key.read_text())
    return certificate


@contextmanager
def by_https(api: Sandbox, certificate: Path) -> Iterator[str]:
    """Yields the address of the API behind a server that speaks TLS and passes everything on.

    At the end, every thread has ended and every socket is closed.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError, ValueError):
            while data := source.recv(65_536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def connect(plain: socket.socket) -> None:
        with (
            suppress(OSError),
            context.wrap_socket(plain, server_side=True) as secure,
            socket.create_connection((host, int(port))) as onward,
            ThreadPoolExecutor() as both,
        ):
            open_sockets.update((secure, onward))
            both.submit(pass_on, secure, onward)
            both.submit(pass_on, onward, secure)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threads.submit(connect, listener.accept()[0])

    host, port = api.origin.removeprefix("http://").split(":")
    open_sockets: set[socket.socket] = set()
    with ThreadPoolExecutor() as threads, socket.create_server(("127.0.0.1", 0)) as listener:
        threads.submit(serve)
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}/api/{API_VERSION}"
        finally:
            for open_socket in (listener, *open_sockets):
                with suppress(OSError):
                    open_socket.shutdown(socket.SHUT_RDWR)


def test_a_trusted_server_is_read_the_quick_way(
    installation: Installation, world: World, api: Sandbox, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(BOOKED):
        world.book()
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
    monkeypatch.setattr(certifi, "where", lambda: str(certificate))
    with by_https(api, certificate) as address:
        ordinary(installation, api, base_url=address)
        before = Files(installation)
        done = quick(installation, api, base_url=address)
        left = left_by_run(installation)
        before.restore()
        ordinary(installation, api, base_url=address)

    assert done
    assert done.receipts[0].rows_unchanged == BOOKED
    assert differences(left, left_by_run(installation)) == []


def test_a_server_without_a_trusted_certificate_receives_nothing(
    installation: Installation, world: World, api: Sandbox, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(BOOKED):
        world.book()
    with by_https(api, certificate) as address:
        with monkeypatch.context() as patched:
            patched.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
            ordinary(installation, api, base_url=address)
        asked = len(api.requests)

        assert quick(installation, api, base_url=address) is None

    assert len(api.requests) == asked
