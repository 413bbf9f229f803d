"""Tests sweeps, which find changes that no ordinary run would read and pickups that are no longer listed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dlt
import pytest

from pipelines.errors import DestinationError
from pipelines.loading import attempt
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
def interrupted_folder(one_api: Sandbox, templates: Templates, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a project folder whose sweep failed after two packages of history."""
    as_at_first(one_api, with_late_changes(settled(100)))
    one_api.fault(faults.status(503), page=11, times=None)
    with made_once(tmp_path_factory.mktemp("died")) as installation, pytest.raises(Unavailable):
        installation.as_in(templates.loaded("settled")).run(one_api, sweep=True, **PAGES_OF_FIVE)
    return installation.folder


def with_late_changes(world: World) -> World:
    """Changes one settled pickup on each of pages 3, 8 and 18, and returns the world."""
    ids = [record["id"] for record in reversed(world.records())]
    for number in (10, 60, 85):
        world.change(ids[number], tracking_number="late")
    return world


@pytest.fixture
def loaded(templates: Templates, installation: Installation) -> Installation:
    return installation.as_in(templates.loaded("settled"))


@pytest.fixture
def interrupted_sweep(interrupted_folder: Path, installation: Installation, world: World) -> Installation:
    """Returns an installation with an interrupted sweep, and with changes on pages 3, 8 and 18.

    The sweep has read two pages of the head and eight more pages.
    """
    with_late_changes(world)
    return installation.as_in(interrupted_folder)


def test_a_change_made_after_a_pickup_settled_is_found_by_the_next_sweep(
    loaded: Installation, world: World, api: Sandbox, ids: list[int]
) -> None:
    world.change(ids[10], tracking_number="late")
    ordinary = loaded.run(api, **FIVE_A_PAGE)
    assert (ordinary.rows_changed, ordinary.pages, ordinary.sweep, ordinary.rows_missed) == (0, 2, None, None)

    receipt = loaded.run(api, sweep=True, **FIVE_A_PAGE)

    assert loaded.pickups() == as_rows(world.records())
    assert (receipt.rows_changed, receipt.pages, receipt.sweep) == (1, 20, "complete")
    assert (receipt.rows_missed, receipt.missed_ids, receipt.rows_unlisted) == (1, [ids[10]], 0)
    assert (
        f"sweep: everything was read again; 1 row had changed outside the frontier (ids {ids[10]}), "
        "0 rows no longer listed"
    ) in receipt.remarks()


@pytest.mark.slow
def test_receipt_names_only_the_five_lowest_missed_ids(
    loaded: Installation, world: World, api: Sandbox, ids: list[int]
) -> None:
    for pickup in ids[10:17]:
        world.change(pickup, contract=7)

    receipt = loaded.run(api, sweep=True, **FIVE_A_PAGE)

    assert (receipt.rows_missed, receipt.missed_ids) == (7, ids[10:15])
    assert "(ids " + ", ".join(map(str, ids[10:15])) + " …)" in " ".join(receipt.remarks())


@pytest.mark.slow
def test_changes_that_an_ordinary_run_would_read_do_not_count_as_missed(
    loaded: Installation, world: World, api: Sandbox, ids: list[int]
) -> None:
    """The newest pickup, and any pickup booked within the hour before it, lie after the frontier.

    A booking counts as new in any case.
    """
    world.change(ids[-1], tracking_number="soon")
    world.book()

    receipt = loaded.run(api, sweep=True, **FIVE_A_PAGE)

    assert (receipt.rows_new, receipt.rows_changed, receipt.rows_missed) == (1, 1, 0)


@pytest.mark.slow
def test_booking_listed_far_too_late_is_found_and_counts_as_missed(
    loaded: Installation, world: World, api: Sandbox
) -> None:
    late = world.book(created_at=NOW - timedelta(days=70, hours=1), id=7, pickup_status="Failed", listed_from=NOW)

    receipt = loaded.run(api, sweep=True, **FIVE_A_PAGE)

    assert (receipt.rows_new, receipt.rows_missed, receipt.missed_ids) == (1, 1, [late])
    assert loaded.pickups() == as_rows(world.records())


