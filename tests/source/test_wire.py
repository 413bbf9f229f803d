"""Tests the size, speed and encoding of a response body, and the secrets that it must not contain."""

from __future__ import annotations

import json
import tracemalloc
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter

import pytest

from sources.sendcloud.errors import BadResponse, Unavailable
from sources.sendcloud.http import transport
from sources.sendcloud.http.client import Client, SendcloudCredentials
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.installation import SECRET, Installation
from tests.support.worlds import NOW

MIB = 2**20


@pytest.fixture
def api() -> Iterator[Sandbox]:
    """Serves one pickup. The bytes of its note differ between encodings."""
    world = World(clock=NOW)
    world.book(note="Köln, à côté")
    with serve(world, secret_key=SECRET) as sandbox:
        yield sandbox


def client_of(api: Sandbox, tries: int = 3) -> Client:
    return Client(api.base_url, SendcloudCredentials(public_key=api.public_key, secret_key=api.secret_key), tries)


def body(api: Sandbox, tries: int = 3) -> bytes:
    return client_of(api, tries).get(f"{api.base_url}/pickups").body


# Size


@pytest.fixture
def one_mib(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", MIB)
    return MIB


@pytest.mark.parametrize(
    "fault",
    [
        faults.huge(20 * MIB),
        faults.together(faults.huge(20 * MIB), faults.chunked()),
        faults.gzipped(20 * MIB),
        faults.together(faults.gzipped(20 * MIB), faults.chunked()),
        faults.together(faults.huge(20 * MIB), lambda due: replace(due, status=503)),
    ],
    ids=["huge", "huge in chunks", "bomb", "bomb in chunks", "huge 503"],
)
@pytest.mark.usefixtures("one_mib")
def test_a_body_over_the_size_limit_is_refused_before_it_fills_the_memory(api: Sandbox, fault: faults.Fault) -> None:
    api.fault(fault, times=None)

    tracemalloc.start()
    with pytest.raises(BadResponse, match="larger than 1 MiB"):
        body(api)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(api.requests) == 1
    assert most < 3 * MIB


def test_a_body_of_exactly_the_size_limit_is_accepted(api: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    page = body(api)
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", len(page))
    assert body(api) == page

    monkeypatch.setattr(transport, "MAX_BODY_BYTES", len(page) - 1)
    with pytest.raises(BadResponse):
        body(api)


def test_the_size_limit_is_64_mib() -> None:
    assert transport.MAX_BODY_BYTES == 67_108_864


@pytest.mark.parametrize(
    "fault",
    [faults.gzipped(), faults.chunked(), faults.together(faults.gzipped(), faults.chunked())],
    ids=["compressed", "in chunks", "compressed in chunks"],
)
def test_a_page_may_be_compressed_and_chunked(api: Sandbox, fault: faults.Fault) -> None:
    client, address = client_of(api), f"{api.base_url}/pickups"
    plain = client.get(address).body
    api.fault(fault, times=2)

    assert [client.get(address).body for _ in range(3)] == [plain] * 3
    assert client.wire.retries == 0


@pytest.mark.parametrize(
    "fault",
    [
        lambda due: replace(due, headers={"Content-Encoding": "gzip"}),
        faults.together(faults.gzipped(), faults.truncated()),
        faults.together(faults.gzipped(), faults.cut()),
        faults.together(faults.chunked(), faults.cut()),
        faults.together(faults.gzipped(), faults.chunked(), faults.cut()),
    ],
    ids=["not compressed", "truncated", "cut", "cut in chunks", "cut compressed in chunks"],
)
def test_an_incomplete_or_wrongly_compressed_body_is_requested_again(api: Sandbox, fault: faults.Fault) -> None:
    page = body(api)
    api.fault(fault, times=2)
    assert body(api) == page

    api.fault(fault, times=None)
    with pytest.raises(Unavailable, match="after 3 tries"):
        body(api)


# Speed


@pytest.mark.parametrize(
    "fault",
    [
        faults.drip(0.05),
        faults.together(faults.drip(0.05), faults.chunked()),
        faults.together(faults.gzipped(), faults.drip(0.05)),
        faults.together(faults.drip(0.05), lambda due: replace(due, status=503)),
    ],
    ids=["plain", "in chunks", "compressed", "503"],
)
def test_a_body_that_arrives_too_slowly_is_abandoned_at_the_timeout(
    api: Sandbox, monkeypatch: pytest.MonkeyPatch, fault: faults.Fault
) -> None:
    """The body has about 300 bytes and arrives at one byte every 0.05 s.

    No single read waits as long as 0.3 s, but the whole body would take 15 s.
    """
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.3")
    api.fault(fault, times=None)

    started = perf_counter()
    with pytest.raises(Unavailable, match=r"not complete 0\.3 s after the request, after 2 tries"):
        body(api, tries=2)
    assert 0.6 <= perf_counter() - started < 10


def test_a_body_that_was_too_slow_once_is_requested_again(api: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.3")
    page = body(api)
    api.fault(faults.drip(0.05))

    assert body(api) == page
    assert [request.status for request in api.requests] == [200, 200, 200]


def test_a_slow_body_that_is_complete_before_the_timeout_is_accepted(api: Sandbox) -> None:
    page = body(api)
    api.fault(faults.drip(0.0002))

    assert body(api, tries=1) == page


# Encoding


@pytest.mark.parametrize(
    ("codec", "content_type"),
    [
        ("utf-8-sig", "application/json"),
        ("utf-8-sig", "application/json; charset=iso-8859-1"),  # the body's byte order mark counts
        ("utf-16", "application/json"),
        ("utf-16", "application/json; charset=utf-16"),
        ("utf-16-le", "application/json; charset=utf-16"),
        ("utf-16-be", "application/json; charset=UTF-16"),
        ("utf-16-be", "application/json"),
        ("utf-32", "application/json"),
        ("iso-8859-1", "application/json; charset=ISO-8859-1"),
        ("cp1252", 'application/json; charset="windows-1252"'),
        ("utf-8", "application/json; charset=utf8"),
        ("utf-8", "application/json; charset=us-ascii"),
        ("utf-8", "text/plain"),
        ("utf-8", ""),
    ],
)
def test_a_declared_or_detectable_encoding_is_decoded(api: Sandbox, codec: str, content_type: str) -> None:
    page = body(api)
    api.fault(faults.encoded(codec, content_type))

    assert body(api, tries=1) == page
    assert "Köln, à côté" in page.decode()


@pytest.mark.parametrize(
    ("codec", "charset"),
    [
        ("utf-8", "klingon"),
        ("utf-8", "rot13"),  # a Python codec, but not a text encoding
        ("utf-8", "utf-16"),  # the body has an odd number of bytes
        ("iso-8859-1", "ascii\0"),
        ("iso-8859-1", "shift_jis"),
    ],
)
def test_a_body_that_its_declared_encoding_cannot_decode_is_refused_without_a_retry(
    api: Sandbox, codec: str, charset: str
) -> None:
    odd = faults.encoded(codec, f"application/json; charset={charset}")
    api.fault(lambda due: replace(odd(due), body=odd(due).body.ljust(501)), times=None)

    with pytest.raises(BadResponse, match=r"body can't be decoded as "):
        body(api)
    assert len(api.requests) == 1


@pytest.mark.slow
def test_undeclared_latin_1_quarantines_only_the_affected_record(installation: Installation, api: Sandbox) -> None:
    for carrier in ("dpd", "dhl"):
        api.world.book(carrier=carrier)
    odd = api.world.book(carrier="pošta")
    sound = {record["id"] for record in api.world.records()} - {odd}
    api.fault(lambda due: replace(due, body=due.body.replace("š".encode(), b"\xe9")), times=None)

    receipt = installation.run(api)

    assert (receipt.outcome, receipt.quarantined) == ("succeeded", 1)
    assert {row["id"] for row in installation.pickups()} == sound
    (kept,) = installation.rows("select record from sendcloud.pickups_quarantine")
    assert "po\\\\udce9ta" in kept["record"]
    assert json.loads(kept["record"])["id"] == odd


# Secrets in the body


def percent_encoded(text: str) -> str:
    return "".join(f"%{ord(character):02x}" for character in text)


PAIR = b64encode(f"sandbox-public-key:{SECRET}".encode()).decode()


@pytest.mark.parametrize(
    "spelling",
    [
        SECRET,
        percent_encoded(SECRET),
        SECRET.replace("-", "\\/").replace("\\/", "\\u002D"),
        PAIR,
        PAIR.rstrip("="),
        percent_encoded(PAIR),
    ],
    ids=["plain", "in a link", "escaped", "the pair", "the pair without padding", "the pair in a link"],
)
def test_a_response_that_repeats_the_secret_key_is_refused(api: Sandbox, spelling: str) -> None:
    api.fault(lambda due: replace(due, body=due.body.replace(b"K\xc3\xb6ln", f"<{spelling}>".encode())), times=None)

    with pytest.raises(BadResponse, match="the response repeats the secret key") as refused:
        body(api)
    assert spelling not in str(refused.value)
    assert len(api.requests) == 1


def test_a_response_in_utf_16_that_repeats_the_secret_key_is_refused(api: Sandbox) -> None:
    api.world.book(note=SECRET)
    api.fault(faults.encoded("utf-16"))

    with pytest.raises(BadResponse, match="the response repeats the secret key"):
        body(api)


def test_a_short_secret_key_may_occur_in_a_response_but_the_encoded_pair_may_not(api: Sandbox) -> None:
    with serve(api.world, secret_key="Created", public_key="p") as short:
        assert b"Created" in body(short)

        api.world.book(note=b64encode(b"p:Created").decode())
        with pytest.raises(BadResponse, match="the response repeats the secret key"):
            body(short)


@pytest.mark.parametrize("spelling", [percent_encoded(SECRET), SECRET.replace("-", "\\u002d")])
def test_an_encoded_key_in_an_error_page_does_not_appear_in_the_error(api: Sandbox, spelling: str) -> None:
    api.fault(lambda due: replace(due, status=500, body=f"no: {spelling}".encode()), times=None)

    with pytest.raises(Unavailable) as failed:
        body(api, tries=1)
    assert spelling not in str(failed.value)
    assert "the text repeats the keys" in str(failed.value)


@pytest.mark.parametrize("status", [200, 500])
def test_a_deeply_nested_response_does_not_crash_the_client(api: Sandbox, status: int) -> None:
    nested = b'{"error":' * 100_000 + b"}"
    api.fault(lambda due: replace(due, status=status, body=nested), times=None)

    if status == 200:
        assert body(api) == nested
    else:
        with pytest.raises(Unavailable, match="500 "):
            body(api)
