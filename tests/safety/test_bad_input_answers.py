"""Tests responses that the API's documents do not allow.

Each test checks the exit code and the message, and that no secret is shown and no row is lost.
"""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.bad_input import PAIR, as_before, outcome
from tests.support.bad_input import api as api
from tests.support.bad_input import loaded as loaded
from tests.support.bad_input import world as world
from tests.support.cases import quick
from tests.support.installation import (
    API_VERSION,
    CARRIER,
    SECRET,
    Installation,
    as_rows,
    nothing_is_sent_to,
)
from tests.support.worlds import NOW

pytestmark = pytest.mark.v3


@pytest.mark.slow
def test_a_base_url_without_a_pickups_endpoint_exits_3_and_names_the_setting(
    loaded: Installation, api: Sandbox
) -> None:
    elsewhere = api.base_url.replace("/api/v2", "/api/v1")
    code, message = outcome(loaded.command("run", api=api, SOURCES__SENDCLOUD__BASE_URL=elsewhere))

    assert code == 3
    assert "base_url (SOURCES__SENDCLOUD__BASE_URL in the environment) has no pickups: GET /api/v1/pickups" in message


def test_an_api_that_is_down_exits_4_after_seven_tries(loaded: Installation, api: Sandbox) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nobody = f"http://127.0.0.1:{port}/api/v2"
    code, message = outcome(loaded.command("run", api=api, SOURCES__SENDCLOUD__BASE_URL=nobody))

    assert code == 4
    assert f"GET http://127.0.0.1:{port}/api/{API_VERSION}/pickups: ConnectionRefusedError" in message
    assert "after 7 tries" in message
    assert as_before(loaded, api)


@pytest.mark.parametrize(
    ("fault", "evidence"),
    quick(
        [
            (faults.status(503), "503"),
            (faults.too_many(), "429"),
            (faults.html(), "200, but not a JSON object (text/html"),
            (faults.truncated(), "200, but not a JSON object (application/json)"),
            (faults.reset(), "Connection reset"),
            (faults.cut(), "IncompleteRead"),
        ],
        only=(0, 2),
    ),
    ids=["503", "429", "html", "truncated", "reset", "cut"],
)
def test_an_api_that_never_sends_a_usable_response_exits_4_after_seven_tries(
    loaded: Installation, api: Sandbox, fault: faults.Fault, evidence: str
) -> None:
    api.fault(fault, times=None)
    before = len(api.requests)

    code, message = outcome(loaded.command("run", api=api))

    assert code == 4
    assert evidence in message
    assert "after 7 tries" in message
    assert len(api.requests) - before == 7
    assert as_before(loaded, api)


def test_transient_faults_of_any_kind_are_retried_and_counted_in_the_receipt(
    installation: Installation, api: Sandbox
) -> None:
    api.fault(faults.status(502))
    api.fault(faults.too_many(retry_after=0))
    api.fault(faults.html())
    api.fault(faults.truncated())
    api.fault(faults.reset())
    api.fault(faults.cut())

    receipt = installation.run(api)

    assert (receipt.outcome, receipt.retries, receipt.requests, receipt.pages) == ("succeeded", 6, 7, 1)
    assert installation.pickups() == as_rows(api.world.records())


def test_a_next_link_to_another_host_is_not_followed(loaded: Installation, api: Sandbox, world: World) -> None:
    world.book()
    with serve(World(clock=NOW)) as another:
        api.fault(faults.stray_link(f"{another.base_url}/pickups/?cursor=x"), times=None)
        with nothing_is_sent_to(another):
            code, message = outcome(loaded.command("run", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="5"))

    assert code == 4
    assert another.base_url.removesuffix("/api/v2") in message
    assert "the credentials may be sent only to" in message
    assert as_before(loaded, api)


@pytest.mark.slow
def test_a_redirect_to_another_host_is_not_followed(loaded: Installation, api: Sandbox) -> None:
    with serve(World(clock=NOW)) as another:
        api.fault(faults.redirect(f"{another.base_url}/pickups"), times=None)
        with nothing_is_sent_to(another):
            code, message = outcome(loaded.command("run", api=api))

    assert code == 4
    assert "its redirect leads to" in message


