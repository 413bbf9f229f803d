"""Tests lists that look complete but lack open pickups, because they were cut short or because pickups were removed.

Each installation starts with 20 open pickups on four pages of five, booked 8 hours apart. The newest is 8 hours old.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.cases import quick
from tests.support.installation import API_VERSION, Installation, as_rows
from tests.support.short_lists import empty_next, ending, nothing, without_last_rows, without_next, without_rows
from tests.support.walking import walked
from tests.support.worlds import NOW, a_year_of_settled_pickups

pytestmark = [pytest.mark.duckdb2, pytest.mark.v3, pytest.mark.places]
CHECK = "open_pickups_listed"


@pytest.fixture
def world() -> World:
    world = World(clock=NOW)
    a_year_of_settled_pickups(world, 10)
    for number in range(20):
        world.book(created_at=NOW - timedelta(hours=8 * (20 - number)))
    return world


def numbers(world: World) -> list[int]:
    """Returns the ids of the open pickups, newest first."""
    return [record["id"] for record in world.records()][:20]


def run(installation: Installation, api: Sandbox, **settings: Any) -> Any:
    api.world.advance(minutes=15)
    return installation.run(api, page_size=5, **settings)


def loaded(installation: Installation, api: Sandbox) -> None:
    api.world.advance(minutes=15)
    installation.loaded(api, page_size=5)


@pytest.mark.skipif(API_VERSION == "v3", reason="v3 has no key `next`")
def test_v2_page_without_next_ends_the_run_with_an_error(installation: Installation, api: Sandbox) -> None:
    api.fault(without_next(), times=None)

    done, checked = installation.command("run", api=api), installation.command("check", api=api)

    assert (done.returncode, checked.returncode) == (4, 4)
    assert "200, but not a page of pickups: Object missing required field `next`" in done.stderr
    assert "missing required field `next`" in checked.stdout


def test_page_whose_next_link_is_empty_ends_the_run_with_an_error(installation: Installation, api: Sandbox) -> None:
    api.fault(empty_next(), times=None)

    done, checked = installation.command("run", api=api), installation.command("check", api=api)

    assert (done.returncode, checked.returncode) == (4, 4)
    assert "200, but not a page of pickups: the link to the next page is empty" in done.stderr
    assert "the link to the next page is empty" in checked.stdout


@pytest.mark.parametrize(
    ("fault", "page", "missing", "cancelled"),
    quick(
        [
            (nothing(), 1, 20, 19),
            (ending(), 1, 15, 19),
            (ending(), 2, 10, 19),
            (without_rows(), 2, 5, 7),
            (without_rows(), 4, 5, 19),
            (without_last_rows(3), 1, 3, 4),
        ],
        only=(0, 3),
    ),
    ids=[
        "empty list",
        "cut after page 1",
        "cut after page 2",
        "hole on page 2",
        "hole on the last page of open pickups",
        "half of page 1",
    ],
)
def test_list_without_known_open_pickups_fails_every_run_until_they_are_listed(
    installation: Installation, world: World, api: Sandbox, fault: Any, page: int, missing: int, cancelled: int
) -> None:
    """Meanwhile, one of the missing pickups is cancelled. The first good run finds that."""
    loaded(installation, api)
    api.fault(fault, page=page, times=None)
    world.cancel(numbers(world)[cancelled])

    short, still_short = run(installation, api), run(installation, api)

    assert (short.open_missing, short.checks_failed) == (missing, {CHECK: missing})
    assert (still_short.open_missing, still_short.exit_code, short.exit_code) == (missing, 1, 1)
    assert len(installation.pickups()) == 30
    assert f"{missing} open pickups missing from the list, which may have been cut short" in " ".join(short.remarks())

    api.heal()
    mended, quiet = run(installation, api), run(installation, api)

    assert installation.pickups() == as_rows(world.records())
    assert (mended.open_missing, mended.exit_code, mended.rows_changed) == (0, 0, 1)
    assert (quiet.open_missing, quiet.exit_code, quiet.rows_changed, quiet.requests) == (0, 0, 0, 5)


@walked
@pytest.mark.parametrize(
    ("fault", "page"), quick([(nothing(), 1), (ending(), 1), (ending(), 3), (without_rows(), 4)], only=(3,))
)
def test_source_reads_missing_open_pickups_again(
    installation: Installation, world: World, api: Sandbox, fault: Any, page: int
) -> None:
    """Without `pipelines`, nobody is told, but nothing is lost either."""
    loaded(installation, api)
    api.fault(fault, page=page, times=None)
    run(installation, api)
    run(installation, api)
    api.heal()
    world.cancel(numbers(world)[-1])

    receipt = run(installation, api)

    assert (receipt.rows_changed, receipt.open_pickups) == (1, 19)
    assert installation.pickups() == as_rows(world.records())


@pytest.mark.parametrize("place", quick([0, 7, 19], only=(2,)), ids=["newest", "middle", "oldest"])
def test_single_pickup_that_was_removed_fails_one_run(
    installation: Installation, world: World, api: Sandbox, place: int
) -> None:
    loaded(installation, api)
    removed = numbers(world)[place]
    world.remove(removed)

    first, second = run(installation, api), run(installation, api)

    assert (first.open_missing, first.checks_failed, first.exit_code) == (1, {CHECK: 1, "no_longer_listed": 1}, 1)
    assert (second.open_missing, second.checks_failed, second.exit_code) == (0, {"no_longer_listed": 1}, 0)
    assert removed in [row["id"] for row in installation.pickups()]


@walked
def test_removed_pickup_holds_the_frontier_back_for_settle_days_at_most(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """The oldest open pickup was booked 160 hours ago. The next one, booked 8 hours later, stays open for weeks."""
    world.change(numbers(world)[-2], pickup_from=NOW + timedelta(days=20), pickup_until=None)
    loaded(installation, api)
    world.remove(numbers(world)[-1])
    run(installation, api)
    held = run(installation, api)
    world.advance(days=8)
    run(installation, api)
    released = run(installation, api)

    assert held.frontier == NOW - timedelta(hours=161)
    assert released.frontier == NOW - timedelta(hours=153)


def test_account_emptied_on_purpose_fails_until_a_sweep_or_until_its_pickups_settle(
    installation: Installation, api: Sandbox
) -> None:
    loaded(installation, api)
    api.fault(nothing(), times=None)

    failed, swept, after = run(installation, api), run(installation, api, sweep=True), run(installation, api)

    assert [one.exit_code for one in (failed, swept, after)] == [1, 1, 0]
    assert (swept.rows_unlisted, after.checks_failed) == (30, {"no_longer_listed": 30})
    assert len(installation.pickups()) == 30


def test_pickups_that_settle_unseen_are_not_missing(installation: Installation, world: World, api: Sandbox) -> None:
    """The newest window ends two days after the last booking, and pickups settle a week later."""
    loaded(installation, api)
    api.fault(nothing(), times=None)
    world.advance(days=10)

    receipt = run(installation, api)

    assert (receipt.open_missing, receipt.exit_code) == (0, 0)


def test_rejected_record_of_an_open_pickup_counts_as_listed(
    installation: Installation, world: World, api: Sandbox
) -> None:
    loaded(installation, api)
    world.change(numbers(world)[3], carrier="")

    receipt = run(installation, api)

    assert (receipt.quarantined, receipt.open_missing) == (1, 0)


def test_later_start_date_does_not_miss_the_pickups_before_it(installation: Installation, api: Sandbox) -> None:
    loaded(installation, api)
    section = "[sources.sendcloud.pickups.created_at]"
    (installation.folder / ".dlt" / "config.toml").write_text(f"{section}\ninitial_value = 2026-11-19T06:00:00Z\n")

    receipt = run(installation, api)

    assert (receipt.open_missing, receipt.exit_code) == (0, 0)


def test_change_of_version_misses_open_pickups_like_any_other_run(installation: Installation, api: Sandbox) -> None:
    """v3 lists the pickups of v2, and more. Back in v2, those that only v3 has read are not missing."""
    run(installation, api, api_version="v2", base_url=api.base_url)
    api.fault(nothing(), times=None)
    empty = run(installation, api, api_version="v3", base_url=api.base_url_v3)
    api.heal()
    full = run(installation, api, api_version="v3", base_url=api.base_url_v3)
    api.fault(nothing(), times=None)
    back = run(installation, api, api_version="v2", base_url=api.base_url)

    assert (empty.open_missing, full.open_missing, back.open_missing) == (20, 0, 0)


def test_check_names_the_pickup_that_holds_back_the_frontier(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """Its window was typed as 2062. It was booked 40 days before the newest pickup, and is open for 36 years."""
    below_all = world.records()[-1]["id"] - 1
    typo = world.book(id=below_all, created_at=NOW - timedelta(days=40, hours=8), pickup_from=NOW.replace(year=2062))

    receipt = run(installation, api)

    assert (receipt.frontier_pickup_id, receipt.exit_code) == (typo, 0)
    assert receipt.checks_failed == {"frontier_held_back": 1}
    assert f"frontier_held_back (1 row: {typo})" in " ".join(receipt.remarks())


def test_unsorted_list_read_in_packages_misses_nothing(installation: Installation, world: World, api: Sandbox) -> None:
    loaded(installation, api)
    api.order = "shuffled"
    receipts = [run(installation, api, pages_per_package=2) for _ in range(2)]
    world.remove(numbers(world)[5])

    receipt = run(installation, api, pages_per_package=2)

    assert [one.open_missing for one in receipts] == [0, 0]
    assert (receipt.order, receipt.open_missing) == ("unsorted", 1)