def test_pickups_no_longer_listed_keep_their_rows_and_a_check_reports_them(
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


def test_pickup_listed_again_leaves_the_unlisted_table_and_others_keep_their_date(
    loaded: Installation, world: World, api: Sandbox, ids: list[int]
) -> None:
    world.remove(ids[3])
    world.remove(ids[-1])
    loaded.run(api, sweep=True, **FIVE_A_PAGE)
    world.remove(ids[-1], at=NOW + timedelta(days=900))  # listed again at the top: an ordinary run reads it
    world.advance(days=1)

    assert loaded.run(api, **FIVE_A_PAGE).checks_failed["no_longer_listed"] == 1
    assert loaded.run(api, sweep=True, **FIVE_A_PAGE).rows_unlisted == 1
    assert loaded.rows(UNLISTED) == [{"id": ids[3], "unlisted_since": NOW}]


def test_pickup_that_is_listed_but_unreadable_does_not_count_as_unlisted(
    loaded: Installation, world: World, api: Sandbox, ids: list[int]
) -> None:
    world.change(ids[3], carrier=None)

    receipt = loaded.run(api, sweep=True, **FIVE_A_PAGE)

    assert (receipt.quarantined, receipt.rows_unlisted) == (1, 0)


def test_next_ordinary_run_resumes_an_interrupted_sweep(
    interrupted_sweep: Installation, world: World, api: Sandbox
) -> None:
    """The interrupted sweep loaded two packages of history, pages 3 to 10.

    The next run reads two pages of the head and then the remaining pages, 11 to 20.
    """
    (row,) = interrupted_sweep.rows("select sweep, rows_missed from sendcloud.pickup_runs where outcome = 'failed'")
    assert row == {"sweep": "incomplete", "rows_missed": 2}
    asked = len(api.requests)

    receipt = interrupted_sweep.run(api, **FIVE_A_PAGE)

    assert len(api.requests) - asked == 2 + 10
    assert interrupted_sweep.pickups() == as_rows(world.records())
    assert (receipt.sweep, receipt.rows_unlisted, receipt.history_complete) == ("complete", 0, True)
    assert interrupted_sweep.run(api, **FIVE_A_PAGE).sweep is None


@pytest.mark.slow
def test_resumed_sweep_also_counts_changes_found_before_the_interruption(
    interrupted_sweep: Installation, api: Sandbox, ids: list[int]
) -> None:
    receipt = interrupted_sweep.run(api, **FIVE_A_PAGE)

    assert (receipt.rows_changed, receipt.rows_missed) == (1, 3)
    assert receipt.missed_ids == [ids[10], ids[60], ids[85]]


@pytest.mark.slow
def test_booking_made_during_a_sweep_does_not_count_as_unlisted(
    interrupted_sweep: Installation, world: World, api: Sandbox
) -> None:
    world.book()

    receipt = interrupted_sweep.run(api, **FIVE_A_PAGE)

    assert (receipt.sweep, receipt.rows_new, receipt.rows_unlisted, receipt.rows_missed) == ("complete", 1, 0, 3)


@pytest.mark.slow
def test_expired_stored_link_restarts_the_sweep_without_changing_its_counts(
    interrupted_sweep: Installation, world: World, api: Sandbox
) -> None:
    asked = len(api.requests)
    api.on_request = lambda sandbox, number: sandbox.fault(faults.expired_cursor()) if number == asked + 3 else None

    receipt = interrupted_sweep.run(api, **FIVE_A_PAGE)

    assert (receipt.sweep, receipt.rows_missed, receipt.rows_unlisted) == ("complete", 3, 0)
    assert interrupted_sweep.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_next_run_reports_the_result_if_a_sweep_crashes_before_reporting_it(
    loaded: Installation, world: World, api: Sandbox, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.change(ids[10], tracking_number="late")
    world.remove(ids[3])
    with monkeypatch.context() as patched:
        patched.setattr(attempt, "finalize_run", lambda *_facts: False)
        loaded.run(api, sweep=True, **FIVE_A_PAGE)
    world.book()

    receipt = loaded.run(api, **FIVE_A_PAGE)

    assert (receipt.sweep, receipt.rows_missed, receipt.rows_unlisted) == ("complete", 1, 1)
    assert loaded.run(api, **FIVE_A_PAGE).sweep is None


@pytest.mark.slow
def test_next_sweep_also_reports_changes_that_a_crashed_sweep_did_not_report(
    loaded: Installation, world: World, api: Sandbox, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.change(ids[10], tracking_number="late")
    with monkeypatch.context() as patched:
        patched.setattr(attempt, "finalize_run", lambda *_facts: False)
        loaded.run(api, sweep=True, **FIVE_A_PAGE)
    world.advance(minutes=5)

    receipt = loaded.run(api, sweep=True, **FIVE_A_PAGE)

    assert (receipt.sweep, receipt.rows_missed, receipt.missed_ids) == ("complete", 1, [ids[10]])


def test_sweep_that_loaded_nothing_is_not_reported_as_incomplete(
    loaded: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.book()
    monkeypatch.setattr(dlt.Pipeline, "load", lambda *_args: (_ for _ in ()).throw(OSError("power cut")))
    with pytest.raises(DestinationError):
        loaded.run(api, sweep=True, **FIVE_A_PAGE)

    assert loaded.rows("select sweep from sendcloud.pickup_runs where outcome = 'failed'") == [{"sweep": None}]


@pytest.mark.slow
def test_sweep_of_an_unsorted_list_counts_no_missed_rows(
    installation: Installation, world: World, ids: list[int]
) -> None:
    with serve(world, order="ascending") as api:
        installation.run(api, **FIVE_A_PAGE)
        world.change(ids[60], tracking_number="late")

        receipt = installation.run(api, sweep=True, **FIVE_A_PAGE)

    assert (receipt.rows_changed, receipt.rows_missed, receipt.frontier) == (1, 0, None)


@pytest.mark.slow
def test_sweep_requested_during_an_unfinished_first_load_is_reported_as_not_begun(
    installation: Installation, world: World, api: Sandbox
) -> None:
    api.fault(faults.status(503), page=11, times=None)
    with pytest.raises(Unavailable):
        installation.run(api, **FIVE_A_PAGE)
    api.heal()

    receipt = installation.run(api, sweep=True, **FIVE_A_PAGE)

    assert (receipt.sweep, receipt.history_complete, receipt.rows_missed) == ("not_begun", True, None)
    assert "sweep: not started" in " ".join(receipt.remarks())
    assert installation.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_sweep_as_the_first_run_is_a_first_load_without_missed_rows(
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


def test_pickups_booked_before_the_start_date_do_not_count_as_unlisted(
    loaded: Installation, world: World, api: Sandbox
) -> None:
    """The 33 newest pickups, on seven pages, were booked in the last 53 days.

    The sweep stops after the eighth page, the first to lie completely before the start date.
    """
    since = NOW - timedelta(days=53)
    (loaded.folder / ".dlt" / "config.toml").write_text(
        f"[sources.sendcloud.pickups.created_at]\ninitial_value = {since:%Y-%m-%dT%H:%M:%SZ}\n"
    )

    receipt = loaded.run(api, sweep=True, **FIVE_A_PAGE)

    assert (receipt.sweep, receipt.pages, receipt.rows_unlisted) == ("complete", 8, 0)
    assert loaded.pickups() == as_rows(world.records())


@pytest.mark.slow
def test_old_broken_record_found_by_a_sweep_does_not_lengthen_later_runs(
    loaded: Installation, world: World, api: Sandbox, ids: list[int]
) -> None:
    world.change(ids[3], carrier=None)
    loaded.run(api, sweep=True, **FIVE_A_PAGE)
    world.advance(days=1)

    assert loaded.run(api, **FIVE_A_PAGE).pages == 2


@pytest.mark.slow
def test_status_shows_the_last_sweep_and_a_sweep_under_way(interrupted_sweep: Installation, api: Sandbox) -> None:
    def told() -> str:
        (line,) = [x for x in interrupted_sweep.command("status").stdout.splitlines() if "last sweep" in x]
        return line.split("last sweep", 1)[1].strip()

    assert told() == "under way; previous sweep: never (pickups run --sweep, once a week)"
    interrupted_sweep.run(api, **FIVE_A_PAGE)
    assert told() == "2026-11-20 12:00:00 UTC"


@pytest.mark.slow
def test_run_command_accepts_the_sweep_option(loaded: Installation, api: Sandbox) -> None:
    done = loaded.command("run", "--sweep", api=api)

    assert done.returncode == 0
    assert "sweep: everything was read again; 0 rows had changed outside the frontier, 0 rows" in done.stdout
