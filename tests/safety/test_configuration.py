"""Tests where settings are read from, and that an invalid setting exits 3."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines import run
from pipelines.config.project import find_project
from pipelines.warehouse import read
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import Installation, environment, rows_of


def run_with_config(installation: Installation, api: Sandbox, config: str, **variables: str) -> tuple[int, str]:
    (installation.folder / ".dlt" / "config.toml").write_text(config)
    done = installation.command("run", api=api, **variables)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("pickups: ")]
    assert "Traceback" not in done.stderr
    return done.returncode, line


@pytest.mark.parametrize(
    ("config", "evidence"),
    [
        ("[sources.sendcloud\n", "config.toml"),
        (
            "[destination.duckdb]\ncredentials = ':memory:'",
            "[destination.duckdb] credentials is ':memory:'; it must be the path",
        ),
        (
            "[destination.duckdb]\ncredentials = 'md:mine'",
            "[destination.duckdb] credentials is 'md:mine'; it must be the path",
        ),
        ("[publish]\npath = 5", "[publish] path is 5; it must be text"),
        ("[publish]\npath = ''", "[publish] path is empty"),
        (
            "[sources.sendcloud.pickups.created_at]\ninitial_value = '2026-10-01'",
            "[sources.sendcloud.pickups.created_at] initial_value is '2026-10-01'; it must be a timestamp",
        ),
        (
            "[sources.sendcloud.pickups.created_at]\ninitial_value = 2026-10-01",
            "it must be a timestamp, with a UTC offset",
        ),
        (
            "[sources.sendcloud.pickups.created_at]\ninitial_value = 2026-10-01T00:00:00",
            "it must be a timestamp, with a UTC offset",
        ),
        ("[sources.sendcloud]\npage_size = 'many'", "page_size"),
        ("[runtime]\nrequest_max_retry_delay = 'abc'", "request_max_retry_delay"),
    ],
)
def test_an_invalid_setting_is_reported_in_one_line(
    installation: Installation, api: Sandbox, config: str, evidence: str
) -> None:
    code, line = run_with_config(installation, api, config)

    assert code == 3
    assert evidence in line
    assert api.requests == []


def test_the_warehouse_can_be_set_with_dlts_long_form_of_the_destination(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    long_form = "[destination.duckdb.credentials]\ndatabase = 'data/long.duckdb'\n"
    (installation.folder / ".dlt" / "config.toml").write_text(long_form)
    installation.run(api)

    assert rows_of(installation.folder / "data" / "long.duckdb", "select count(*) as n from sendcloud.pickups") == [
        {"n": 1}
    ]


def test_settings_are_read_from_both_files(installation: Installation, world: World, api: Sandbox) -> None:
    for _ in range(12):
        world.book()
    (installation.folder / ".dlt" / "config.toml").write_text(
        f"[sources.sendcloud]\nbase_url = '{api.base_url}'\naccount = 'north'\npage_size = 5\n"
        "[publish]\npath = 'shared/read me.duckdb'\n"
    )
    (installation.folder / ".dlt" / "secrets.toml").write_text(
        f"[sources.sendcloud.credentials]\npublic_key = '{api.public_key}'\nsecret_key = '{api.secret_key}'\n"
    )

    assert installation.command("run").returncode == 0

    published = rows_of(
        installation.folder / "shared" / "read me.duckdb", "select distinct account from sendcloud.pickups"
    )
    assert (published, len(api.requests)) == ([{"account": "north"}], 3)


def test_the_project_is_the_nearest_folder_with_settings_at_or_above_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop" / ".dlt").mkdir(parents=True)
    (tmp_path / "shop" / "notebooks" / "drafts").mkdir(parents=True)
    monkeypatch.delenv("DLT_PROJECT_DIR", raising=False)
    monkeypatch.chdir(tmp_path / "shop" / "notebooks" / "drafts")

    assert find_project() == tmp_path / "shop"


def test_two_projects_in_one_process_use_their_own_files(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    """As in a notebook, the working folder decides, and not the project of the previous call."""
    world.book()
    for name, value in environment(api).items():
        installation.monkeypatch.setenv(name, value)
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        (folder / ".dlt").mkdir(parents=True)
        installation.monkeypatch.chdir(folder)
        run()
        assert len(read("pickups")) == 1

    assert [(folder / "data" / "pickups.duckdb").exists() for folder in folders] == [True, True]


def test_a_run_that_fails_before_its_first_request_is_recorded_for_its_account(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.run(api, account="north")
    installation.command("run", SOURCES__SENDCLOUD__ACCOUNT="north")

    query = "select account, outcome from sendcloud.pickup_runs order by started_at"
    assert installation.rows(query) == [
        {"account": "north", "outcome": "succeeded"},
        {"account": "north", "outcome": "failed"},
    ]


@pytest.mark.slow
def test_a_first_run_without_keys_does_not_hide_the_demo(installation: Installation) -> None:
    installation.command("demo", "--pickups", "300")
    assert installation.command("run").returncode == 3

    assert "dhl_express" in installation.command("show", "carriers").stdout


def test_a_run_whose_publishing_failed_is_recorded_as_failed(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    world.book()
    (tmp_path / "a file").touch()
    done = installation.command("run", api=api, PUBLISH__PATH=str(tmp_path / "a file" / "published.duckdb"))

    (row,) = rows_of(installation.warehouse, "select outcome, rows_new, error from sendcloud.pickup_runs")
    assert (done.returncode, row["outcome"], row["rows_new"]) == (6, "failed", 1)
    assert row["error"].startswith("DestinationError: The destination failed: ")


def test_a_failed_account_keeps_its_own_error_if_publishing_fails_too(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    world.book()
    installation.loaded(api)
    (tmp_path / "a file").touch()
    wrong = {
        "PUBLISH__PATH": str(tmp_path / "a file" / "published.duckdb"),
        "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY": "wrong",
    }
    done = installation.command("run", api=api, **wrong)

    errors = rows_of(installation.warehouse, "select error from sendcloud.pickup_runs where outcome = 'failed'")
    assert [row["error"].split(":")[0] for row in errors] == ["AuthError"]
    assert done.returncode == 3


def test_debug_shows_the_traceback_and_keeps_the_exit_code(installation: Installation) -> None:
    done = installation.process("--debug", "run")

    assert done.returncode == 3
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("pickups: Settings are missing")
