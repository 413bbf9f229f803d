"""Settings come from the project's folder and the environment only, and those of another dlt project change nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dlt
import pytest
from dlt.common.configuration.utils import get_resolved_traces
from dlt.common.runtime import run_context

from pipelines.project import inside
from pipelines.settings import setting
from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.support.cases import quick
from tests.support.installation import SECRET, Installation, as_rows

KEYS = f"[sources.sendcloud.credentials]\npublic_key = 'p'\nsecret_key = '{SECRET}'\n"


@pytest.fixture
def global_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which dlt looks for more files: with a user that has no home, anybody's."""
    folder = tmp_path / "tmp" / "dlt"
    folder.mkdir(parents=True)
    monkeypatch.setattr(run_context, "global_dir", lambda: str(folder))
    return folder


def test_a_config_file_in_the_global_folder_of_dlt_gets_no_keys(
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
def test_a_broken_file_in_the_global_folder_stops_nothing(
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


def test_what_an_earlier_pipeline_looked_up_is_in_no_later_trace(installation: Installation) -> None:
    """dlt notes all that it looks up until a pipeline has written its trace; a run with wrong settings has none."""
    (installation.folder / ".dlt" / "config.toml").write_text(
        f"[sources.sendcloud]\nbase_url = 'https://key:{SECRET}@127.0.0.1/'\n"
    )
    assert installation.command("run").returncode == 3
    assert SECRET in repr(get_resolved_traces().resolved_traces)
    with inside(installation.folder):
        assert SECRET not in repr(get_resolved_traces().resolved_traces)


def test_settings_outside_the_block_are_those_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of the user's own may hold another dlt project, or two of ours."""
    for name in ("mine", "first", "second"):
        (tmp_path / name / ".dlt").mkdir(parents=True)
        (tmp_path / name / ".dlt" / "config.toml").write_text(f"[publish]\npath = '{name}.duckdb'\n")
    monkeypatch.chdir(tmp_path / "mine")

    assert dlt.config.get("publish.path") == "mine.duckdb"
    with inside(tmp_path / "first"):
        assert setting("publish.path") == "first.duckdb"
        with inside(tmp_path / "second"):
            assert setting("publish.path") == "second.duckdb"
        assert setting("publish.path") == "first.duckdb"
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
    """A pickup that the API no longer lists is gone for good if the table is emptied."""
    for number in range(3):
        world.book(created_at=world.clock - timedelta(days=number))
    installation.run(api)
    listed_once = installation.pickups()
    world.remove(world.records()[-1]["id"])
    world.book()

    done = installation.command("run", api=api, **{name: OF_ANOTHER_PROJECT[name] for name in names})

    assert done.returncode == 0, done.stderr
    assert installation.pickups() == [*listed_once, *as_rows(world.records()[:1])]


def test_a_key_at_the_top_of_a_file_changes_nothing(installation: Installation, world: World, api: Sandbox) -> None:
    world.book()
    installation.run(api)
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
def test_a_typing_error_in_a_settings_file_ends_a_fresh_process_with_3(
    installation: Installation, file: str, text: str
) -> None:
    (installation.folder / ".dlt" / file).write_text(text)

    done = installation.process("run")

    assert done.returncode == 3, done.stderr
    assert file in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unreadable_config_file_is_alerted_where_the_address_can_be_read(
    installation: Installation, api: Sandbox
) -> None:
    """In the other file, or in the environment."""
    (installation.folder / ".dlt" / "config.toml").write_text("[sources.sendcloud\n")
    (installation.folder / ".dlt" / "secrets.toml").write_text(f"[runtime]\nslack_incoming_hook = '{api.base_url}'\n")

    assert installation.command("run").returncode == 3
    assert [request.path for request in api.requests] == ["/api/v2"]
