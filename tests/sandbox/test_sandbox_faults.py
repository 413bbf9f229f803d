"""What goes wrong on demand."""

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

# What goes wrong on demand


@pytest.mark.parametrize("code", [500, 502, 503])
def test_a_status_strikes_as_often_as_told(seven: Sandbox, code: int) -> None:
    seven.fault(faults.status(code), times=2)

    assert [get(seven).status_code for _ in range(3)] == [code, code, 200]


def test_a_fault_can_wait_for_its_page_and_stay_until_healed(seven: Sandbox) -> None:
    seven.fault(faults.status(503), page=2, times=None)

    first = get(seven, "/pickups?limit=2")
    assert first.status_code == 200
    assert [get(seven, first.json()["next"]).status_code for _ in range(3)] == [503, 503, 503]
    seven.heal()
    assert len(list(walk(seven, limit=2))) == 4


def test_a_fault_can_wait_for_a_page_far_down_a_walk_that_is_taken_up_again(seven: Sandbox) -> None:
    *_, third, _ = walk(seven, limit=2)
    seven.fault(faults.status(503), page=4)

    assert get(seven, third["next"]).status_code == 503
    assert ids(get(seven, third["next"]).json()) == [290001]


def test_faults_stand_in_line(seven: Sandbox) -> None:
    seven.fault(faults.status(500))
    seven.fault(faults.too_many())

    assert [get(seven).status_code for _ in range(3)] == [500, 429, 200]


@pytest.mark.parametrize(
    ("retry_after", "header"),
    [(None, None), (2, "2"), (MONDAY + timedelta(seconds=2), "Mon, 23 Nov 2026 08:00:02 GMT"), ("soon", "soon")],
)
def test_too_many_requests_with_and_without_retry_after(seven: Sandbox, retry_after: Any, header: str | None) -> None:
    seven.fault(faults.too_many(retry_after))

    answer = get(seven)

    assert (answer.status_code, answer.content, answer.headers.get("Retry-After")) == (429, b"", header)


def test_a_reset_is_a_reset_on_the_wire(seven: Sandbox) -> None:
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


def test_truncated_json_can_come_with_the_right_length(seven: Sandbox) -> None:
    whole = get(seven).content
    seven.fault(faults.truncated())

    answer = get(seven)

    assert answer.content == whole[: len(whole) // 2]
    assert answer.headers["Content-Length"] == str(len(whole) // 2)


def test_html_can_come_with_status_200(seven: Sandbox) -> None:
    seven.fault(faults.html())

    answer = get(seven)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.text.startswith("<!doctype html>")


def test_an_answer_can_be_slow(seven: Sandbox) -> None:
    seven.fault(faults.slow(0.3))

    started = perf_counter()
    assert len(get(seven).json()["pickups"]) == 7
    assert perf_counter() - started >= 0.3

    seven.fault(faults.slow(5))
    with pytest.raises(requests.ReadTimeout):
        get(seven, timeout=0.1)


def test_leaving_the_sandbox_neither_waits_for_a_slow_answer_nor_leaves_it_waiting() -> None:
    threads = set(threading.enumerate())
    with serve(World()) as sandbox:
        sandbox.fault(faults.slow(60))
        with pytest.raises(requests.ReadTimeout):
            get(sandbox, timeout=0.1)
        started = perf_counter()
    for left_over in set(threading.enumerate()) - threads:
        left_over.join(20)
    assert perf_counter() - started < 20


def test_a_body_can_drip_and_no_single_read_times_out(seven: Sandbox) -> None:
    seven.fault(faults.drip(0.0002), page=1)

    started = perf_counter()
    answer = get(seven, "/pickups?limit=2", timeout=5)

    assert ids(answer.json()) == [290007, 290006]
    assert perf_counter() - started >= 0.0002 * len(answer.content)


def test_a_body_can_be_huge_and_is_nowhere_held_whole(seven: Sandbox) -> None:
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
def test_a_body_can_come_in_chunks(seven: Sandbox, fault: faults.Fault) -> None:
    page = get(seven).content
    seven.fault(fault)

    answer = get(seven)

    assert answer.content == page
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in answer.headers
    assert get(seven).content == page


def test_a_body_in_chunks_can_end_early(seven: Sandbox) -> None:
    seven.fault(faults.together(faults.cut(), faults.chunked()))

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        get(seven)


def test_a_body_can_be_packed_and_unpack_to_far_more(seven: Sandbox) -> None:
    page = get(seven).content
    seven.fault(faults.gzipped())
    seven.fault(faults.gzipped(padding=10_000_000))

    packed, bomb = get(seven), get(seven)

    assert packed.headers["Content-Encoding"] == bomb.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < len(page)
    assert packed.content == page
    assert int(bomb.headers["Content-Length"]) < 20_000
    assert bomb.content == page + b" " * 10_000_000


def test_a_body_can_come_in_another_encoding(seven: Sandbox) -> None:
    seven.world.book(carrier="pošta")
    seven.fault(faults.encoded("utf-16", "application/json; charset=utf-16"))

    answer = get(seven)

    assert answer.content[:2] in (b"\xff\xfe", b"\xfe\xff")
    assert answer.headers["Content-Type"] == "application/json; charset=utf-16"
    assert json.loads(answer.content)["pickups"][0]["carrier"] == "pošta"


def test_a_link_can_stray_to_another_origin(seven: Sandbox) -> None:
    seven.fault(faults.stray_link("http://192.0.2.1/api/v2/pickups/?cursor=x"))

    page = get(seven, "/pickups?limit=2").json()

    assert page["next"] == "http://192.0.2.1/api/v2/pickups/?cursor=x"
    assert ids(page) == [290007, 290006]


def test_a_page_can_point_to_itself(seven: Sandbox) -> None:
    seven.fault(faults.loop(), page=2)
    second = get(seven, "/pickups?limit=2").json()["next"]

    assert get(seven, second).json()["next"] == second


def test_a_cursor_can_expire_and_a_walk_from_the_top_still_works(seven: Sandbox) -> None:
    seven.fault(faults.expired_cursor(), times=None)

    first = get(seven, "/pickups?limit=2")
    expired = get(seven, first.json()["next"])

    assert first.status_code == 200
    assert expired.status_code == 404
    assert expired.json()["error"]["message"] == "Invalid cursor"


@pytest.mark.parametrize("code", [301, 302])
def test_an_answer_can_be_a_redirect(seven: Sandbox, code: int) -> None:
    seven.fault(faults.redirect("http://192.0.2.1/", code))

    answer = get(seven)

    assert (answer.status_code, answer.headers["Location"]) == (code, "http://192.0.2.1/")


@pytest.mark.slow
@pytest.mark.parametrize("page", [1, 2])
def test_an_empty_page_stands_before_the_rows_and_loses_none(seven: Sandbox, page: int) -> None:
    seven.fault(faults.empty_page(), page=page)

    pages = list(walk(seven, limit=3))

    assert len(pages) == 4
    assert pages[page - 1]["pickups"] == []
    assert ids(*pages) == [290007, 290006, 290005, 290004, 290003, 290002, 290001]
    assert len({request.path for request in seven.requests}) == 4
