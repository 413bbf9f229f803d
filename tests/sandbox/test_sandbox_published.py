"""Tests that the sandbox responds as the published documents specify."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sources.sendcloud.sandbox import World, serve
from sources.sendcloud.sandbox.carriers import ZONES
from tests.support.sandbox_answers import MONDAY, PUBLISHED, WIDER, conforms, get, ids, walk


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_list_is_served_and_read_back_unchanged(name: str) -> None:
    published = PUBLISHED[name]

    with serve(World.of(published["pickups"])) as sandbox:
        page = get(sandbox).json()

    assert conforms(published)
    assert page["pickups"] == published["pickups"]
    assert [list(pickup) for pickup in page["pickups"]] == [list(pickup) for pickup in published["pickups"]]


def test_a_published_list_keeps_its_order_on_pages_of_one_pickup() -> None:
    for published in PUBLISHED.values():
        with serve(World.of(published["pickups"])) as sandbox:
            assert ids(*walk(sandbox, limit=1)) == ids(published)


def test_the_next_link_has_the_form_of_the_published_link() -> None:
    world = World(clock=MONDAY)
    world.book(id=294343)
    world.book(id=294344)
    published = PUBLISHED["FailedPickups"]["next"]

    with serve(world) as sandbox:
        link = get(sandbox, "/pickups?limit=1").json()["next"]

    assert published == "https://panel.sendcloud.sc/api/v2/pickups/?cursor=cD0yOTQzNDQ%3D&limit=1"
    assert link == published.replace("https://panel.sendcloud.sc/api/v2", sandbox.base_url)


def test_every_page_of_a_seeded_world_conforms_to_the_schema() -> None:
    world = World.seeded(1_500, until=MONDAY, seed=3)
    with serve(world) as sandbox:
        for days in (0, 3):
            world.clock = MONDAY - timedelta(days=days)
            pages = list(walk(sandbox, limit=500))
            assert all(conforms(page, WIDER) for page in pages)
            assert [pickup for page in pages for pickup in page["pickups"]] == world.records()


def test_times_are_sent_with_microseconds_unless_they_are_whole_seconds() -> None:
    world = World(clock=MONDAY)
    whole = world.book(created_at=datetime(2026, 11, 22, 9, 0, 1, tzinfo=UTC))
    broken = world.book(created_at=datetime(2026, 11, 22, 10, 0, 1, 992000, tzinfo=UTC))
    abroad = world.book(created_at=datetime(2026, 11, 22, 12, tzinfo=ZONES["IT"]))

    assert world.record(whole)["created_at"] == "2026-11-22T09:00:01Z"
    assert world.record(broken)["created_at"] == "2026-11-22T10:00:01.992000Z"
    assert world.record(abroad)["created_at"] == "2026-11-22T11:00:00Z"
    with pytest.raises(ValueError, match="has no offset"):
        world.book(created_at=datetime(2026, 11, 22, 12))  # noqa: DTZ001


def test_a_contract_is_absent_null_or_a_number() -> None:
    world = World(clock=MONDAY)
    absent, null, number = world.book(), world.book(contract=None), world.book(contract=57)

    assert "contract" not in world.record(absent)
    assert world.record(null)["contract"] is None
    assert world.record(number)["contract"] == 57


def test_the_date_header_shows_the_clock_of_the_world() -> None:
    with serve(World(clock=datetime(2022, 4, 6, 12, 30, 5, tzinfo=UTC))) as sandbox:
        assert get(sandbox).headers["Date"] == "Wed, 06 Apr 2022 12:30:05 GMT"
        sandbox.world.advance(days=1)
        assert get(sandbox).headers["Date"] == "Thu, 07 Apr 2022 12:30:05 GMT"
        assert get(sandbox).headers["Content-Type"] == "application/json"
