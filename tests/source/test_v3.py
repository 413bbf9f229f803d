"""Version 3 of the API: the same pickups under other names, read from Sendcloud's published answers and the sandbox."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from sources.sendcloud import address_of, version_of
from sources.sendcloud.errors import Misconfigured
from sources.sendcloud.records import Page, read_page
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from sources.sendcloud.v2 import V2
from sources.sendcloud.v3 import V3
from tests.support.installation import REPOSITORY, Installation, as_row, as_rows, compact, utc
from tests.support.worlds import NOW

PUBLISHED = json.loads((Path(__file__).parents[1] / "data" / "published_v3_pickups.json").read_text())
MORNING = {"start_at": "2026-11-23T08:00:00Z", "end_at": "2026-11-23T11:00:00Z"}
AFTERNOON = {"start_at": "2026-11-23T13:00:00Z", "end_at": "2026-11-23T15:00:00Z"}
PLAIN = {
    "id": 294344,
    "time_slots": [MORNING],
    "country": "DE",
    "carrier_code": "dpd",
    "tracking_number": "09985053927752",
    "status": "CREATED",
    "created_at": "2026-11-20T13:15:18.160521Z",
    "cancelled_at": None,
    "contract_id": 14,
}


def page_of(*records: Any, link: str = "") -> Page:
    return read_page(json.dumps({"data": list(records)}).encode(), "default", V3, link)


def row_of(record: Any) -> dict[str, Any]:
    (row,) = page_of(record).rows.to_pylist()
    return row


def test_a_record_is_a_row_under_the_tables_own_names() -> None:
    assert row_of(PLAIN) == {
        "account": "default",
        "id": 294344,
        "carrier": "dpd",
        "country": "DE",
        "tracking_number": "09985053927752",
        "pickup_from": utc("2026-11-23T08:00:00Z"),
        "pickup_until": utc("2026-11-23T11:00:00Z"),
        "pickup_status": "CREATED",
        "created_at": utc("2026-11-20T13:15:18.160521Z"),
        "cancelled_at": None,
        "contract": 14,
        "extra": None,
        "time_slots": compact([MORNING]),
        "api_version": "v3",
    }


@pytest.mark.parametrize(
    ("slots", "opens", "closes"),
    [
        ([MORNING, AFTERNOON], MORNING["start_at"], AFTERNOON["end_at"]),
        ([AFTERNOON, MORNING], MORNING["start_at"], AFTERNOON["end_at"]),
        ([MORNING, {"start_at": AFTERNOON["start_at"], "end_at": None}], MORNING["start_at"], None),
        ([{"start_at": MORNING["start_at"]}], MORNING["start_at"], None),
        ([{**MORNING, "note": "gate 3"}], MORNING["start_at"], MORNING["end_at"]),
        ([], None, None),
        (None, None, None),
    ],
    ids=["two", "two, the later first", "one open-ended", "no end", "a field nobody told us of", "none", "null"],
)
def test_a_window_reaches_over_all_its_slots_and_they_are_kept_as_sent(
    slots: list[dict[str, Any]] | None, opens: str | None, closes: str | None
) -> None:
    row = row_of({**PLAIN, "time_slots": slots})

    assert (row["pickup_from"], row["pickup_until"]) == (opens and utc(opens), closes and utc(closes))
    assert row["time_slots"] == (None if slots is None else compact(slots))


def test_a_record_without_slots_at_all_is_loaded() -> None:
    row = row_of({name: value for name, value in PLAIN.items() if name != "time_slots"})

    assert (row["pickup_from"], row["pickup_until"], row["time_slots"]) == (None, None, None)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"time_slots": [{"start_at": "2026-11-23T08:00:00"}]}, "timezone component - at `$.time_slots[0].start_at`"),
        ({"time_slots": [{"end_at": None}]}, "missing required field `start_at` - at `$.time_slots[0]`"),
        ({"time_slots": "morning"}, "Expected `array | null`, got `str` - at `$.time_slots`"),
        ({"status": None}, "Expected `str`, got `null` - at `$.status`"),
        ({"carrier_code": ""}, "Expected `str` of length >= 1 - at `$.carrier_code`"),
        ({"contract_id": "57,"}, "Expected `int | null`, got `str` - at `$.contract_id`"),
    ],
)
def test_what_could_only_be_guessed_goes_to_quarantine_with_v3s_own_names(changed: dict[str, Any], reason: str) -> None:
    page = page_of(PLAIN, {**PLAIN, **changed, "id": 7})

    assert [row["id"] for row in page.rows.to_pylist()] == [294344]
    assert [one.reason.endswith(reason) for one in page.rejected] == [True], page.rejected[0].reason


def test_a_field_of_v2_is_one_that_v3_does_not_know() -> None:
    page = page_of({**PLAIN, "pickup_status": "Created"})

    assert page.unknown_fields == {"pickup_status": 1}
    assert page.rows.to_pylist()[0]["extra"] == '{"pickup_status":"Created"}'


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_list_is_read_whole(name: str) -> None:
    """`data` of one of them is a pickup, not a list of them; another has a number for a tracking number."""
    body, data = PUBLISHED[name], PUBLISHED[name]["data"]
    records = data if isinstance(data, list) else [data]
    page = read_page(json.dumps(body).encode(), "default", V3)

    assert page.rejected == []
    for record, row in zip(records, page.rows.to_pylist(), strict=True):
        (slot,) = record["time_slots"]
        assert row["id"] == record["id"]
        assert (row["carrier"], row["country"]) == (record["carrier_code"], record.get("country"))
        assert row["tracking_number"] == str(record["tracking_number"])
        assert (row["pickup_from"], row["pickup_until"]) == (utc(slot["start_at"]), utc(slot["end_at"]))
        assert (row["pickup_status"], row["created_at"]) == (record["status"], utc(record["created_at"]))
        assert row["cancelled_at"] == (utc(record["cancelled_at"]) if record["cancelled_at"] else None)
        assert row["contract"] == record.get("contract_id")


NEXT = "https://panel.sendcloud.sc/api/v3/pickups/?cursor=cD0yNTM1NDIyODI%3D"
PREVIOUS = "https://panel.sendcloud.sc/api/v3/pickups/?cursor=cj0xJnA9MjUzNTQyMzM3"


@pytest.mark.parametrize(
    ("header", "link"),
    [
        (f'<{PREVIOUS}>; rel="prev", <{NEXT}>; rel="next"', NEXT),  # as published
        (f'<{NEXT}>; rel="next", <{PREVIOUS}>; rel="prev"', NEXT),
        (f"<{NEXT}>;rel=next", NEXT),
        (f'<{NEXT}>; title="rows, <old>; rel=\\"prev\\""; rel="next"', NEXT),
        (f'<{PREVIOUS}>; title="next, please"; rel="prev"', None),
        (f'<{NEXT}>; REL="last NEXT"', NEXT),
        (f'<{PREVIOUS}>; rel="prev"', None),
        (f'<{PREVIOUS}>; rel="nextish", <{NEXT}>; type="a/b"; rel="next"; hreflang=de', NEXT),
        ("", None),
        ("nonsense; rel=next", None),
    ],
)
def test_the_next_link_is_found_among_any_others(header: str, link: str | None) -> None:
    assert page_of(PLAIN, link=header).next == link


def test_a_header_as_long_as_one_may_be_is_looked_through_at_once() -> None:
    """Of nothing but beginnings of links: half a minute, when an address might hold another beginning."""
    began = time.monotonic()
    assert page_of(PLAIN, link="<" * 60_000).next is None
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("base_url", "version", "address"),
    [
        (V2.base_url, V3, V3.base_url),
        ("http://127.0.0.1:5/api/v2/", V3, "http://127.0.0.1:5/api/v3"),
        ("http://127.0.0.1:5/api/v3", V3, "http://127.0.0.1:5/api/v3"),
        ("http://127.0.0.1:5/mirror", V3, "http://127.0.0.1:5/mirror"),
        (V2.base_url, V2, V2.base_url),
    ],
)
def test_the_base_address_follows_the_version(base_url: str, version: Any, address: str) -> None:
    assert address_of(base_url, version) == address


def test_an_address_of_v3_is_not_read_as_v2() -> None:
    with pytest.raises(Misconfigured, match=r"base_url is one of v3, and api_version is v2\. Set api_version = 'v3'"):
        address_of(V3.base_url, V2)
    with pytest.raises(Misconfigured, match=r"api_version is 'v4'\. Give v2 or v3"):
        version_of("v4")


def test_what_is_particular_to_v3_is_small() -> None:
    """The bar is 120 lines of code: without blank lines, comments and docstrings."""
    import ast

    path = REPOSITORY / "sources" / "sendcloud" / "v3.py"
    tree = ast.parse(path.read_text())
    strings = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = enumerate(path.read_text().splitlines(), start=1)
    code = [
        line for number, line in lines if line.strip() and not line.strip().startswith("#") and number not in strings
    ]
    assert 60 < len(code) < 120


# the sandbox, held against the published answers


@pytest.mark.parametrize("name", [name for name, page in PUBLISHED.items() if isinstance(page["data"], list)])
def test_the_sandbox_serves_what_was_published(name: str) -> None:
    """The same pickups, put into its book in v2's words by hand, come out as the published page has them."""
    records = PUBLISHED[name]["data"]
    book = [
        {
            "id": record["id"],
            "pickup_from": record["time_slots"][0]["start_at"],
            "pickup_until": record["time_slots"][0]["end_at"],
            "country": record["country"],
            "carrier": record["carrier_code"],
            "tracking_number": record["tracking_number"],
            "pickup_status": record["status"].title(),
            "created_at": record["created_at"],
            "cancelled_at": record["cancelled_at"],
            **({"contract": record["contract_id"]} if "contract_id" in record else {}),
        }
        for record in records
    ]
    with serve(World.of(book)) as api:
        answer = get(api, "pickups?page_size=100")

    assert answer.json() == {"data": records}
    assert [list(served) for served in answer.json()["data"]] == [list(record) for record in records]  # fields in order
    assert "Link" not in answer.headers


