"""Tests that settings come only from the project folder and the environment.

Settings of another dlt project change nothing.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import dlt
import pytest
from dlt.common.configuration.utils import get_resolved_traces
from dlt.common.runtime import run_context

from pipelines.config.project import LIBPQ_VARIABLES, project_context
from pipelines.config.settings import get_setting
from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.cases import quick
from tests.support.installation import SECRET, Installation, as_rows

KEYS = f"[sources.sendcloud.credentials]\npublic_key = 'p'\nsecret_key = '{SECRET}'\n"


@pytest.fixture
def global_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the folder in which dlt looks for more files. For a user without a home, it is shared by all users."""
    folder = tmp_path / "tmp" / "dlt"
    folder.mkdir(parents=True)
    monkeypatch.setattr(run_context, "global_dir", lambda: str(folder))
    return folder


def test_a_config_file_in_dlts_global_folder_cannot_redirect_the_keys(
    installation: Installation, world: World, api: Sandbox, global_folder: Path
) -> None:
    world.book()
    own = f"[sources.sendcloud]\nbase_url = '{api.base_url}'\n[sources.sendcloud.accounts.north]\n"
    (installation.folder / ".dlt" / "config.toml").write_text(own)
    keys = KEYS.replace("sendcloud.", "sendcloud.accounts.north.").replace("'p'", f"'{api.public_key}'")
    (installation.folder / ".dlt" / "secrets.toml").write_text(keys.replace(SECRET, api.secret_key))
    with serve(World(clock=world.clock)) as strangers:
        (global_folder / "config.toml").write_text(
            f"[sources.sendcloud.accounts.north]\nbase_url = '{strangers.base_url}'\n"
        )
        (global_folder / "secrets.toml").write_text(KEYS)
        done = installation.command("run")

        assert strangers.requests == []
    assert done.returncode == 0, done.stderr
    assert installation.pickups() == as_rows(world.records(), "north")


@pytest.mark.parametrize("name", quick(["config.toml", "secrets.toml"]))
def test_a_broken_file_in_dlts_global_folder_does_not_stop_a_run(
    installation: Installation, world: World, api: Sandbox, global_folder: Path, name: str
) -> None:
    world.book()
    (global_folder / name).write_text("[sources.sendcloud")

    assert installation.command("run", api=api).returncode == 0


def test_check_names_the_files_that_settings_were_read_from(
    installation: Installation, api: Sandbox, global_folder: Path
) -> None:
    (global_folder / "config.toml").write_text("[sources.sendcloud]\npage_size = 5\n")
    (installation.folder / ".dlt" / "config.toml").write_text("[sources.sendcloud]\npage_size = 50\n")

    done = installation.command("check", api=api)

    assert f"accounts: default; read from {installation.folder}/.dlt/config.toml\n" in done.stdout
    assert str(global_folder) not in done.stdout


def test_settings_that_an_earlier_pipeline_resolved_are_in_no_later_trace(installation: Installation) -> None:
    """dlt records each resolved setting until a pipeline writes its trace. A run with wrong settings writes none."""
    (installation.folder / ".dlt" / "config.toml").write_text(
        f"[sources.sendcloud]\nbase_url = 'https://key:{SECRET}@127.0.0.1/'\n"
    )
    assert installation.command("run").returncode == 3
    assert SECRET in repr(get_resolved_traces().resolved_traces)
    with project_context(installation.folder):
        assert SECRET not in repr(get_resolved_traces().resolved_traces)


