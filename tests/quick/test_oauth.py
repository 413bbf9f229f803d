"""Tests quick runs of an account that uses OAuth2: the token is requested anew, and never stored."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.quick.record import record_path
from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.support.both_ways import Files, differences, left_by_run, ordinary, quick
from tests.support.installation import SECRET, Installation
from tests.support.oauth import api as api

pytestmark = pytest.mark.v3


def oauth(api: Sandbox) -> dict[str, Any]:
    return {
        "credentials__client_id": api.client_id,
        "credentials__client_secret": SECRET,
        "token_url": api.token_url,
    }


@pytest.fixture
def settled(installation: Installation, world: World, api: Sandbox) -> Installation:
    """An installation with twenty open pickups after one run."""
    ordinary(installation, api, **oauth(api))
    world.advance(minutes=15)
    return installation


def test_a_quick_run_with_a_token_leaves_what_an_ordinary_run_leaves(settled: Installation, api: Sandbox) -> None:
    before = Files(settled)

    done = quick(settled, api, **oauth(api))
    left = left_by_run(settled)
    before.restore()
    ordinary(settled, api, **oauth(api))

    assert done
    assert done.receipts[0].requests == 2  # for the token and for the page
    assert differences(left, left_by_run(settled)) == []


def test_no_token_and_no_secret_is_stored(settled: Installation, api: Sandbox) -> None:
    assert quick(settled, api, **oauth(api))

    stored = b"".join(path.read_bytes() for path in settled.folder.rglob("*") if path.is_file())
    assert record_path(settled.warehouse).exists()
    assert [key for key in (SECRET, api.client_id, api.access_token) if key.encode() in stored] == []


FAULTS = {
    "500": faults.status(500),
    "401": faults.status(401),
    "html": faults.html(),
    "reset": faults.reset(),
    "of another type": faults.token(token_type="mac"),
    "unfit for a header": faults.token(access_token="two words"),
    "the secret": faults.token(note=SECRET),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_response_without_a_usable_token_is_left_to_an_ordinary_run(
    settled: Installation, api: Sandbox, fault: faults.Fault
) -> None:
    before = Files(settled)
    api.fault(fault, page="token", times=None)

    assert quick(settled, api, **oauth(api)) is None

    assert Files(settled) == before
    api.heal()
    assert quick(settled, api, **oauth(api))


def test_a_token_that_the_api_refuses_is_left_to_an_ordinary_run(settled: Installation, api: Sandbox) -> None:
    """The secret goes only to the token endpoint, and the token only to the API."""
    api.fault(faults.status(401), page=1, times=None)
    before = len(api.requests)

    assert quick(settled, api, **oauth(api)) is None

    sent = [(request.method, request.authorization.split()[0]) for request in api.requests[before:]]
    assert sent == [("POST", "Basic"), ("GET", "Bearer")]
