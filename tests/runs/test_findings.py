"""Tests that a run that checks only the pickups that it changed reports the same as one that checks all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import duckdb
import pytest

from pipelines.analytics.checks import run_checks
from pipelines.bookkeeping import findings
from pipelines.destinations.duckdb import backend
from pipelines.errors import DestinationError, PipelineError
from pipelines.loading import account_run, attempt
from sources.sendcloud.errors import Unavailable
from sources.sendcloud.reading.clocks import simulated_machine_clock
from sources.sendcloud.sandbox import ABSENT, Sandbox, World, faults
from tests.support.destinations import DESTINATION
from tests.support.installation import API_VERSION, Installation
from tests.support.life import Died
from tests.support.walking import IS_HERE
from tests.support.worlds import NOW, fifty, twenty

pytestmark = [pytest.mark.duckdb2, pytest.mark.v3, pytest.mark.places]

IN_THE_FILE = pytest.mark.skipif(not IS_HERE, reason="the test writes into the DuckDB file")
FIVE_A_PAGE = {"page_size": 5}
HOUR = timedelta(hours=1)


@pytest.fixture
def world() -> World:
    return twenty()


@pytest.fixture(autouse=True)
def _machine_clock_agrees(api: Sandbox) -> Iterator[None]:
    """Also in threads that have not asked the API, because the first run of a day checks all pickups."""
    with simulated_machine_clock(lambda: api.world.clock):
        yield


def changed_by_another_program(installation: Installation, statement: str) -> None:
    with duckdb.connect(str(installation.warehouse)) as connection:
        connection.execute(statement)


def died(*_: Any, **__: Any) -> None:
    raise Died


def run_and_lose_a_pickup(installation: Installation, world: World, api: Sandbox) -> None:
    """Runs once. An hour later, the API lists one more pickup, with a status that is not known."""
    installation.run(api)
    world.advance(hours=1)
    world.book(pickup_status="Lost")


def load_a_lost_pickup_and_die(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_and_lose_a_pickup(installation, world, api)
    with monkeypatch.context() as patched:
        patched.setattr(attempt, "finalize_run", died)
        with pytest.raises(Died):
            installation.run(api)


def cannot_publish(*_: Any, **__: Any) -> None:
    raise OSError("disk full")


def last_findings(installation: Installation) -> Any:
    (row,) = installation.rows("select checks_failed from sendcloud.pickup_runs order by run_number desc limit 1")
    return json.loads(row["checks_failed"])


def test_a_run_reports_what_earlier_runs_found_until_the_pickup_changes(
    installation: Installation, world: World, api: Sandbox
) -> None:
    lost, beamed = world.book(pickup_status="Lost"), world.book(pickup_status="Beamed up")
    first = installation.run(api)
    world.advance(hours=1)
    world.book()
    second = installation.run(api)
    world.advance(hours=1)
    world.change(lost, pickup_status="Created")
    third = installation.run(api)
    world.change(beamed, pickup_status="Vanished")
    world.book(pickup_status="Lost")
    fourth = installation.run(api)

    spelled = str.upper if API_VERSION == "v3" else str
    both = {"known_statuses": [spelled("Beamed up"), spelled("Lost")]}
    assert (first.checks_failed, first.unexpected_values) == ({"known_statuses": 2}, both)
    assert (second.rows_new, second.checks_failed, second.unexpected_values) == (1, {"known_statuses": 2}, both)
    assert (third.checks_failed, third.unexpected_values) == (
        {"known_statuses": 1},
        {"known_statuses": both["known_statuses"][:1]},
    )
    assert fourth.checks_failed == {"known_statuses": 2}
    assert fourth.unexpected_values == {"known_statuses": [spelled("Lost"), spelled("Vanished")]}


def test_a_pickup_without_a_tracking_number_counts_when_its_window_ends_although_it_has_not_changed(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """Of two such pickups, one gets its number before its window ends."""
    today = {"created_at": NOW, "pickup_from": NOW + HOUR, "pickup_until": NOW + 2 * HOUR}
    world.book(tracking_number="", **today)
    late = world.book(tracking_number=ABSENT, **today)
    found = []
    for _ in range(4):
        found.append(installation.run(api).checks_failed)
        world.advance(hours=1)
        world.book()
        if len(found) == 2:
            world.change(late, tracking_number="1785.0")

    assert found == [{}, {}, {}, {"missing_tracking_number": 1}]


@IN_THE_FILE
@pytest.mark.parametrize("how", ["the next day", "a sweep", "a command", "a new version"])
def test_another_programs_change_is_found_when_all_pickups_are_checked(
    installation: Installation, api: Sandbox, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The changed pickup is too old to be read again, and a sweep would restore it, if the API still listed it."""
    api.world = world = fifty()
    installation.run(api, **FIVE_A_PAGE)
    oldest = min(record["id"] for record in world.records())
    changed_by_another_program(installation, f"update sendcloud.pickups set country = 'CH' where id = {oldest}")
    world.remove(oldest)
    world.advance(hours=1)
    world.book()
    assert installation.run(api, **FIVE_A_PAGE).checks_failed == {}

    world.advance(hours=12 if how == "the next day" else 1)
    newest = world.book()
    if how == "a command":
        world.change(newest, tracking_number="1785.0")
        installation.run(api, **FIVE_A_PAGE)
        installation.command("forget", "1785.0", "--yes", api=api)
    if how == "a new version":
        monkeypatch.setattr(findings, "NOT_YET_DUE", findings.NOT_YET_DUE + " and true")

    assert installation.run(api, sweep=how == "a sweep", **FIVE_A_PAGE).checks_failed["known_countries"] == 1


