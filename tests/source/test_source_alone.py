"""Tests `sendcloud_source` as a dlt source in a user's own pipeline, without the package `pipelines`."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from sources.sendcloud import ReadStats, SendcloudCredentials, sendcloud_source
from sources.sendcloud.errors import SettingsError
from sources.sendcloud.sandbox import Sandbox, World, serve
from sources.sendcloud.settings import NEVER_DROP_SECONDS
from tests.conftest import forget_settings
from tests.support.cases import quick
from tests.support.installation import as_row, as_rows, environment, rows_of
from tests.support.worlds import NOW

pytestmark = pytest.mark.duckdb2

COLUMNS = ", ".join(as_row({}))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "CRITICAL")
    return tmp_path


def load(api: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path, **options: Any) -> ReadStats:
    """Runs a plain dlt pipeline once. `bounds` become the incremental's initial_value and end_value."""
    bounds, account = options.pop("bounds", {}), options.pop("account", "default")
    limit = options.pop("limit", None)
    with monkeypatch.context() as patched:
        for name, value in environment(api).items():
            patched.setenv(name, value)
        pipeline = dlt.pipeline(
            "plain",
            destination=dlt.destinations.duckdb(str(folder / "plain.duckdb")),
            dataset_name="mine",
            pipelines_dir=str(folder / "work"),
        )
        stats = ReadStats()
        source = sendcloud_source(account=account, page_size=10, stats=stats)
        if limit:
            source.add_limit(limit)
        if bounds:
            source.pickups.apply_hints(
                incremental=dlt.sources.incremental("created_at", **{"lag": NEVER_DROP_SECONDS, **bounds})
            )
        pipeline.run(source, loader_file_format="parquet", **options)
    return stats


def stored_rows(folder: Path) -> list[dict[str, Any]]:
    return rows_of(folder / "plain.duckdb", f"select {COLUMNS} from mine.pickups order by account, id")


def book_ten_days_of_pickups(world: World) -> None:
    for hour in range(0, 240, 6):
        world.book(created_at=NOW - timedelta(days=10) + timedelta(hours=hour), pickup_status="Failed")


