"""A sweep reads everything again: changes that no ordinary run would see, and pickups that are no longer listed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dlt
import pytest

from pipelines import pickups
from pipelines.errors import DestinationFailed
from sources.sendcloud.errors import Unavailable
from sources.sendcloud.sandbox import Sandbox, World, faults, serve
from tests.support.installation import Installation, as_rows, made_once
from tests.support.settled import api as api
from tests.support.settled import as_at_first
from tests.support.settled import one_api as one_api
from tests.support.settled import world as world
from tests.support.templates import PAGES_OF_FIVE, Templates
from tests.support.worlds import NOW, settled

pytestmark = [pytest.mark.duckdb2, pytest.mark.v3, pytest.mark.places]

FIVE_A_PAGE = {"page_size": 5, "pages_per_package": 8}
UNLISTED = "select id, unlisted_since from sendcloud.pickups_unlisted order by id"


@pytest.fixture
def ids(world: World) -> list[int]:
    return [record["id"] for record in reversed(world.records())]


@pytest.fixture(scope="module")
def died_once(one_api: Sandbox, templates: Templates, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose sweep died after two packages."""
    as_at_first(one_api, changed(settled(100)))
    one_api.fault(faults.status(503), page=11, times=None)
    with made_once(tmp_path_factory.mktemp("died")) as installation, pytest.raises(Unavailable):
        installation.as_in(templates.loaded("settled")).run(one_api, sweep=True, **PAGES_OF_FIVE)
    return installation.folder


def changed(world: World) -> World:
    """With something for a sweep to find on pages 3, 8 and 18."""
    ids = [record["id"] for record in reversed(world.records())]
    for number in (10, 60, 85):
        world.change(ids[number], tracking_number="late")
    return world


@pytest.fixture
def loaded(templates: Templates, installation: Installation) -> Installation:
    return installation.as_in(templates.loaded("settled"))


@pytest.fixture
def died_on_page_11(died_once: Path, installation: Installation, world: World) -> Installation:
    """A sweep with something to find on pages 3, 8 and 18, of which it has read two pages of head and eight more."""
    changed(world)
    return installation.as_in(died_once)


def test_a_change_made_after_a_pickup_settled_is_found_by_the_next_sweep(
    loaded: Installation, world: World, api: Sandbox, ids: list[int]
) -> None:
    world.change(ids[10], tracking_number="late")
    ordinary = loaded.run(api, **FIVE_A_PAGE)
    assert (ordinary.rows_changed, ordinary.pages, ordinary.sweep, ordinary.rows_missed) == (0, 2, None, None)

    receipt = loaded.run(api, sweep=True, **FIVE_A_PAGE)

    assert loaded.pickups() == as_rows(world.records())
    assert (receipt.rows_changed, receipt.pages, receipt.sweep) == (1, 20, "complete")
    assert (receipt.rows_missed, receipt.first_missed, receipt.rows_unlisted) == (1, [ids[10]], 0)
    assert (
        f"sweep: everything was read again; 1 row had changed outside the frontier (ids {ids[10]}), "
        "0 rows no longer listed"
    ) in receipt.remarks()


@pytest.mark.slow
def test_the_first_few_of_many_are_named(loaded: Installation, world: World, api: Sandbox, ids: list[int]) -> None:
    for pickup in ids[10:17]:
        world.change(pickup, contract=7)

    receipt = loaded.run(api, sweep=True, **FIVE_A_PAGE)

    assert (receipt.rows_missed, receipt.first_missed) == (7, ids[10:15])
    assert "(ids " + ", ".join(map(str, ids[10:15])) + " …)" in " ".join(receipt.remarks())


@pytest.mark.slow
def test_what_an_ordinary_run_would_have_read_is_not_counted_as_missed(
    loaded: Installation, world: World, api: Sandbox, ids: list[int]
) -> None:
    """The newest pickup, and one within the hour before it, lie after the frontier; a booking is new anyway."""
    world.change(ids[-1], tracking_number="soon")
    world.book()

    receipt = loaded.run(api, sweep=True, **FIVE_A_PAGE)

    assert (receipt.rows_new, receipt.rows_changed, receipt.rows_missed) == (1, 1, 0)


@pytest.mark.slow
def test_a_booking_that_was_committed_far_too_late_is_found_and_counted(
    loaded: Installation, world: World, api: Sandbox
) -> None:
    late = world.book(created_at=NOW - timedelta(days=70, hours=1), id=7, pickup_status="Failed", listed_from=NOW)

    receipt = loaded.run(api, sweep=True, **FIVE_A_PAGE)

    assert (receipt.rows_new, receipt.rows_missed, receipt.first_missed) == (1, 1, [late])
    assert loaded.pickups() == as_rows(world.records())


