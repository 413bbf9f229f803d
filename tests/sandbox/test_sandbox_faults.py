"""Tests the faults that a test can inject into the sandbox."""

from __future__ import annotations

import json
import socket
import threading
import tracemalloc
from datetime import timedelta
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.sandbox_answers import MONDAY, get, ids, walk
from tests.support.sandbox_answers import seven as seven


@pytest.mark.parametrize("code", [500, 502, 503])
def test_a_status_fault_applies_as_often_as_requested(seven: Sandbox, code: int) -> None:
    seven.fault(faults.status(code), times=2)

    assert [get(seven).status_code for _ in range(3)] == [code, code, 200]


def test_a_fault_can_apply_to_one_page_until_the_sandbox_is_healed(seven: Sandbox) -> None:
    seven.fault(faults.status(503), page=2, times=None)

    first = get(seven, "/pickups?limit=2")
    assert first.status_code == 200
    assert [get(seven, first.json()["next"]).status_code for _ in range(3)] == [503, 503, 503]
    seven.heal()
    assert len(list(walk(seven, limit=2))) == 4


def test_a_fault_can_apply_to_a_late_page_of_a_resumed_walk(seven: Sandbox) -> None:
    *_, third, _ = walk(seven, limit=2)
    seven.fault(faults.status(503), page=4)

    assert get(seven, third["next"]).status_code == 503
    assert ids(get(seven, third["next"]).json()) == [290001]


def test_faults_apply_in_the_order_in_which_they_were_added(seven: Sandbox) -> None:
    seven.fault(faults.status(500))
    seven.fault(faults.too_many())

    assert [get(seven).status_code for _ in range(3)] == [500, 429, 200]


@pytest.mark.parametrize(
    ("retry_after", "header"),
    [(None, None), (2, "2"), (MONDAY + timedelta(seconds=2), "Mon, 23 Nov 2026 08:00:02 GMT"), ("soon", "soon")],
)
def test_a_429_response_may_have_a_retry_after_header(seven: Sandbox, retry_after: Any, header: str | None) -> None:
    seven.fault(faults.too_many(retry_after))

    answer = get(seven)

    assert (answer.status_code, answer.content, answer.headers.get("Retry-After")) == (429, b"", header)