def test_the_source_loads_incrementally_in_a_users_own_pipeline(
    world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    book_ten_days_of_pickups(world)
    load(api, monkeypatch, folder)
    world.advance(hours=1)
    world.book()

    second = load(api, monkeypatch, folder)

    assert stored_rows(folder) == as_rows(world.records())
    assert second.stopped_because == "frontier"


@pytest.mark.slow
def test_quarantined_records_are_loaded_in_a_users_own_pipeline(
    world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    world.put({"carrier": "dpd"})
    load(api, monkeypatch, folder)

    rows = rows_of(folder / "plain.duckdb", "select reason from mine.pickups_quarantine")
    assert rows == [{"reason": "Object missing required field `id`"}]


@pytest.mark.parametrize("configured", quick(["", "2026-11-17T12:00:00Z", "2026-11-17T13:00:00+01:00"], only=(1,)))
def test_a_start_date_limits_the_first_read(
    world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path, configured: str
) -> None:
    """The account has 40 pickups on pages of 10.

    Of these, 12 are from the last three days: one every six hours, from hour 168 to 234.
    """
    book_ten_days_of_pickups(world)
    if configured:
        (folder / ".dlt").mkdir()
        section = "[sources.sendcloud.pickups.created_at]"
        (folder / ".dlt" / "config.toml").write_text(f"{section}\ninitial_value = {configured}\n")
        monkeypatch.setenv("DLT_PROJECT_DIR", str(folder))
        forget_settings()
    bounds = {} if configured else {"initial_value": NOW - timedelta(days=3)}
    reading = load(api, monkeypatch, folder, bounds=bounds)

    booked_since = [r for r in world.records() if r["created_at"] >= "2026-11-17T12:00:00Z"]
    assert len(booked_since) == 12
    assert stored_rows(folder) == as_rows(booked_since)
    assert reading.pages == 3


@pytest.mark.parametrize("since", ["2026-11-17T12:00:00Z", datetime(2026, 11, 17, 12)])  # noqa: DTZ001  # on purpose
def test_a_start_date_as_text_or_without_an_offset_is_refused_before_any_request(
    api: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path, since: Any
) -> None:
    with pytest.raises(PipelineStepFailed) as failed:
        load(api, monkeypatch, folder, bounds={"initial_value": since})

    assert f"bounded by {since!r}, which is not a time with a UTC offset" in str(failed.value)
    assert api.requests == []


@pytest.mark.slow
def test_a_start_date_from_the_environment_is_refused_because_it_is_text(
    api: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("SOURCES__SENDCLOUD__PICKUPS__CREATED_AT__INITIAL_VALUE", "2026-01-01T00:00:00Z")

    with pytest.raises(SettingsError, match="not a time with a UTC offset"):
        load(api, monkeypatch, folder)


def test_an_incremental_that_would_drop_old_changes_is_refused(
    api: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    with pytest.raises(PipelineStepFailed, match="lag=NEVER_DROP_SECONDS"):
        load(api, monkeypatch, folder, bounds={"initial_value": NOW, "lag": 86_400})
    assert api.requests == []


@pytest.mark.slow
def test_no_row_is_lost_between_two_batches(
    world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    book_ten_days_of_pickups(world)
    monkeypatch.setattr("sources.sendcloud.source.BATCH_ROWS", 7)  # 40 rows make five batches of 7 and one of 5

    load(api, monkeypatch, folder)

    assert stored_rows(folder) == as_rows(world.records())


@pytest.mark.slow
def test_a_source_with_a_limit_ends_and_still_loads_every_row(
    world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    book_ten_days_of_pickups(world)
    load(api, monkeypatch, folder, limit=1)

    assert stored_rows(folder) == as_rows(world.records())


@pytest.mark.slow
def test_an_earlier_start_date_loads_the_pickups_in_between(
    world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    book_ten_days_of_pickups(world)
    load(api, monkeypatch, folder, bounds={"initial_value": NOW - timedelta(days=3)})
    load(api, monkeypatch, folder, bounds={"initial_value": NOW - timedelta(days=6)})
    assert len(stored_rows(folder)) == 24

    load(api, monkeypatch, folder)

    assert stored_rows(folder) == as_rows(world.records())


def test_a_schedulers_window_loads_only_that_window_and_leaves_the_memory_unchanged(
    world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    book_ten_days_of_pickups(world)
    bounds = {"initial_value": NOW - timedelta(days=5), "end_value": NOW - timedelta(days=4)}
    load(api, monkeypatch, folder, bounds=bounds)
    assert [row["created_at"] for row in stored_rows(folder)] == [
        NOW - timedelta(days=5) + timedelta(hours=hour) for hour in (0, 6, 12, 18)
    ]

    load(api, monkeypatch, folder)

    assert stored_rows(folder) == as_rows(world.records())


@pytest.mark.slow
def test_a_window_before_the_start_date_does_not_make_the_next_run_start_over(
    world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    book_ten_days_of_pickups(world)
    since = {"initial_value": NOW - timedelta(days=3)}
    load(api, monkeypatch, folder, bounds=since)
    window = {"initial_value": NOW - timedelta(days=6), "end_value": NOW - timedelta(days=5)}
    load(api, monkeypatch, folder, bounds=window)

    assert load(api, monkeypatch, folder, bounds=since).pages == 2  # from the start date, it would read three pages


@pytest.mark.slow
def test_two_accounts_in_one_pipeline_have_separate_memories(
    world: World, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """All pickups of the second account are older than the watermark of the first account."""
    world.book(created_at=NOW, pickup_status="Failed")
    other = World(clock=NOW)
    book_ten_days_of_pickups(other)
    with serve(world) as api, serve(other) as other_api:
        load(api, monkeypatch, folder, account="north")
        load(other_api, monkeypatch, folder, account="south")
        load(api, monkeypatch, folder, account="north")

    assert stored_rows(folder) == as_rows(world.records(), "north") + as_rows(other.records(), "south")


@pytest.mark.slow
def test_a_source_object_may_be_run_twice(
    world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    world.put({"carrier": "dpd"})
    with monkeypatch.context() as patched:
        for name, value in environment(api).items():
            patched.setenv(name, value)
        source = sendcloud_source(page_size=10)
        pipeline = dlt.pipeline(
            "plain",
            destination=dlt.destinations.duckdb(str(folder / "plain.duckdb")),
            dataset_name="mine",
            pipelines_dir=str(folder / "work"),
        )
        pipeline.run(source, loader_file_format="parquet")
        world.put({"carrier": "ups"})
        pipeline.run(source, loader_file_format="parquet")

    kept = rows_of(
        folder / "plain.duckdb", "select record ->> 'carrier' as carrier from mine.pickups_quarantine order by 1"
    )
    assert [row["carrier"] for row in kept] == ["dpd", "ups"]


@pytest.mark.slow
@pytest.mark.parametrize("refresh", ["drop_data", "drop_resources", "drop_sources"])
def test_a_refresh_by_dlt_reads_the_whole_list_again(
    world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path, refresh: str
) -> None:
    book_ten_days_of_pickups(world)
    load(api, monkeypatch, folder)

    reading = load(api, monkeypatch, folder, refresh=refresh)

    assert reading.stopped_because == "end"
    assert stored_rows(folder) == as_rows(world.records())


def test_the_quarantine_resource_alone_sends_no_request_and_ends(api: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        for name, value in environment(api).items():
            patched.setenv(name, value)
        assert list(sendcloud_source().with_resources("pickups_quarantine")) == []
    assert api.requests == []


def test_the_secret_key_is_masked_when_credentials_are_printed() -> None:
    credentials = SendcloudCredentials(public_key="p", secret_key="do-not-print")

    assert "do-not-print" not in f"{credentials} {credentials!r}"


@pytest.mark.parametrize("name", ["BASE_URL", "SOURCES__BASE_URL", "TOKEN_URL"])
def test_keys_are_not_sent_to_an_address_from_an_unrelated_environment_variable(
    api: Sandbox, monkeypatch: pytest.MonkeyPatch, folder: Path, name: str
) -> None:
    """If the source's own setting is missing, dlt finds such a variable instead."""
    for setting, value in environment(api).items():
        if not (name.endswith("BASE_URL") and setting.endswith("BASE_URL")):
            monkeypatch.setenv(setting, value)
    with serve(World(clock=NOW)) as stranger:
        monkeypatch.setenv(name, stranger.base_url)
        pipeline = dlt.pipeline(
            "plain", destination=dlt.destinations.duckdb(str(folder / "plain.duckdb")), pipelines_dir=str(folder)
        )
        with pytest.raises(SettingsError, match="is set outside this section"):
            pipeline.run(sendcloud_source())
        assert (stranger.requests, api.requests) == ([], [])
