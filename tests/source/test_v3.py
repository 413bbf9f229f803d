"""Tests version 3 of the API, which serves the pickups with other field names.

The pickups come from Sendcloud's published responses and from the sandbox.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from sources.sendcloud.api.v2 import V2
from sources.sendcloud.api.v3 import V3
from sources.sendcloud.errors import SettingsError
from sources.sendcloud.records.decode import Page, decode_page
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from sources.sendcloud.settings import address_of, version_of
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
    return decode_page(json.dumps({"data": list(records)}).encode(), "default", V3, link)


def errors_as(form: Any, status: str | int, detail: str) -> faults.Fault:
    """Sends a v3 error as the documented list, or as one object instead of the list."""
    error = {"status": status, "code": "invalid", "detail": detail}
    body = json.dumps({"errors": [error] if form == "list" else error}).encode()
    return lambda due: replace(due, status=400, body=body)


def on_page(change: Callable[[list[Any]], Any]) -> faults.Fault:
    """Sends a v3 page with changed `data`."""
    return lambda due: replace(due, body=json.dumps({"data": change(json.loads(due.body)["data"])}).encode())


def row_of(record: Any) -> dict[str, Any]:
    (row,) = page_of(record).rows.to_pylist()
    return row


def test_a_v3_record_becomes_a_row_with_the_column_names_of_the_table() -> None:
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
    ids=["two", "two, the later first", "one open-ended", "no end", "an unknown field", "none", "null"],
)
def test_the_window_spans_all_time_slots_and_the_slots_are_stored_unchanged(
    slots: list[dict[str, Any]] | None, opens: str | None, closes: str | None
) -> None:
    row = row_of({**PLAIN, "time_slots": slots})

    assert (row["pickup_from"], row["pickup_until"]) == (opens and utc(opens), closes and utc(closes))
    assert row["time_slots"] == (None if slots is None else compact(slots))


def test_a_record_without_the_field_time_slots_is_loaded() -> None:
    row = row_of({name: value for name, value in PLAIN.items() if name != "time_slots"})

    assert (row["pickup_from"], row["pickup_until"], row["time_slots"]) == (None, None, None)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"status": None}, "Expected `str`, got `null` - at `$.status`"),
        ({"carrier_code": ""}, "Expected `str` of length >= 1 - at `$.carrier_code`"),
        ({"created_at": "2026-11-20T13:15:18"}, "timezone component - at `$.created_at`"),
    ],
)
def test_the_quarantine_reason_of_a_v3_record_names_the_v3_field(changed: dict[str, Any], reason: str) -> None:
    page = page_of(PLAIN, {**PLAIN, **changed, "id": 7})

    assert [row["id"] for row in page.rows.to_pylist()] == [294344]
    assert [one.reason.endswith(reason) for one in page.rejected] == [True], page.rejected[0].reason


def test_a_v2_field_name_is_an_unknown_field_in_v3() -> None:
    page = page_of({**PLAIN, "pickup_status": "Created"})

    assert page.unknown_fields == {"pickup_status": 1}
    assert page.rows.to_pylist()[0]["extra"] == '{"pickup_status":"Created"}'


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_v3_list_is_read_completely(name: str) -> None:
    """In one response, `data` is a single pickup instead of a list. In another, the tracking number is a number."""
    body, data = PUBLISHED[name], PUBLISHED[name]["data"]
    records = data if isinstance(data, list) else [data]
    page = decode_page(json.dumps(body).encode(), "default", V3)

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
def test_the_next_link_is_found_among_other_links_in_the_header(header: str, link: str | None) -> None:
    assert page_of(PLAIN, link=header).next == link


def test_a_link_header_of_the_maximum_length_is_parsed_quickly() -> None:
    """The header consists only of opening brackets.

    Parsing took half a minute when an address was allowed to contain another opening bracket.
    """
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
def test_the_base_url_follows_the_api_version(base_url: str, version: Any, address: str) -> None:
    assert address_of(base_url, version) == address


def test_a_v3_base_url_with_api_version_v2_and_an_unknown_api_version_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"is a v3 address, but api_version is v2\. Set api_version = 'v3'"):
        address_of(V3.base_url, V2)
    with pytest.raises(SettingsError, match=r"api_version is 'v4'\. Use v2 or v3"):
        version_of("v4")


def test_the_v3_module_has_fewer_than_120_lines_of_code() -> None:
    """The limit is 120 lines of code. Blank lines, comments and docstrings do not count."""
    import ast

    path = REPOSITORY / "sources" / "sendcloud" / "api" / "v3.py"
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


# The sandbox, compared with the published responses


@pytest.mark.parametrize("name", [name for name, page in PUBLISHED.items() if isinstance(page["data"], list)])
def test_the_sandbox_serves_the_published_v3_pages(name: str) -> None:
    """The published pickups are entered by hand in the form of v2.

    The sandbox then serves them exactly as on the published page.
    """
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
    assert [list(served) for served in answer.json()["data"]] == [list(record) for record in records]  # order of fields
    assert "Link" not in answer.headers


def get(api: Sandbox, path: str) -> requests.Response:
    return requests.get(f"{api.base_url_v3}/{path}", auth=(api.public_key, api.secret_key), timeout=10)


def test_v3_links_of_the_sandbox_are_only_in_the_header_and_lead_in_both_directions() -> None:
    world = World(clock=NOW)
    numbers = [world.book(created_at=NOW - timedelta(hours=hour)) for hour in (3, 2, 1)]
    with serve(world) as api:
        first = get(api, "pickups?page_size=1")
        second = get(api, first.links["next"]["url"].split("/v3/")[1])

    assert set(first.links) == {"next"}
    assert set(second.links) == {"next", "prev"}
    assert set(second.json()) == {"data"}
    assert [page.json()["data"][0]["id"] for page in (first, second)] == [numbers[2], numbers[1]]


def test_the_v3_sandbox_serves_at_most_100_pickups_and_json_api_errors() -> None:
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
def test_v3_refuses_a_token_without_the_scope_read_pickup(installation: Installation) -> None:
    with serve(World(clock=NOW)) as api:
        form = {"grant_type": "client_credentials", "scope": "api"}
        answer = requests.post(api.token_url, form, auth=(api.client_id, api.client_secret), timeout=10)
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert requests.get(f"{api.base_url_v3}/pickups", headers=bearer, timeout=10).status_code == 403
        assert requests.get(f"{api.base_url}/pickups", headers=bearer, timeout=10).status_code == 200
    assert installation


# Complete runs


def test_a_v3_run_requests_only_the_scope_read_pickup(installation: Installation, world: World, api: Sandbox) -> None:
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
    assert api.tokens._scopes[api.access_token] == {"read:pickup"}


@pytest.mark.parametrize("shape", ["list", "object"])
@pytest.mark.parametrize("status", ["400", 400], ids=["text", "number"])
def test_a_v3_error_message_is_reported_for_every_format_of_the_error_body(
    installation: Installation, api: Sandbox, shape: Any, status: Any
) -> None:
    api.fault(errors_as(shape, status, detail="That page is closed."))
    done = installation.command("run", api=api, SOURCES__SENDCLOUD__API_VERSION="v3")

    assert done.returncode == 4
    assert "GET /api/v3/pickups: 400 That page is closed." in done.stderr


def test_a_page_with_a_single_pickup_in_place_of_a_list_is_loaded(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    api.fault(on_page(lambda records: records[0]))
    installation.run(api, api_version="v3")

    assert installation.pickups() == as_rows(world.records(), api_version="v3")


def test_a_single_pickup_with_invalid_text_is_quarantined_like_a_list_with_one_pickup() -> None:
    """Half a surrogate pair makes the whole body unreadable for a strict decoder."""
    record = json.dumps({**PLAIN, "carrier_code": "halfway"}).replace("halfway", "\\ud800")
    pages = [decode_page(f'{{"data": {data}}}'.encode(), "default", V3) for data in (record, f"[{record}]")]

    assert [one.record for one in pages[0].rejected] == [one.record for one in pages[1].rejected]
    assert [len(page.rejected) for page in pages] == [1, 1]


@pytest.mark.slow
def test_next_links_without_a_page_size_are_followed_unchanged(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The documented links have no page size.

    The first page has 10 pickups. The second has the remaining 50, because the sandbox's default page size is 100.
    """
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
def test_pickups_without_time_slots_are_loaded_and_counted(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The pickups were booked nine and six days ago.

    The window of a pickup without slots is assumed to end a week after the booking.
    """
    for days in (9, 6):
        world.book(created_at=NOW - timedelta(days=days))
    api.fault(on_page(lambda records: [{k: v for k, v in r.items() if k != "time_slots"} for r in records]), times=None)
    installation.run(api, api_version="v3")

    query = "select has_window, is_mature, window_hours from analytics.pickups order by created_at_utc"
    assert installation.rows(query) == [
        {"has_window": False, "is_mature": True, "window_hours": None},
        {"has_window": False, "is_mature": False, "window_hours": None},
    ]
    assert installation.rows("select pickups, with_window from analytics.carrier_windows where is_every_account") == [
        {"pickups": 2, "with_window": 0}
    ]
    assert installation.rows("select count(*) as n from analytics.pickup_slots") == [{"n": 0}]


def test_a_pickup_with_two_slots_has_their_total_length_and_two_opening_hours(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The slots are three and two hours long, on a Monday.

    In Rome, which is an hour ahead of UTC in November, they open at 9:00 and 14:00.
    """
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
    assert installation.rows(f"{grid} from analytics.carrier_window_grid where is_every_account order by all") == [
        {"d": 1, "h": 9, "n": 1},
        {"d": 1, "h": 14, "n": 1},
    ]


def test_a_v3_row_equals_the_row_worked_out_by_hand_from_the_record(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book(contract=5, color="blue")
    installation.run(api, api_version="v3")

    (row,) = installation.pickups()
    (record,) = world.records()
    assert row == as_row(record, api_version="v3")
    assert (row["pickup_status"], row["contract"], row["extra"]) == ("CREATED", 5, '{"color":"blue"}')
