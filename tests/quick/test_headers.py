"""Tests that a quick run reads the headers of a response as `requests` reads them in an ordinary run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest

from pipelines.quick.connection import ORIGIN
from pipelines.quick.ping import is_accepted
from sources.sendcloud.sandbox import Sandbox
from tests.quick.test_quick_runs import settled as settled
from tests.support.both_ways import Files, differences, left_by_run, ordinary, quick
from tests.support.installation import Installation

pytestmark = pytest.mark.v3  # In v3, a header contains the link to the next page.
SendHeader = Callable[[BaseHTTPRequestHandler, str, str], None]


def send_headers_as(monkeypatch: pytest.MonkeyPatch, change: Callable[[SendHeader], SendHeader]) -> None:
    monkeypatch.setattr(BaseHTTPRequestHandler, "send_header", change(BaseHTTPRequestHandler.send_header))


def test_the_names_of_headers_may_be_in_lower_case(
    settled: Installation, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time that counts is that of the API, which is 30 minutes behind this machine's clock."""
    send_headers_as(monkeypatch, lambda send: lambda handler, name, value: send(handler, name.lower(), value))
    ordinary(settled, api, page_size=4, clock_error=timedelta(minutes=30))
    before = Files(settled)

    done = quick(settled, api, page_size=4, clock_error=timedelta(minutes=30))
    left = left_by_run(settled)
    before.restore()
    ordinary(settled, api, page_size=4, clock_error=timedelta(minutes=30))

    assert done
    assert done.receipts[0].clock_difference_seconds == pytest.approx(1800, abs=1)
    assert done.receipts[0].observed_at == api.world.clock.replace(microsecond=0)
    assert differences(left, left_by_run(settled)) == []


def test_repeated_links_are_read_as_one(settled: Installation, api: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first link header of a page says nothing about the next page."""

    def twice(send: SendHeader) -> SendHeader:
        def send_header(handler: BaseHTTPRequestHandler, name: str, value: str) -> None:
            if name == "Link":
                send(handler, name, '<https://example.org/help>; rel="help"')
            send(handler, name, value)

        return send_header

    send_headers_as(monkeypatch, twice)

    done = quick(settled, api, page_size=4)

    assert done
    assert done.receipts[0].requests == 3


@pytest.mark.parametrize(
    "address",
    ["https://uptime_kuma:3001/push/token", "https://a.example_corp.net/", "https://müller.example/", "http://[::2]/"],
)
def test_an_unusual_host_is_not_cut_to_another_one(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("nothing may be requested")

    monkeypatch.setattr("pipelines.quick.connection.Connection.request", refuse)

    assert ORIGIN.match(address) is None
    assert not is_accepted(address)
