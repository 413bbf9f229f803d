"""Tests that the table matches the world after each of several runs, whatever happens between them."""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.sendcloud.sandbox import World, serve
from tests.support.installation import Installation, as_rows
from tests.support.worlds import NOW

pytestmark = pytest.mark.v3

HISTORIES = int(os.environ.get("HISTORIES", settings().max_examples // 2))
ages = st.floats(min_value=0, max_value=60, allow_nan=False)
moments = st.timedeltas(timedelta(0), timedelta(days=60)).map(lambda ago: NOW - ago)


@st.composite
def histories(draw: st.DrawFn) -> tuple[World, list[list[tuple[str, float]]]]:
    """Draws a world with pickups of all ages, and the events before each of two or three more runs."""
    world = World(clock=NOW)
    bookings = draw(st.lists(st.tuples(moments, st.integers(-24, 24 * 20)), max_size=40))
    for created_at, lead_hours in sorted(bookings):
        opens = created_at + timedelta(hours=lead_hours)
        world.book(created_at=created_at, pickup_from=opens, pickup_until=opens + timedelta(hours=3))
    happening = st.tuples(st.sampled_from(["book", "cancel", "fail", "relabel", "late"]), st.floats(0, 0.999))
    return world, draw(st.lists(st.lists(happening, max_size=6), min_size=2, max_size=3))


def apply_event(world: World, what: str, where: float) -> None:
    """Applies an event that occurs in real accounts, where only open pickups change."""
    if what == "book":
        world.book()
    elif what == "late":
        world.book(created_at=world.clock - timedelta(minutes=55))
    elif may_change := [r for r in world.records() if is_open(r, world.clock)]:
        pickup = may_change[int(where * len(may_change))]["id"]
        if what == "relabel":
            world.change(pickup, tracking_number=f"TN{where}", contract=int(where * 100))
        else:
            (world.cancel if what == "cancel" else world.fail)(pickup)


def is_open(record: dict, now: datetime) -> bool:
    """Returns whether the pickup is open, worked out by hand from the design.

    An open pickup's status is not final, and less than seven days have passed since its window ended.
    """
    ended = datetime.fromisoformat(record["pickup_until"] or record["pickup_from"])
    return record["pickup_status"] not in ("Cancelled", "Failed") and now < ended + timedelta(days=7)


@settings(max_examples=HISTORIES)
@given(
    history=histories(),
    page_size=st.integers(1, 12),
    pages_per_package=st.integers(1, 5),
    order=st.sampled_from(["descending", "ascending", "offset"]),
)
def test_every_run_leaves_one_row_for_each_listed_pickup_in_its_latest_state(
    history: tuple[World, list[list[tuple[str, float]]]], page_size: int, pages_per_package: int, order: str
) -> None:
    """The default run tries two histories, `make test-all` twelve, and `make soak` a hundred."""
    world, turns = history
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        (Path(folder) / ".dlt").mkdir()
        installation = Installation(Path(folder), patched)
        with serve(world, order=order) as api:
            before: list[dict] = []
            for turn in [[], *turns]:
                for what, where in turn:
                    apply_event(world, what, where)
                receipt = installation.run(api, page_size=page_size, pages_per_package=pages_per_package)

                expected = as_rows(world.records())
                assert installation.pickups() == expected
                known = {row["id"]: row for row in before}
                new = [row for row in expected if row["id"] not in known]
                changed = [row for row in expected if row["id"] in known and row != known[row["id"]]]
                assert (receipt.rows_new, receipt.rows_changed) == (len(new), len(changed))
                before = expected
                world.advance(hours=30)
        shutil.rmtree(Path(folder) / "data")


@pytest.mark.slow
def test_weekly_runs_over_a_month_keep_every_field_of_a_seeded_world_up_to_date(installation: Installation) -> None:
    """The world has nine carriers with all their oddities, and it is read once a week.

    Between runs, only the clock moves.
    """
    world = World.seeded(1_000, until=NOW)
    world.clock = NOW - timedelta(days=28)
    with serve(world, max_limit=100) as api:
        for _ in range(5):
            installation.run(api)
            assert installation.pickups() == as_rows(world.records())
            world.advance(days=7)