def test_pickups_no_longer_listed_stay_and_a_check_names_them(
    loaded: Installation, world: World, api: Sandbox, ids: list[int]
) -> None:
    before = loaded.pickups()
    world.remove(ids[3])
    world.remove(ids[-1])

    receipt = loaded.run(api, sweep=True, **FIVE_A_PAGE)

    assert receipt.rows_unlisted == 2
    assert receipt.checks_failed["no_longer_listed"] == 2
    assert receipt.exit_code == 0
    assert loaded.pickups() == before
    assert loaded.rows(UNLISTED) == [{"id": id_, "unlisted_since": NOW} for id_ in (ids[3], ids[-1])]
    assert loaded.rows("select * from sendcloud.pickups_swept") == []


def test_a_pickup_that_is_listed_again_is_off_the_list_and_the_others_keep_their_date(
    loaded: Installation, world: World, api: Sandbox, ids: list[int]
) -> None:
    world.remove(ids[3])
    world.remove(ids[-1])
    loaded.run(api, sweep=True, **FIVE_A_PAGE)
    world.remove(ids[-1], at=NOW + timedelta(days=900))  # back, and at the top: an ordinary run reads it
    world.advance(days=1)

    assert loaded.run(api, **FIVE_A_PAGE).checks_failed["no_longer_listed"] == 1
    assert loaded.run(api, sweep=True, **FIVE_A_PAGE).rows_unlisted == 1
    assert loaded.rows(UNLISTED) == [{"id": ids[3], "unlisted_since": NOW}]


def test_a_pickup_that_is_listed_but_cannot_be_read_is_not_gone(
    loaded: Installation, world: World, api: Sandbox, ids: list[int]
) -> None:
    world.change(ids[3], carrier=None)

    receipt = loaded.run(api, sweep=True, **FIVE_A_PAGE)

    assert (receipt.quarantined, receipt.rows_unlisted) == (1, 0)


def test_a_sweep_that_dies_is_gone_on_with_by_the_next_run_whichever_it_is(
    died_on_page_11: Installation, world: World, api: Sandbox
) -> None:
    """Two packages of history were loaded, pages 3 to 10; left are pages 11 to 20, after two pages of head."""
    (row,) = died_on_page_11.rows("select sweep, rows_missed from sendcloud.pickup_runs where outcome = 'failed'")
    assert row == {"sweep": "incomplete", "rows_missed": 2}
    asked = len(api.requests)

    receipt = died_on_page_11.run(api, **FIVE_A_PAGE)

    assert len(api.requests) - asked == 2 + 10
    assert died_on_page_11.pickups() == as_rows(world.records())
    assert (receipt.sweep, receipt.rows_unlisted, receipt.history_complete) == ("complete", 0, True)
    assert died_on_page_11.run(api, **FIVE_A_PAGE).sweep is None


@pytest.mark.slow
def test_what_it_found_before_it_died_is_counted_with_the_rest(
    died_on_page_11: Installation, api: Sandbox, ids: list[int]
) -> None:
    receipt = died_on_page_11.run(api, **FIVE_A_PAGE)

    assert (receipt.rows_changed, receipt.rows_missed) == (1, 3)
    assert receipt.first_missed == [ids[10], ids[60], ids[85]]


@pytest.mark.slow
def test_what_was_booked_while_it_was_under_way_is_not_taken_for_gone(
    died_on_page_11: Installation, world: World, api: Sandbox
) -> None:
    world.book()

    receipt = died_on_page_11.run(api, **FIVE_A_PAGE)

    assert (receipt.sweep, receipt.rows_new, receipt.rows_unlisted, receipt.rows_missed) == ("complete", 1, 0, 3)