@pytest.mark.slow
def test_an_unreadable_next_link_ends_the_run(loaded: Installation, api: Sandbox, world: World) -> None:
    world.book()
    api.fault(faults.stray_link("http://[half/an/address"), times=None)

    code, message = outcome(loaded.command("run", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="5"))

    assert code == 4
    assert "its next link leads to an unreadable address" in message


@pytest.mark.parametrize(
    ("place", "spelling"),
    [
        ("next link", "".join(f"%{ord(letter):x}" for letter in SECRET)),
        ("unknown field", SECRET),
        ("record for quarantine", PAIR),
    ],
)
def test_a_secret_key_that_the_api_repeats_is_written_to_no_file(
    installation: Installation, api: Sandbox, world: World, place: str, spelling: str
) -> None:
    if place == "next link":
        api.fault(faults.stray_link(f"{api.base_url}/pickups/?key={spelling}"), times=None)
    elif place == "unknown field":
        world.book(note=f"?key={spelling}")
    else:
        world.put({"note": f"?key={spelling}"})

    # with one page per load package, the pipeline's state holds a next link
    code, message = outcome(installation.command("run", api=api, SOURCES__SENDCLOUD__PAGES_PER_PACKAGE="1"))

    files = [path for path in installation.folder.rglob("*") if path.is_file()]
    assert code == 4
    assert "200, but the response repeats the secret key" in message
    assert files
    assert [path for path in files if spelling.encode() in path.read_bytes()] == []


@pytest.mark.slow
def test_a_page_that_is_too_large_or_cannot_be_decoded_ends_the_run_without_a_retry(
    loaded: Installation, api: Sandbox
) -> None:
    for fault, evidence in (
        (faults.gzipped(65 * 2**20), "the body is larger than 64 MiB"),
        (faults.encoded("utf-8", "application/json; charset=klingon"), "the body can't be decoded as klingon"),
    ):
        before = len(api.requests)
        api.fault(fault, times=None)
        code, message = outcome(loaded.command("run", api=api))
        api.heal()

        assert code == 4
        assert evidence in message
        assert len(api.requests) == before + 1
        assert as_before(loaded, api)


@pytest.mark.slow
def test_a_page_that_is_nested_too_deeply_ends_the_run(loaded: Installation, api: Sandbox, world: World) -> None:
    world.book()
    name = f'"{CARRIER}"'.encode()
    deep = b'"deep":' + b"[" * 5_000 + b"]" * 5_000 + b"," + name
    api.fault(lambda due: replace(due, body=due.body.replace(name, deep, 1)), times=None)

    code, message = outcome(loaded.command("run", api=api))

    assert code == 4
    assert "nested too deeply" in message
    assert as_before(loaded, api)


def test_next_links_that_form_a_loop_end_the_run(loaded: Installation, api: Sandbox, world: World) -> None:
    world.book()
    api.fault(faults.loop(), times=None)

    code, message = outcome(loaded.command("run", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="5"))

    assert code == 4
    assert "leads back to a page that this walk has read" in message
    assert as_before(loaded, api)


def test_an_expired_cursor_ends_the_run_and_does_not_count_as_an_empty_last_page(
    loaded: Installation, api: Sandbox, world: World
) -> None:
    world.book()
    api.fault(faults.expired_cursor(), times=None)

    code, message = outcome(loaded.command("run", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="5"))

    assert code == 4
    assert "404 Invalid cursor" in message
    assert as_before(loaded, api)


@pytest.mark.slow
def test_an_empty_page_with_a_next_link_is_followed(installation: Installation, api: Sandbox) -> None:
    api.fault(faults.empty_page(), page=2)

    installation.run(api, page_size=5)

    assert installation.pickups() == as_rows(api.world.records())


@pytest.mark.slow
def test_one_hundred_empty_pages_in_a_row_end_the_run(loaded: Installation, api: Sandbox) -> None:
    api.fault(faults.empty_page(), times=None)
    asked = len(api.requests)

    code, message = outcome(loaded.command("run", api=api))

    assert code == 4
    assert "100 empty pages in a row, and the last one links to another page" in message
    assert len(api.requests) - asked == 100
    assert as_before(loaded, api)
