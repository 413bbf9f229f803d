"""A page on its way: how large, how slow and in what encoding it may be, and what must not stand in it."""

from __future__ import annotations

import json
import tracemalloc
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter

import pytest

from sources.sendcloud import wire
from sources.sendcloud.client import Client, SendcloudCredentials
from sources.sendcloud.errors import BadReply, Unavailable
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.installation import SECRET, Installation
from tests.support.worlds import NOW

MIB = 2**20


@pytest.fixture
def api() -> Iterator[Sandbox]:
    """One pickup, with words that not every encoding has in the same bytes."""
    world = World(clock=NOW)
    world.book(note="Köln, à côté")
    with serve(world, secret_key=SECRET) as sandbox:
        yield sandbox


def client_of(api: Sandbox, tries: int = 3) -> Client:
    return Client(api.base_url, SendcloudCredentials(public_key=api.public_key, secret_key=api.secret_key), tries)


def body(api: Sandbox, tries: int = 3) -> bytes:
    return client_of(api, tries).get(f"{api.base_url}/pickups").body


# How large


@pytest.fixture
def one_mib(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(wire, "BODY_LIMIT", MIB)
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
def test_a_body_over_the_limit_ends_the_call_before_it_fills_the_memory(api: Sandbox, fault: faults.Fault) -> None:
    api.fault(fault, times=None)

    tracemalloc.start()
    with pytest.raises(BadReply, match="larger than 1 MiB"):
        body(api)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(api.requests) == 1
    assert most < 3 * MIB


def test_a_body_up_to_the_limit_is_a_page(api: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    page = body(api)
    monkeypatch.setattr(wire, "BODY_LIMIT", len(page))
    assert body(api) == page

    monkeypatch.setattr(wire, "BODY_LIMIT", len(page) - 1)
    with pytest.raises(BadReply):
        body(api)


def test_the_limit_is_64_mib() -> None:
    assert wire.BODY_LIMIT == 67_108_864


@pytest.mark.parametrize(
    "fault",
    [faults.gzipped(), faults.chunked(), faults.together(faults.gzipped(), faults.chunked())],
    ids=["packed", "in chunks", "packed in chunks"],
)
def test_a_page_may_come_packed_and_in_chunks(api: Sandbox, fault: faults.Fault) -> None:
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
    ids=["not packed", "truncated", "cut", "cut in chunks", "cut packed in chunks"],
)
def test_a_body_that_cannot_be_unpacked_whole_is_asked_for_again(api: Sandbox, fault: faults.Fault) -> None:
    page = body(api)
    api.fault(fault, times=2)
    assert body(api) == page

    api.fault(fault, times=None)
    with pytest.raises(Unavailable, match="after 3 tries"):
        body(api)


# How slow


@pytest.mark.parametrize(
    "fault",
    [
        faults.drip(0.05),
        faults.together(faults.drip(0.05), faults.chunked()),
        faults.together(faults.gzipped(), faults.drip(0.05)),
        faults.together(faults.drip(0.05), lambda due: replace(due, status=503)),
    ],
    ids=["plain", "in chunks", "packed", "503"],
)
def test_a_body_that_drips_is_given_up_when_its_time_is_over(
    api: Sandbox, monkeypatch: pytest.MonkeyPatch, fault: faults.Fault
) -> None:
    """Of some 300 bytes, one every 0.05 s: no read waits as long as 0.3 s, the whole would take 15 s."""
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.3")
    api.fault(fault, times=None)

    started = perf_counter()
    with pytest.raises(Unavailable, match=r"not complete 0\.3 s after it was asked for, after 2 tries"):
        body(api, tries=2)
    assert 0.6 <= perf_counter() - started < 10


def test_a_body_that_dripped_once_is_asked_for_again(api: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", "0.3")
    page = body(api)
    api.fault(faults.drip(0.05))

    assert body(api) == page
    assert [request.status for request in api.requests] == [200, 200, 200]


def test_a_body_that_drips_quickly_enough_is_a_page(api: Sandbox) -> None:
    page = body(api)
    api.fault(faults.drip(0.0002))

    assert body(api, tries=1) == page


# In what encoding


@pytest.mark.parametrize(
    ("codec", "content_type"),
    [
        ("utf-8-sig", "application/json"),
        ("utf-8-sig", "application/json; charset=iso-8859-1"),  # the mark is in the body itself
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
def test_an_encoding_that_is_told_is_read(api: Sandbox, codec: str, content_type: str) -> None:
    page = body(api)
    api.fault(faults.encoded(codec, content_type))

    assert body(api, tries=1) == page
    assert "Köln, à côté" in page.decode()


@pytest.mark.parametrize(
    ("codec", "charset"),
    [
        ("utf-8", "klingon"),
        ("utf-8", "rot13"),  # Python knows it, as no encoding of text
        ("utf-8", "utf-16"),  # an odd number of bytes
        ("iso-8859-1", "ascii\0"),
        ("iso-8859-1", "shift_jis"),
    ],
)
def test_an_encoding_in_which_it_cannot_be_read_is_refused_at_once(api: Sandbox, codec: str, charset: str) -> None:
    odd = faults.encoded(codec, f"application/json; charset={charset}")
    api.fault(lambda due: replace(odd(due), body=odd(due).body.ljust(501)), times=None)

    with pytest.raises(BadReply, match=r"can't be read as .*, the encoding that it comes in"):
        body(api)
    assert len(api.requests) == 1


@pytest.mark.slow
def test_latin_1_that_nobody_told_costs_its_own_record_only(installation: Installation, api: Sandbox) -> None:
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


# What must not stand in it


def percent(text: str) -> str:
    return "".join(f"%{ord(character):02x}" for character in text)


PAIR = b64encode(f"sandbox-public-key:{SECRET}".encode()).decode()


@pytest.mark.parametrize(
    "spelling",
    [
        SECRET,
        percent(SECRET),
        SECRET.replace("-", "\\/").replace("\\/", "\\u002D"),
        PAIR,
        PAIR.rstrip("="),
        percent(PAIR),
    ],
    ids=["plain", "in a link", "escaped", "the pair", "the pair without its end", "the pair in a link"],
)
def test_an_answer_that_repeats_the_secret_key_is_refused(api: Sandbox, spelling: str) -> None:
    api.fault(lambda due: replace(due, body=due.body.replace(b"K\xc3\xb6ln", f"<{spelling}>".encode())), times=None)

    with pytest.raises(BadReply, match="it repeats the secret key") as refused:
        body(api)
    assert spelling not in str(refused.value)
    assert len(api.requests) == 1


def test_it_is_refused_in_utf_16_too(api: Sandbox) -> None:
    api.world.book(note=SECRET)
    api.fault(faults.encoded("utf-16"))

    with pytest.raises(BadReply, match="it repeats the secret key"):
        body(api)


def test_a_key_so_short_that_it_may_stand_there_by_chance_is_no_reason(api: Sandbox) -> None:
    with serve(api.world, secret_key="Created", public_key="p") as short:
        assert b"Created" in body(short)

        api.world.book(note=b64encode(b"p:Created").decode())
        with pytest.raises(BadReply, match="it repeats the secret key"):
            body(short)


@pytest.mark.parametrize("spelling", [percent(SECRET), SECRET.replace("-", "\\u002d")])
def test_a_key_in_another_spelling_does_not_get_into_an_error_either(api: Sandbox, spelling: str) -> None:
    api.fault(lambda due: replace(due, status=500, body=f"no: {spelling}".encode()), times=None)

    with pytest.raises(Unavailable) as failed:
        body(api, tries=1)
    assert spelling not in str(failed.value)
    assert "it repeats the keys" in str(failed.value)


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_that_is_nested_without_end_is_an_error_and_not_a_crash(api: Sandbox, status: int) -> None:
    nested = b'{"error":' * 100_000 + b"}"
    api.fault(lambda due: replace(due, status=status, body=nested), times=None)

    if status == 200:
        assert body(api) == nested
    else:
        with pytest.raises(Unavailable, match="500 "):
            body(api)