@pytest.mark.slow
def test_a_stored_link_that_the_api_no_longer_knows_means_again_from_the_top_and_counts_the_same(
    died_on_page_11: Installation, world: World, api: Sandbox
) -> None:
    asked = len(api.requests)
    api.on_request = lambda sandbox, number: sandbox.fault(faults.expired_cursor()) if number == asked + 3 else None

    receipt = died_on_page_11.run(api, **FIVE_A_PAGE)

    assert (receipt.sweep, receipt.rows_missed, receipt.rows_unlisted) == ("complete", 3, 0)
    assert died_on_page_11.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_a_run_that_dies_between_its_last_load_and_the_result_leaves_the_result_to_the_next(
    loaded: Installation, world: World, api: Sandbox, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.change(ids[10], tracking_number="late")
    world.remove(ids[3])
    with monkeypatch.context() as patched:
        patched.setattr(pickups, "conclude", lambda *_facts: False)
        loaded.run(api, sweep=True, **FIVE_A_PAGE)
    world.book()

    receipt = loaded.run(api, **FIVE_A_PAGE)

    assert (receipt.sweep, receipt.rows_missed, receipt.rows_unlisted) == ("complete", 1, 1)
    assert loaded.run(api, **FIVE_A_PAGE).sweep is None


@pytest.mark.slow
def test_what_a_sweep_found_and_could_not_tell_is_told_by_the_next_sweep_too(
    loaded: Installation, world: World, api: Sandbox, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.change(ids[10], tracking_number="late")
    with monkeypatch.context() as patched:
        patched.setattr(pickups, "conclude", lambda *_facts: False)
        loaded.run(api, sweep=True, **FIVE_A_PAGE)
    world.advance(minutes=5)

    receipt = loaded.run(api, sweep=True, **FIVE_A_PAGE)

    assert (receipt.sweep, receipt.rows_missed, receipt.first_missed) == ("complete", 1, [ids[10]])


def test_a_sweep_of_which_nothing_was_loaded_is_not_called_under_way(
    loaded: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.book()
    monkeypatch.setattr(dlt.Pipeline, "load", lambda *_args: (_ for _ in ()).throw(OSError("power cut")))
    with pytest.raises(DestinationFailed):
        loaded.run(api, sweep=True, **FIVE_A_PAGE)

    assert loaded.rows("select sweep from sendcloud.pickup_runs where outcome = 'failed'") == [{"sweep": None}]


@pytest.mark.slow
def test_in_a_list_without_order_nothing_is_missed_for_every_run_reads_all(
    installation: Installation, world: World, ids: list[int]
) -> None:
    with serve(world, order="ascending") as api:
        installation.run(api, **FIVE_A_PAGE)
        world.change(ids[60], tracking_number="late")

        receipt = installation.run(api, sweep=True, **FIVE_A_PAGE)

    assert (receipt.rows_changed, receipt.rows_missed, receipt.frontier) == (1, 0, None)


@pytest.mark.slow
def test_asked_for_while_a_first_load_is_unfinished_it_is_not_begun_and_says_so(
    installation: Installation, world: World, api: Sandbox
) -> None:
    api.fault(faults.status(503), page=11, times=None)
    with pytest.raises(Unavailable):
        installation.run(api, **FIVE_A_PAGE)
    api.heal()

    receipt = installation.run(api, sweep=True, **FIVE_A_PAGE)

    assert (receipt.sweep, receipt.history_complete, receipt.rows_missed) == ("not_begun", True, None)
    assert "sweep: not begun" in " ".join(receipt.remarks())
    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_a_sweep_as_the_very_first_run_is_a_first_load_that_misses_nothing(
    installation: Installation, world: World, api: Sandbox
) -> None:
    api.fault(faults.status(503), page=11, times=None)
    with pytest.raises(Unavailable):
        installation.run(api, sweep=True, **FIVE_A_PAGE)
    api.heal()

    receipt = installation.run(api, **FIVE_A_PAGE)

    assert (receipt.sweep, receipt.rows_missed, receipt.rows_unlisted) == ("complete", 0, 0)
    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
@pytest.mark.parametrize("order", ["ascending", "shuffled", "offset"])
def test_a_list_in_any_order_can_be_swept(installation: Installation, world: World, ids: list[int], order: str) -> None:
    with serve(world, order=order) as api:
        installation.run(api, **FIVE_A_PAGE)
        world.change(ids[10], tracking_number="late")
        world.remove(ids[3])

        receipt = installation.run(api, sweep=True, **FIVE_A_PAGE)

    assert (receipt.sweep, receipt.rows_changed, receipt.rows_unlisted) == ("complete", 1, 1)


def test_what_lies_before_a_start_date_is_not_missed(loaded: Installation, world: World, api: Sandbox) -> None:
    """53 days: the 33 newest pickups, the eight pages they are on, of which the last is half outside."""
    since = NOW - timedelta(days=53)
    (loaded.folder / ".dlt" / "config.toml").write_text(
        f"[sources.sendcloud.pickups.created_at]\ninitial_value = {since:%Y-%m-%dT%H:%M:%SZ}\n"
    )

    receipt = loaded.run(api, sweep=True, **FIVE_A_PAGE)

    assert (receipt.sweep, receipt.pages, receipt.rows_unlisted) == ("complete", 8, 0)
    assert loaded.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_the_weekly_sweep_finds_broken_records_of_old_and_later_runs_stay_short(
    loaded: Installation, world: World, api: Sandbox, ids: list[int]
) -> None:
    world.change(ids[3], carrier=None)
    loaded.run(api, sweep=True, **FIVE_A_PAGE)
    world.advance(days=1)

    assert loaded.run(api, **FIVE_A_PAGE).pages == 2


@pytest.mark.slow
def test_status_tells_of_the_last_sweep_and_of_one_under_way(died_on_page_11: Installation, api: Sandbox) -> None:
    def told() -> str:
        (line,) = [x for x in died_on_page_11.command("status").stdout.splitlines() if "last sweep" in x]
        return line.split("last sweep", 1)[1].strip()

    assert told() == "under way; the one before: never (pickups run --sweep, once a week)"
    died_on_page_11.run(api, **FIVE_A_PAGE)
    assert told() == "2026-11-20 12:00:00 UTC"


@pytest.mark.slow
def test_the_command_has_the_option(loaded: Installation, api: Sandbox) -> None:
    done = loaded.command("run", "--sweep", api=api)

    assert done.returncode == 0
    assert "sweep: everything was read again; 0 rows had changed outside the frontier, 0 rows" in done.stdout