@pytest.mark.parametrize("limit", ["MAX_KEPT", "MAX_CHANGED"])
def test_too_many_findings_or_changes_mean_that_all_pickups_are_checked(
    installation: Installation, world: World, api: Sandbox, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, limit, 1)
    for _ in range(2):
        world.book(pickup_status="Lost", country="CH")
    world.book(carrier="owl_post")
    first = installation.run(api)
    for _ in range(2):
        world.advance(hours=1)
        for _ in range(3):
            world.book(pickup_status="Lost")
        latest = installation.run(api)

    assert first.checks_failed == {"known_statuses": 2, "known_countries": 2, "known_carriers": 1}
    assert latest.checks_failed == first.checks_failed | {"known_statuses": 8}


@pytest.mark.parametrize("place", [(account_run, "create_pipeline"), (attempt, "finalize_run")])
def test_what_a_run_loaded_before_it_died_is_checked_by_the_next_run(
    installation: Installation, world: World, api: Sandbox, place: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run dies after its load. The third run dies too, after it has recorded the states of that load."""
    load_a_lost_pickup_and_die(installation, world, api, monkeypatch)
    world.book(carrier="owl_post")
    with monkeypatch.context() as patched:
        patched.setattr(*place, died)
        with suppress(Died, PipelineError):
            installation.run(api)

    assert installation.run(api).checks_failed == {"known_statuses": 1, "known_carriers": 1}


def test_what_a_crashed_run_loaded_is_checked_although_the_api_is_down(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL, readers see the pickup only after the next run that receives a page."""
    load_a_lost_pickup_and_die(installation, world, api, monkeypatch)
    api.fault(faults.status(503))
    with pytest.raises(Unavailable):
        installation.run(api, request_max_attempts=1)

    assert last_findings(installation) == ({} if DESTINATION == "postgres" else {"known_statuses": 1})
    assert installation.run(api).checks_failed == {"known_statuses": 1}


def test_what_an_older_version_loaded_is_checked(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older version runs all checks, and keeps nothing."""
    run_and_lose_a_pickup(installation, world, api)
    with monkeypatch.context() as patched:
        patched.setattr(
            findings, "check_pickups", lambda session, accounts, *_, **__: run_checks(session.for_checks(accounts))
        )
        assert installation.run(api).checks_failed == {"known_statuses": 1}
    world.advance(hours=1)
    world.book()

    assert installation.run(api).checks_failed == {"known_statuses": 1}


@IN_THE_FILE
def test_after_a_publication_that_failed_the_time_of_the_run_before_counts_again(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that failed found a pickup without a tracking number. By the time of the good run, it is too early."""
    world.book(tracking_number="", created_at=NOW, pickup_from=NOW + HOUR, pickup_until=NOW + 2 * HOUR)
    installation.run(api)
    world.advance(hours=3)
    with monkeypatch.context() as patched:
        patched.setattr(backend, "publish", cannot_publish)
        with pytest.raises(DestinationError):
            installation.run(api)
    api.fault(faults.status(503))
    with pytest.raises(Unavailable):
        installation.run(api, request_max_attempts=1)

    assert last_findings(installation) == {}


@IN_THE_FILE
def test_a_pickup_without_an_account_is_reported_although_its_finding_cannot_be_kept(
    installation: Installation, world: World, api: Sandbox
) -> None:
    installation.run(api)
    changed_by_another_program(
        installation,
        "alter table sendcloud.pickups alter column account drop not null; "
        "insert into sendcloud.pickups select * replace (null as account, null as tracking_number, "
        "'2030-01-01 12:00:00+00'::timestamptz as pickup_until) from sendcloud.pickups limit 1",
    )
    for days in (1, 1, 0):
        world.advance(days=days, hours=1)
        world.book()
        assert installation.run(api).checks_failed["required_columns"] == 1


@pytest.mark.parametrize("kind", ["table", "view"])
@pytest.mark.parametrize("name", ["changed_pickups", "found_pickups", "some_pickups", "not_listed"])
@IN_THE_FILE
def test_an_object_with_the_name_of_a_temporary_table_stays(
    installation: Installation, world: World, api: Sandbox, name: str, kind: str
) -> None:
    installation.run(api)
    changed_by_another_program(installation, f"create {kind} {name} as select 1 as mine")
    world.book()

    assert installation.run(api).rows_new == 1
    assert installation.run(api, sweep=True).rows_unlisted == 0
    assert installation.rows(f"select * from {name}") == [{"mine": 1}]
