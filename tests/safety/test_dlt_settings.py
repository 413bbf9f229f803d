"""Tests that dlt's own settings have the effect that pipelines/config/dlt_settings.py states, which is mostly none.

Another dlt project may have set them in the same shell. Each test has rows that the API no longer lists, because a
setting that empties or moves a table would lose them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

from pipelines.config import dlt_context
from pipelines.config.dlt_settings import DLT_SETTINGS, DLT_VARIABLES
from pipelines.config.project import project_context
from pipelines.config.settings import ACCOUNTS_SECTION, OWN_SETTINGS, known_settings
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.cases import quick
from tests.support.destinations import of_files
from tests.support.installation import Installation, as_rows, environment, nothing_is_sent_to, rows_of

# "theirs" is invalid for every number, boolean and enumeration, so a run that read it would fail
VALUES = {
    "refresh": "drop_sources",
    "dev_mode": "true",
    "full_refresh": "true",
    "staging_dataset_name_layout": "theirs_%s",
    "dataset_name_layout": "theirs_%s",
    "layout": "{load_id}.{file_id}.{ext}",
    "coerce_timestamps": "s",
    "create_indexes": "true",
    "replace_strategy": "staging-optimized",
    "naming": "direct",
    "enable_aws_secrets": "true",
    "enable_google_secrets": "true",
    "read_only": "true",
    "sentry_dsn": "https://key@127.0.0.1:9/1",
}
INTERVAL = {
    "DLT_ALLOW_EXTERNAL_SCHEDULERS": "true",
    "DLT_INTERVAL_START": "2026-11-01T00:00:00Z",
    "DLT_INTERVAL_END": "2026-11-02T00:00:00Z",
    "DLT_INTERVAL_TIMEZONE": "Asia/Tokyo",
}
OTHER_VALUES = {"DLT_USE_JSON": "simplejson", "DLT_DISABLE_PLUGINS": "true", **INTERVAL}


def variable(path: str) -> str:
    return path.upper().replace(".", "__")


def variables(use: str) -> dict[str, str]:
    """Returns the environment variables of all settings with this use."""
    paths = [path for path, its in DLT_SETTINGS.items() if its == use]
    return {variable(path): VALUES.get(path.rsplit(".", 1)[1], "theirs") for path in paths}


def covers(listed: str, path: str) -> bool:
    """Returns whether a path that dlt looks up is a shorter or longer form of a listed path, or a key below it."""
    parts, looked_up = listed.split("."), path.split(".")
    ends = [len(looked_up)] if listed.startswith("sources.") else range(1, len(looked_up) + 1)
    found = (looked_up[:end] for end in ends if looked_up[end - 1] == parts[-1])
    either_way = (are_in_order(form, parts) or are_in_order(parts, form) for form in found)
    return are_in_order(looked_up, parts) or any(either_way)


def are_in_order(few: list[str], many: list[str]) -> bool:
    rest = iter(many)
    return all(part in rest for part in few)


@pytest.fixture
def expected_rows(installation: Installation, world: World, api: Sandbox) -> Callable[[], list[dict[str, object]]]:
    """Runs once. Afterwards, the oldest pickup is no longer listed, another is cancelled, and one is new."""
    for number in range(3):
        world.book(created_at=world.clock - timedelta(days=number))
    gone = world.records()[-1]["id"]
    world.change(gone, pickup_status="Cancelled")  # an open pickup that is no longer listed fails a check
    installation.loaded(api)
    (kept,) = [row for row in installation.pickups() if row["id"] == gone]
    world.remove(gone)
    world.change(world.records()[0]["id"], pickup_status="Cancelled")
    world.book()
    return lambda: [kept, *as_rows(world.records())]


def each(names: dict[str, str]) -> list[object]:
    """Returns all variables together for the default run, and each variable alone as a slow case."""
    alone = [pytest.param({name: value}, id=name, marks=pytest.mark.slow) for name, value in names.items()]
    return [pytest.param(names, id="all"), *alone]


@pytest.mark.places
def test_every_setting_that_dlt_looks_up_during_a_run_is_in_the_table(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: set[str] = set()
    is_read = dlt_context._is_read

    def noting(key: str, *sections: str) -> bool:
        looked_up.add(".".join((*sections, key)))
        return is_read(key, *sections)

    monkeypatch.setattr(dlt_context, "_is_read", noting)
    world.book()
    installation.run(api)
    world.book()
    installation.run(api)

    ours = {key.split(".")[0] for key in OWN_SETTINGS}
    theirs = {path for path in looked_up if path.split(".")[0] not in ours and path not in known_settings()}
    unlisted = {
        path
        for path in theirs
        if not any(covers(listed, path) for listed in [*DLT_SETTINGS, *known_settings(), ACCOUNTS_SECTION])
    }
    assert {"load.workers", "schema.naming", "normalize.workers"} <= theirs
    assert sorted(unlisted) == []


@pytest.mark.places
@pytest.mark.parametrize("names", each(variables("ignored") | variables("given")))
def test_a_setting_that_is_ignored_or_given_changes_nothing(
    installation: Installation, api: Sandbox, expected_rows: Callable[[], object], names: dict[str, str]
) -> None:
    done = installation.command("run", api=api, **names)

    assert done.returncode == 0, done.stderr
    assert installation.pickups() == expected_rows()


@pytest.mark.parametrize(
    "prefix", quick(["SENDCLOUD_PICKUPS_DEFAULT", "SOURCES", "SOURCES__SENDCLOUD_PICKUPS_DEFAULT"], only=(2,))
)
def test_a_setting_under_a_longer_path_changes_nothing(
    installation: Installation, api: Sandbox, expected_rows: Callable[[], object], prefix: str
) -> None:
    names = {f"{prefix}__{name}": value for name, value in variables("ignored").items()}
    names |= {f"{prefix}__{variable(path)}": "theirs" for path in DLT_SETTINGS if path.startswith("runtime.")}

    assert installation.command("run", api=api, **names).returncode == 0
    assert installation.pickups() == expected_rows()


@of_files
@pytest.mark.parametrize("name", variables("refused"))
def test_a_refused_setting_exits_3_before_anything_is_read(
    installation: Installation, world: World, api: Sandbox, name: str
) -> None:
    world.book()
    with nothing_is_sent_to(api):
        done = installation.command("run", api=api, **{name: "theirs"})

    assert done.returncode == 3
    assert f"{name} in the environment is not a setting" in done.stderr
    assert not installation.warehouse.exists()


def test_check_names_the_settings_in_files_and_environment_that_have_no_effect(
    installation: Installation, api: Sandbox, expected_rows: Callable[[], object]
) -> None:
    (installation.folder / ".dlt" / "config.toml").write_text(
        "[load]\nworkers = 2\n[schema]\nnaming = 'direct'\n[pipelines.mine]\nrefresh = 'drop_sources'\n"
        "[normalize.data_writer]\nfile_max_items = 1\n[runtime]\nsentry_dsn = 'https://key@127.0.0.1:9/1'\n"
        "[destination.duckdb]\ncreate_indexes = true\n[providers]\nenable_aws_secrets = true\n"
    )
    place = f"{installation.folder}/.dlt/config.toml"

    done = installation.command("check", api=api, EXTRACT__WORKERS="9")

    (line,) = [line for line in done.stdout.splitlines() if "have no effect here" in line]
    assert line.startswith("warning")
    for name in (
        f"{place}: [load] workers",
        f"{place}: [schema] naming",
        f"{place}: [normalize.data_writer] file_max_items",
        f"{place}: [runtime] sentry_dsn",
        f"{place}: [destination.duckdb] create_indexes",
        f"{place}: [providers] enable_aws_secrets",
        "EXTRACT__WORKERS in the environment",
    ):
        assert name in line
    assert installation.command("run", api=api).returncode == 0
    assert installation.pickups() == expected_rows()


@pytest.mark.usefixtures("nothing_of_dlts_in_the_environment")
def test_documented_runtime_settings_reach_dlt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "config.toml").write_text("[runtime]\nrequest_timeout = 7\nlog_level = 'ERROR'\n")
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_RETRY_DELAY", "11")
    monkeypatch.setenv("RUNTIME__REQUEST_BACKOFF_FACTOR", "0.5")
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "INFO")

    with project_context(tmp_path):
        runtime = Container()[PluggableRunContext].context.runtime_config

    found = runtime.request_timeout, runtime.request_max_retry_delay, runtime.request_backoff_factor
    assert found == (7, 11, 0.5)
    assert (runtime.dlthub_telemetry_endpoint, runtime.log_level) == ("http://127.0.0.1:9", "INFO")
    assert runtime.dlthub_telemetry is False


@pytest.mark.parametrize("names", each({name: OTHER_VALUES.get(name, "7") for name in DLT_VARIABLES}))
@pytest.mark.slow
def test_a_variable_that_dlt_reads_itself_changes_nothing(
    installation: Installation, api: Sandbox, expected_rows: Callable[[], object], names: dict[str, str]
) -> None:
    kept = ("DLT_PROJECT_DIR", "DLT_DATA_DIR")  # these have an effect by design
    variables = {name: names[name] for name in names if name not in kept}
    # with `api=api`, the process would import dlt in order to set the clock, before `pickups` forgets the variables
    done = installation.process("run", **environment(api), **variables)

    assert done.returncode == 0, done.stderr
    assert installation.pickups() == expected_rows()


@pytest.mark.parametrize("name", [name for name, (use, _) in DLT_VARIABLES.items() if use == "refused"])
def test_a_variable_that_changes_dlt_is_refused_if_dlt_may_be_imported_already(
    installation: Installation, world: World, api: Sandbox, name: str
) -> None:
    world.book()
    with nothing_is_sent_to(api):
        done = installation.command("run", api=api, **{name: "7"})

    assert done.returncode == 3
    assert done.stderr.startswith(f"pickups: {name} is set in the environment: it ")


def test_an_interval_of_an_external_scheduler_changes_nothing(
    installation: Installation, api: Sandbox, expected_rows: Callable[[], object]
) -> None:
    done = installation.command("run", api=api, **INTERVAL)

    assert done.returncode == 0, done.stderr
    assert installation.pickups() == expected_rows()
    assert "DLT_INTERVAL_START" not in os.environ


@of_files
@pytest.mark.parametrize(
    ("settings", "names", "file"),
    quick(
        [
            ("", {"DATABASE": "data/mine.duckdb"}, "mine"),
            ("credentials = 'data/file.duckdb'", {"DATABASE": "data/mine.duckdb"}, "mine"),
            ("credentials.database = 'data/file.duckdb'", {"DATABASE": "data/mine.duckdb"}, "mine"),
            ("credentials.database = 'data/file.duckdb'", {"": "data/whole.duckdb"}, "whole"),
            ("", {"DATABASE": "data/mine.duckdb", "": "data/whole.duckdb"}, "whole"),  # as dlt 1.31 decides
        ],
        only=(1, 3, 4),
    ),
)
def test_dlts_nested_variable_for_the_warehouse_is_honoured(
    installation: Installation, world: World, api: Sandbox, settings: str, names: dict[str, str], file: str
) -> None:
    world.book()
    (installation.folder / ".dlt" / "config.toml").write_text(f"[destination.duckdb]\n{settings}\n")
    variables = {f"DESTINATION__DUCKDB__CREDENTIALS__{name}".removesuffix("__"): path for name, path in names.items()}
    done = installation.command("run", api=api, **variables)

    assert done.returncode == 0, done.stderr
    rows = rows_of(installation.folder / "data" / f"{file}.duckdb", "select count(*) as n from sendcloud.pickups")
    assert rows == [{"n": 1}]
    assert [path.name for path in (installation.folder / "data").glob("*.duckdb")].count("warehouse.duckdb") == 0


@pytest.mark.parametrize("value", [":memory:", "", "md:mine"])
def test_a_nested_variable_that_is_no_file_is_refused_by_name(
    installation: Installation, api: Sandbox, value: str
) -> None:
    done = installation.command("run", api=api, DESTINATION__DUCKDB__CREDENTIALS__DATABASE=value)

    assert done.returncode == 3
    assert "DESTINATION__DUCKDB__CREDENTIALS__DATABASE in the environment" in done.stderr