def get(api: Sandbox, path: str) -> requests.Response:
    return requests.get(f"{api.base_url_v3}/{path}", auth=(api.public_key, api.secret_key), timeout=10)


def test_its_links_are_in_the_header_alone_and_go_both_ways() -> None:
    world = World(clock=NOW)
    numbers = [world.book(created_at=NOW - timedelta(hours=hour)) for hour in (3, 2, 1)]
    with serve(world) as api:
        first = get(api, "pickups?page_size=1")
        second = get(api, first.links["next"]["url"].split("/v3/")[1])

    assert set(first.links) == {"next"}
    assert set(second.links) == {"next", "prev"}
    assert set(second.json()) == {"data"}
    assert [page.json()["data"][0]["id"] for page in (first, second)] == [numbers[2], numbers[1]]


def test_it_never_gives_more_than_a_hundred_and_its_errors_are_json_api() -> None:
    world = World.seeded(150, until=NOW)
    with serve(world) as api:
        assert len(get(api, "pickups?page_size=500").json()["data"]) == 100
        not_there = get(api, "pickups/1").json()
        refused = requests.get(f"{api.base_url_v3}/pickups", auth=("a", "b"), timeout=10)
        bad_cursor = get(api, "pickups?cursor=x")

    published = json.loads((REPOSITORY / "tests" / "data" / "published_v3_errors.json").read_text())
    assert not_there == published["not_found"]
    assert (refused.status_code, bad_cursor.status_code) == (401, 404)
    error = published["unauthorised"]["errors"][0]
    assert refused.json()["errors"][0] == {name: error[name] for name in ("status", "code", "detail")}


