"""Tests how the sandbox divides its list into pages."""

from __future__ import annotations

import pytest

from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.sandbox_answers import MONDAY, get, ids, walk
from tests.support.sandbox_answers import seven as seven


def test_paging_forward_and_back_gives_each_pickup_once(seven: Sandbox) -> None:
    newest_first = [290007, 290006, 290005, 290004, 290003, 290002, 290001]

    forward = list(walk(seven, limit=3))
    back = list(walk(seven, limit=3, link="previous", start=forward[-1]["previous"]))

    assert [ids(page) for page in forward] == [newest_first[:3], newest_first[3:6], newest_first[6:]]
    assert [ids(page) for page in back] == [newest_first[3:6], newest_first[:3]]
    assert forward[0]["previous"] is None
    assert forward[-1]["next"] is None


def test_a_full_last_page_has_no_next_link(seven: Sandbox) -> None:
    page = get(seven, "/pickups?limit=7").json()

    assert len(page["pickups"]) == 7
    assert (page["next"], page["previous"]) == (None, None)


@pytest.mark.parametrize(
    ("asked", "rows"), [("", 2), ("?limit=3", 3), ("?limit=500", 4), ("?limit=0", 2), ("?limit=-1", 2), ("?limit=x", 2)]
)
def test_a_limit_is_clamped_or_falls_back_to_the_default(asked: str, rows: int) -> None:
    world = World(clock=MONDAY)
    for _ in range(9):
        world.book()
    with serve(world, default_limit=2, max_limit=4) as sandbox:
        page = get(sandbox, f"/pickups{asked}").json()

    assert len(page["pickups"]) == rows
    assert ("limit" in page["next"]) == bool(asked)


@pytest.mark.parametrize("cursor", ["nonsense", "cD14", "bz0z", "cD0%3D", "%F0%9F%98%80", ""])
def test_an_unknown_cursor_returns_404_and_an_empty_cursor_is_ignored(seven: Sandbox, cursor: str) -> None:
    answer = get(seven, f"/pickups/?cursor={cursor}&limit=2")

    if cursor == "":
        assert answer.status_code == 200  # as without a cursor
    else:
        assert answer.status_code == 404
        assert answer.json() == {"error": {"code": 404, "request": "api/v2/pickups", "message": "Invalid cursor"}}


def test_a_booking_during_a_walk_does_not_shift_the_pages(seven: Sandbox) -> None:
    seven.on_request = lambda sandbox, number: sandbox.world.book() if number == 2 else None

    assert [ids(page) for page in walk(seven, limit=3)] == [
        [290007, 290006, 290005],
        [290004, 290003, 290002],
        [290001],
    ]
    assert ids(get(seven).json())[0] == 290008


def test_removing_the_row_that_a_cursor_names_does_not_shift_the_pages(seven: Sandbox) -> None:
    seven.on_request = lambda sandbox, number: sandbox.world.remove(290005) if number == 2 else None

    assert ids(*walk(seven, limit=3)) == [290007, 290006, 290005, 290004, 290003, 290002, 290001]
    assert 290005 not in ids(get(seven).json())


def test_with_offset_cursors_a_booking_during_a_walk_repeats_a_row(seven: Sandbox) -> None:
    seven.order = "offset"
    seven.on_request = lambda sandbox, number: sandbox.world.book() if number == 2 else None

    assert ids(*walk(seven, limit=3)) == [290007, 290006, 290005, 290005, 290004, 290003, 290002, 290001]


def test_the_list_can_be_ascending_or_shuffled(seven: Sandbox) -> None:
    seven.order = "ascending"
    assert ids(*walk(seven, limit=3)) == [290001, 290002, 290003, 290004, 290005, 290006, 290007]

    seven.order = "shuffled"
    shuffled = ids(*walk(seven, limit=3))
    assert sorted(shuffled) == [290001, 290002, 290003, 290004, 290005, 290006, 290007]
    assert shuffled not in (sorted(shuffled), sorted(shuffled, reverse=True))
    seven.world.book()
    assert [number for number in ids(*walk(seven, limit=3)) if number != 290008] == shuffled