def test_the_previous_settings_apply_again_after_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own process may contain another dlt project, or two projects of this package."""
    for name in ("mine", "first", "second"):
        (tmp_path / name / ".dlt").mkdir(parents=True)
        (tmp_path / name / ".dlt" / "config.toml").write_text(f"[publish]\npath = '{name}.duckdb'\n")
    monkeypatch.chdir(tmp_path / "mine")

    assert dlt.config.get("publish.path") == "mine.duckdb"
    with project_context(tmp_path / "first"):
        assert get_setting("publish.path") == "first.duckdb"
        with project_context(tmp_path / "second"):
            assert get_setting("publish.path") == "second.duckdb"
        assert get_setting("publish.path") == "first.duckdb"
    assert dlt.config.get("publish.path") == "mine.duckdb"


OF_ANOTHER_PROJECT = {
    "REFRESH": "drop_sources",
    "PIPELINES__REFRESH": "drop_sources",
    "PIPELINES__SENDCLOUD_PICKUPS_DEFAULT__REFRESH": "drop_data",
    "SENDCLOUD_PICKUPS_DEFAULT__PIPELINES__REFRESH": "drop_resources",
    "DEV_MODE": "true",
    "PIPELINES__DEV_MODE": "true",
    "PIPELINES__FULL_REFRESH": "true",
    "PIPELINES__DATASET_NAME_LAYOUT": "theirs_%s",
    "PIPELINES__USE_SINGLE_DATASET": "false",
    "PIPELINES__STAGING_TYPE": "filesystem",
    "PIPELINES__IMPORT_SCHEMA_PATH": "/nowhere/schemas",
    "PIPELINES__EXPORT_SCHEMA_PATH": "/nowhere/schemas",
    "PIPELINES__RESTORE_FROM_DESTINATION": "false",
    "PIPELINES__PROGRESS": "no_such_bar",
    "DATASET_NAME": "theirs",
    "PIPELINE_NAME": "theirs",
    "WORKERS": "none",
    "NAMING": "no_such_naming",
    "LOG_LEVEL": "no_such_level",
}


@pytest.mark.parametrize(
    "names", [[*OF_ANOTHER_PROJECT], *(pytest.param([name], marks=pytest.mark.slow) for name in OF_ANOTHER_PROJECT)]
)
def test_variables_of_another_dlt_project_change_nothing(
    installation: Installation, world: World, api: Sandbox, names: list[str]
) -> None:
    """If the table were emptied, a pickup that the API no longer lists would be lost."""
    for number in range(3):
        world.book(created_at=world.clock - timedelta(days=number))
    gone = world.records()[-1]["id"]
    world.change(gone, pickup_status="Cancelled")  # an open pickup that is no longer listed fails a check
    installation.loaded(api)
    listed_once = installation.pickups()
    world.remove(gone)
    world.book()

    done = installation.command("run", api=api, **{name: OF_ANOTHER_PROJECT[name] for name in names})

    assert done.returncode == 0, done.stderr
    assert installation.pickups() == [*listed_once, *as_rows(world.records()[:1])]


def test_variables_of_libpq_have_no_effect_during_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PGHOSTADDR, for example, would send the password of `[destination.postgres]` to another server."""
    for name in LIBPQ_VARIABLES:
        monkeypatch.setenv(name, "theirs")
    monkeypatch.setenv("PGSSLMODE", "verify-full")

    with project_context(tmp_path):
        assert {name for name in os.environ if name.startswith("PG")} == {"PGSSLMODE"}
    assert os.environ["PGHOSTADDR"] == "theirs"


def test_settings_outside_any_section_of_a_file_change_nothing(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.loaded(api)
    world.remove(world.records()[0]["id"])
    world.book()
    (installation.folder / ".dlt" / "config.toml").write_text("refresh = 'drop_sources'\ndev_mode = true\n")
    installation.run(api)

    assert len(installation.pickups()) == 2


@pytest.mark.parametrize(
    ("file", "text"),
    quick(
        [
            ("config.toml", "[sources.sendcloud\n"),
            ("secrets.toml", "[sources.sendcloud.credentials]\npublic_key = 'a\n"),
        ]
    ),
)
def test_a_syntax_error_in_a_settings_file_exits_3_in_a_new_process(
    installation: Installation, file: str, text: str
) -> None:
    (installation.folder / ".dlt" / file).write_text(text)

    done = installation.process("run")

    assert done.returncode == 3, done.stderr
    assert file in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unreadable_config_file_sends_an_alert_if_the_other_file_holds_the_address(
    installation: Installation, api: Sandbox
) -> None:
    """The address can also be in the environment."""
    (installation.folder / ".dlt" / "config.toml").write_text("[sources.sendcloud\n")
    (installation.folder / ".dlt" / "secrets.toml").write_text(f"[runtime]\nslack_incoming_hook = '{api.base_url}'\n")

    assert installation.command("run").returncode == 3
    assert [request.path for request in api.requests] == ["/api/v2"]