@pytest.mark.slow
def test_a_token_without_read_pickup_is_not_let_in(installation: Installation) -> None:
    with serve(World(clock=NOW)) as api:
        form = {"grant_type": "client_credentials", "scope": "api"}
        answer = requests.post(api.token_url, form, auth=(api.client_id, api.client_secret), timeout=10)
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert requests.get(f"{api.base_url_v3}/pickups", headers=bearer, timeout=10).status_code == 403
        assert requests.get(f"{api.base_url}/pickups", headers=bearer, timeout=10).status_code == 200
    assert installation


# through the whole path


def test_a_client_of_oauth2_asks_for_read_pickup_and_no_more(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    common = "SOURCES__SENDCLOUD__"
    done = installation.command(
        "run",
        **{
            f"{common}BASE_URL": api.base_url,
            f"{common}API_VERSION": "v3",
            f"{common}TOKEN_URL": api.token_url,
            f"{common}CREDENTIALS__CLIENT_ID": api.client_id,
            f"{common}CREDENTIALS__CLIENT_SECRET": api.client_secret,
        },
    )

    assert done.returncode == 0, done.stderr
    assert api._api.tokens._scopes[api.access_token] == {"read:pickup"}


@pytest.mark.parametrize("shape", ["list", "object"])
@pytest.mark.parametrize("status", ["400", 400], ids=["text", "number"])
def test_an_error_is_told_in_whatever_shape_it_comes(
    installation: Installation, api: Sandbox, shape: Any, status: Any
) -> None:
    api.fault(faults.errors_as(shape, status, detail="That page is closed."))
    done = installation.command("run", api=api, SOURCES__SENDCLOUD__API_VERSION="v3")

    assert done.returncode == 4
    assert "GET /api/v3/pickups: 400 That page is closed." in done.stderr


def test_a_page_that_is_one_pickup_is_read_as_one(installation: Installation, world: World, api: Sandbox) -> None:
    world.book()
    api.fault(faults.lone_record())
    installation.run(api, api_version="v3")

    assert installation.pickups() == as_rows(world.records(), api_version="v3")


def test_one_that_can_hardly_be_read_goes_to_quarantine_as_one_of_a_list_does() -> None:
    """Half a surrogate pair, which makes the whole body unfit for a strict reader."""
    record = json.dumps({**PLAIN, "carrier_code": "halfway"}).replace("halfway", "\\ud800")
    pages = [read_page(f'{{"data": {data}}}'.encode(), "default", V3) for data in (record, f"[{record}]")]

    assert [one.record for one in pages[0].rejected] == [one.record for one in pages[1].rejected]
    assert [len(page.rejected) for page in pages] == [1, 1]


@pytest.mark.slow
def test_links_that_do_not_repeat_the_page_size_are_followed_as_they_are(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """As the documented ones don't: a page of 10, and one of the 50 left, for the sandbox's own size is 100."""
    for hours in range(60):
        world.book(created_at=NOW - timedelta(hours=hours))
    api.fault(
        lambda due: replace(due, headers={**due.headers, "Link": due.headers["Link"].replace("&page_size=10", "")}),
        page=1,
    )
    receipt = installation.run(api, api_version="v3", page_size=10)

    assert (receipt.pages, "page_size" in api.requests[-1].path) == (2, False)
    assert installation.pickups() == as_rows(world.records(), api_version="v3")


@pytest.mark.slow
def test_pickups_without_slots_are_kept_and_counted(installation: Installation, world: World, api: Sandbox) -> None:
    """Booked nine and six days ago: a pickup without a window is taken to be over a week after it was booked."""
    for days in (9, 6):
        world.book(created_at=NOW - timedelta(days=days))
    api.fault(faults.without_slots(), times=None)
    installation.run(api, api_version="v3")

    query = "select has_window, is_mature, window_hours from analytics.pickups order by created_at_utc"
    assert installation.rows(query) == [
        {"has_window": False, "is_mature": True, "window_hours": None},
        {"has_window": False, "is_mature": False, "window_hours": None},
    ]
    assert installation.rows("select pickups, with_window from analytics.carrier_windows") == [
        {"pickups": 2, "with_window": 0}
    ]
    assert installation.rows("select count(*) as n from analytics.pickup_slots") == [{"n": 0}]


def test_a_pickup_of_two_slots_is_as_long_as_both_and_opens_twice(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """Three and two hours; by the clock of Rome, an hour ahead of UTC in November: 9 and 14 o'clock, on a Monday."""
    world.book(
        carrier="brt",
        country="IT",
        pickup_from=utc(MORNING["start_at"]),
        pickup_until=utc(AFTERNOON["end_at"]),
        time_slots=[MORNING, AFTERNOON],
    )
    installation.run(api, api_version="v3")

    assert installation.rows("select window_hours from analytics.pickups") == [{"window_hours": 5.0}]
    slots = "select slot_number, slot_opens_hour_local as h, slot_hours from analytics.pickup_slots order by all"
    assert installation.rows(slots) == [
        {"slot_number": 1, "h": 9, "slot_hours": 3.0},
        {"slot_number": 2, "h": 14, "slot_hours": 2.0},
    ]
    grid = "select window_opens_isodow_local as d, window_opens_hour_local as h, pickups as n"
    assert installation.rows(f"{grid} from analytics.carrier_window_grid order by all") == [
        {"d": 1, "h": 9, "n": 1},
        {"d": 1, "h": 14, "n": 1},
    ]


def test_a_row_of_v3_is_what_a_person_makes_of_the_worlds_record(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book(contract=5, color="blue")
    installation.run(api, api_version="v3")

    (row,) = installation.pickups()
    (record,) = world.records()
    assert row == as_row(record, api_version="v3")
    assert (row["pickup_status"], row["contract"], row["extra"]) == ("CREATED", 5, '{"color":"blue"}')
