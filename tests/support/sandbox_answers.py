"""Sends requests to a sandbox, and evaluates the responses."""

from __future__ import annotations

import copy
import http.client
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests

from sources.sendcloud.sandbox import Sandbox, World, serve
from sources.sendcloud.sandbox.carriers import ZONES

DATA = Path(__file__).parents[1] / "data"
PUBLISHED: dict[str, Any] = json.loads((DATA / "published_pickups.json").read_text())
SCHEMA: dict[str, Any] = json.loads((DATA / "pickup_list.schema.json").read_text())

# The published country enum is too narrow: the same API's other documents allow BE, GB and PT (FedEx, UPS, DHL, DHL
# Parcel Iberia), and its create responses include null contracts. Seeded worlds show both.
WIDER = copy.deepcopy(SCHEMA)
WIDER["$defs"]["PickupList"]["properties"]["country"]["enum"] += ["BE", "GB", "PT"]
WIDER["$defs"]["PickupList"]["properties"]["contract"]["type"] = ["integer", "null"]

MONDAY = datetime(2026, 11, 23, 8, tzinfo=UTC)


def conforms(page: Any, schema: dict[str, Any] = SCHEMA) -> bool:
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(schema, format_checker=checker).validate(page)
    return set(page) == {"next", "previous", "pickups"}


def get(sandbox: Sandbox, path: str = "/pickups", **how: Any) -> requests.Response:
    url = path if path.startswith("http") else sandbox.base_url + path
    ours: dict[str, Any] = {"auth": (sandbox.public_key, sandbox.secret_key), "allow_redirects": False, "timeout": 5}
    return requests.get(url, **ours | how)


def walk(sandbox: Sandbox, limit: int, link: str = "next", start: str | None = None) -> Iterator[dict[str, Any]]:
    url = start or f"/pickups?limit={limit}"
    for _ in range(100):
        if not url:
            return
        page = get(sandbox, url).json()
        yield page
        url = page[link]
    raise AssertionError("a walk of 100 pages has no end")


def ids(*pages: dict[str, Any]) -> list[int]:
    return [pickup["id"] for page in pages for pickup in page["pickups"]]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def local(record: dict[str, Any], field: str) -> datetime:
    return instant(record[field]).astimezone(ZONES[record["country"]])


def is_backwards(record: dict[str, Any]) -> bool:
    return record["pickup_until"] is not None and instant(record["pickup_until"]) < instant(record["pickup_from"])


def share(what: Iterable[bool]) -> float:
    counted = Counter(what)
    return counted[True] / counted.total()


def near(found: int, of: int, rate: float) -> bool:
    """Returns whether `found` is within four standard deviations of the number that the rate predicts."""
    return abs(found - of * rate) <= 4 * math.sqrt(of * rate * (1 - rate))


def ask(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/api/v2/pickups")
    answer = connection.getresponse()
    answer.read()
    return answer.status


@pytest.fixture
def seven() -> Iterator[Sandbox]:
    """Serves pickups 290001 to 290007, booked a day apart, with the clock on Monday."""
    world = World(clock=MONDAY)
    for days in range(7, 0, -1):
        world.book(created_at=MONDAY - timedelta(days=days))
    with serve(world) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def year() -> list[dict[str, Any]]:
    """Returns 20,000 pickups, newest first, at a time after all their changes."""
    world = World.seeded(20_000, until=MONDAY, days=365)
    world.advance(days=60)
    return world.records()