def test_a_reset_fault_resets_the_tcp_connection(seven: Sandbox) -> None:
    seven.fault(faults.reset())

    with socket.create_connection(("127.0.0.1", urlsplit(seven.base_url).port), timeout=5) as connection:
        connection.sendall(b"GET /api/v2/pickups HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)

    assert seven.requests[-1].status == 0
    assert get(seven).status_code == 200


def test_a_body_can_end_early(seven: Sandbox) -> None:
    seven.fault(faults.cut())

    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        get(seven)


def test_truncated_json_can_have_a_matching_content_length(seven: Sandbox) -> None:
    whole = get(seven).content
    seven.fault(faults.truncated())

    answer = get(seven)

    assert answer.content == whole[: len(whole) // 2]
    assert answer.headers["Content-Length"] == str(len(whole) // 2)


def test_html_can_be_served_with_status_200(seven: Sandbox) -> None:
    seven.fault(faults.html())

    answer = get(seven)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.text.startswith("<!doctype html>")


def test_a_response_can_be_slow(seven: Sandbox) -> None:
    seven.fault(faults.slow(0.3))

    started = perf_counter()
    assert len(get(seven).json()["pickups"]) == 7
    assert perf_counter() - started >= 0.3

    seven.fault(faults.slow(5))
    with pytest.raises(requests.ReadTimeout):
        get(seven, timeout=0.1)


def test_closing_the_sandbox_does_not_wait_for_a_slow_response_and_ends_its_thread() -> None:
    threads = set(threading.enumerate())
    with serve(World()) as sandbox:
        sandbox.fault(faults.slow(60))
        with pytest.raises(requests.ReadTimeout):
            get(sandbox, timeout=0.1)
        started = perf_counter()
    for left_over in set(threading.enumerate()) - threads:
        left_over.join(20)
    assert perf_counter() - started < 20


def test_a_body_can_arrive_byte_by_byte_without_a_read_timeout(seven: Sandbox) -> None:
    seven.fault(faults.drip(0.0002), page=1)

    started = perf_counter()
    answer = get(seven, "/pickups?limit=2", timeout=5)

    assert ids(answer.json()) == [290007, 290006]
    assert perf_counter() - started >= 0.0002 * len(answer.content)


def test_a_huge_body_is_streamed_without_holding_it_in_memory(seven: Sandbox) -> None:
    page = get(seven).content
    seven.fault(faults.huge(10_000_000))

    with get(seven, stream=True) as answer:
        tracemalloc.start()
        received = [(len(block), block.strip()) for block in answer.iter_content(100_000)]
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert sum(size for size, _ in received) == len(page) + 10_000_000 == int(answer.headers["Content-Length"])
    assert b"".join(block for _, block in received) == page
    assert most < 1_000_000


@pytest.mark.parametrize("fault", [faults.chunked(), faults.together(faults.drip(0.0002), faults.chunked())])
def test_a_body_can_be_chunked(seven: Sandbox, fault: faults.Fault) -> None:
    page = get(seven).content
    seven.fault(fault)

    answer = get(seven)

    assert answer.content == page
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in answer.headers
    assert get(seven).content == page


def test_a_chunked_body_can_end_early(seven: Sandbox) -> None:
    seven.fault(faults.together(faults.cut(), faults.chunked()))

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        get(seven)


def test_a_body_can_be_compressed_and_can_be_a_gzip_bomb(seven: Sandbox) -> None:
    page = get(seven).content
    seven.fault(faults.gzipped())
    seven.fault(faults.gzipped(padding=10_000_000))

    packed, bomb = get(seven), get(seven)

    assert packed.headers["Content-Encoding"] == bomb.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < len(page)
    assert packed.content == page
    assert int(bomb.headers["Content-Length"]) < 20_000
    assert bomb.content == page + b" " * 10_000_000


def test_a_body_can_have_an_encoding_other_than_utf_8(seven: Sandbox) -> None:
    seven.world.book(carrier="pošta")
    seven.fault(faults.encoded("utf-16", "application/json; charset=utf-16"))

    answer = get(seven)

    assert answer.content[:2] in (b"\xff\xfe", b"\xfe\xff")
    assert answer.headers["Content-Type"] == "application/json; charset=utf-16"
    assert json.loads(answer.content)["pickups"][0]["carrier"] == "pošta"


def test_a_next_link_can_lead_to_another_origin(seven: Sandbox) -> None:
    seven.fault(faults.stray_link("http://192.0.2.1/api/v2/pickups/?cursor=x"))

    page = get(seven, "/pickups?limit=2").json()

    assert page["next"] == "http://192.0.2.1/api/v2/pickups/?cursor=x"
    assert ids(page) == [290007, 290006]


def test_the_next_link_of_a_page_can_lead_to_the_page_itself(seven: Sandbox) -> None:
    seven.fault(faults.loop(), page=2)
    second = get(seven, "/pickups?limit=2").json()["next"]

    assert get(seven, second).json()["next"] == second


def test_a_cursor_can_expire_while_the_first_page_still_works(seven: Sandbox) -> None:
    seven.fault(faults.expired_cursor(), times=None)

    first = get(seven, "/pickups?limit=2")
    expired = get(seven, first.json()["next"])

    assert first.status_code == 200
    assert expired.status_code == 404
    assert expired.json()["error"]["message"] == "Invalid cursor"


@pytest.mark.parametrize("code", [301, 302])
def test_a_response_can_be_a_redirect(seven: Sandbox, code: int) -> None:
    seven.fault(faults.redirect("http://192.0.2.1/", code))

    answer = get(seven)

    assert (answer.status_code, answer.headers["Location"]) == (code, "http://192.0.2.1/")


@pytest.mark.slow
@pytest.mark.parametrize("page", [1, 2])
def test_an_empty_page_can_precede_the_rows_of_a_page_and_loses_none(seven: Sandbox, page: int) -> None:
    seven.fault(faults.empty_page(), page=page)

    pages = list(walk(seven, limit=3))

    assert len(pages) == 4
    assert pages[page - 1]["pickups"] == []
    assert ids(*pages) == [290007, 290006, 290005, 290004, 290003, 290002, 290001]
    assert len({request.path for request in seven.requests}) == 4
