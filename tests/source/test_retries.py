"""Tests how long the source waits when the API is busy. The clock is simulated, so that no test sleeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import tenacity.nap

from sources.sendcloud.errors import Unavailable
from sources.sendcloud.http import transport
from sources.sendcloud.http.client import Client, SendcloudCredentials
from sources.sendcloud.http.responses import retry_after_seconds, served_at
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.clock import Clock
from tests.support.installation import Installation, as_rows
from tests.support.worlds import NOW

pytestmark = pytest.mark.v3


@pytest.fixture
def api() -> Iterator[Sandbox]:
    with serve(World(clock=NOW)) as sandbox:
        yield sandbox


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replaces the clock of the retries and of the receipt, and restores dlt's default waits."""
    made = Clock()
    monkeypatch.setattr(tenacity.nap, "time", made)
    monkeypatch.setattr(transport, "time", made)
    monkeypatch.setenv("RUNTIME__REQUEST_BACKOFF_FACTOR", "1")
    return made


def client_of(api: Sandbox) -> Client:
    return Client(api.base_url, SendcloudCredentials(public_key=api.public_key, secret_key=api.secret_key), 7)


def seconds_waited(api: Sandbox) -> float:
    """Requests one page, and returns the seconds that the client reports as waited."""
    client = client_of(api)
    client.get(f"{api.base_url}/pickups")
    return client.wire.waited_seconds


def test_a_run_succeeds_after_a_full_minute_of_429_responses(
    clock: Clock, installation: Installation, api: Sandbox
) -> None:
    """The client waits 1, 2, 4, 8, 16 and 32 s, so the seventh try comes 63 s after the first."""
    api.world.book()
    first = clock.now
    api.fault(lambda due: faults.too_many()(due) if clock.now - first <= 60 else due, times=None)

    receipt = installation.run(api)

    assert [request.status for request in api.requests] == [429] * 6 + [200]
    assert (receipt.retries, receipt.waited_seconds) == (6, 63.0)
    assert installation.pickups() == as_rows(api.world.records())


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (45, 45.0),
        (NOW + timedelta(seconds=30), 30.0),
        (300, 300.0),
        # none of these gives a wait, so the client uses its own first wait
        (0, 1.0),
        (NOW - timedelta(hours=1), 1.0),
        ("soon", 1.0),
        ("-5", 1.0),
        ("Mon, 23 Nov 99999 08:00:00 GMT", 1.0),
        ("Mon, 99 Nov 2026 08:00:00 GMT", 1.0),
    ],
)
def test_retry_after_sets_the_wait_and_a_date_is_relative_to_the_api_clock(
    clock: Clock, api: Sandbox, retry_after: float | datetime | str, seconds: float
) -> None:
    api.fault(faults.too_many(retry_after))

    assert seconds_waited(api) == seconds
    assert clock.now == 1_000.0 + seconds


@pytest.mark.parametrize("retry_after", [86_400, NOW + timedelta(days=1), "9" * 5_000])
@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_after_of_a_day_raises_an_error_without_waiting(
    clock: Clock, api: Sandbox, status: int, retry_after: float | datetime | str
) -> None:
    too_many = faults.too_many(retry_after)
    api.fault(lambda due: replace(too_many(due), status=status), times=None)

    waits = "(86,400|1,000,000,000)"
    with pytest.raises(Unavailable, match=rf"{status}, and the server asks for a wait of {waits} s, after 1 try\."):
        seconds_waited(api)
    assert clock.now == 1_000.0
    assert len(api.requests) == 1


def test_the_longest_accepted_retry_after_is_configurable(
    clock: Clock, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.fault(faults.too_many(301))
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_RETRY_DELAY", "301")

    assert seconds_waited(api) == 301.0
    assert clock.now == 1_301.0


@pytest.mark.usefixtures("clock")
def test_the_error_reports_the_actual_number_of_tries(api: Sandbox) -> None:
    client = client_of(api)
    client.get(f"{api.base_url}/pickups")
    api.fault(faults.status(502), times=2)
    api.fault(faults.too_many(86_400), times=None)

    with pytest.raises(Unavailable, match=r"asks for a wait of 86,400 s, after 3 tries\."):
        client.get(f"{api.base_url}/pickups")


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 31 Dec 9999 23:59:59 -2300"])
def test_a_response_without_a_readable_date_is_dated_by_the_local_clock(date: str) -> None:
    before = datetime.now(UTC)

    assert before <= served_at({"Date": date}) <= datetime.now(UTC)
    assert retry_after_seconds({"Date": date, "Retry-After": date}) == 0
