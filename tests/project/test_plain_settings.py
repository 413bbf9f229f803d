"""Tests that settings read without dlt are those that dlt reads, or are left to dlt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.config.accounts import account_names, plain_account_names
from pipelines.config.plain_settings import PlainSettings, plain_settings
from pipelines.config.project import project_context
from pipelines.destinations.duckdb.backend import DuckDBBackend
from pipelines.destinations.select import select_backend
from pipelines.operations.status import max_age_setting

HERE = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for file in ("data/pickups.duckdb", "mine/read.duckdb", "other.db", "sendcloud.duckdb"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    (tmp_path / ".dlt").mkdir()
    monkeypatch.setenv("DLT_PROJECT_DIR", str(tmp_path))
    for name in ("PUBLISH__PATH", "DESTINATION__DUCKDB__CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def plainly() -> Path | None:
    settings = plain_settings()
    return settings.published_file() if settings else None


def by_dlt() -> Path:
    with project_context() as project:
        backend = select_backend(project)
        assert isinstance(backend, DuckDBBackend)
        return backend.read


@pytest.mark.parametrize(
    ("config", "variables"),
    [
        ((HERE / ".dlt/config.toml").read_text(), {}),
        ("", {}),
        ("[publish]\npath = 'mine/read.duckdb'", {}),
        ("[publish]\npath = 'mine/read.duckdb'", {"PUBLISH__PATH": "other.db"}),
        ("[publish]\npath = 'mine/read.duckdb'", {"PATH_": "other.db", "PIPELINE__QUICK_RUNS": "true"}),
        ("publish.path = 'mine/read.duckdb'", {"RUNTIME__DLTHUB_TELEMETRY": "false", "DLT_DATA_DIR": "work"}),
        ("[destination]\nduckdb.credentials = 'a/b.duckdb'", {}),
    ],
)
def test_ordinary_settings_lead_to_the_file_that_dlt_finds(
    project: Path, monkeypatch: pytest.MonkeyPatch, config: str, variables: dict[str, str]
) -> None:
    (project / ".dlt" / "config.toml").write_text(config)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert plainly() == by_dlt()


@pytest.mark.parametrize(
    ("files", "variables"),
    [
        ({"config.toml": "[publish]\npath = 3"}, {}),
        ({"config.toml": "[publish]\npath = 'no quote"}, {}),
        ({"config.toml": "[publish]\npath = ''"}, {}),
        ({"config.toml": "[publish]\npath = 'md:shared.duckdb'"}, {}),
        ({"config.toml": "[publish]\npath = 'data/warehouse.duckdb'"}, {}),
        ({"config.toml": "[publish]\npath = 'sendcloud.duckdb'"}, {}),
        ({"config.toml": "[publish]\npath = 'not/there.duckdb'"}, {}),
        ({"config.toml": "[pipeline]\ndestination = 'postgres'"}, {}),
        ({"config.toml": "[schemas]\ndata = 'mine'"}, {}),
        ({"config.toml": "[runtime]\nlog_level = 'LOUD'"}, {}),
        ({"config.toml": "[runtime]\nrequest_timeout = 'soon'"}, {}),
        ({"config.toml": "[destination.duckdb.credentials]\ndatabase = 'a.duckdb'"}, {}),
        ({"secrets.toml": "[publish]\npath = 'no quote"}, {}),
        ({"secrets.toml": "[runtime]\nlog_level = 3"}, {}),
        ({"dev.config.toml": "[publish]\npath = 'other.db'", ".workspace": ""}, {}),
        ({}, {"PUBLISH__PATH": ""}),
        ({}, {"PUBLISH__PATH": "3"}),
        ({}, {"PUBLISH__PATH_FILE": "path.txt"}),
        ({}, {"PIPELINE__DESTINATION": "delta"}),
        ({}, {"RUNTIME__LOG_LEVEL": "INFO"}),
        ({}, {"DESTINATION__DUCKDB__CREDENTIALS__DATABASE": "a.duckdb"}),
        ({}, {"DLT_CONFIG_FOLDER": "elsewhere"}),
    ],
)
def test_everything_else_is_left_to_dlt(
    project: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], variables: dict[str, str]
) -> None:
    for name, text in files.items():
        (project / ".dlt" / name).write_text(text)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert plainly() is None


def test_a_folder_in_place_of_a_file_is_left_to_dlt(project: Path) -> None:
    (project / ".dlt" / "config.toml").mkdir()

    assert plain_settings() is None


def settings_of(
    project: Path, monkeypatch: pytest.MonkeyPatch, config: str, secrets: str, variables: dict[str, str]
) -> PlainSettings | None:
    """Returns the settings of a project with these files and variables."""
    (project / ".dlt" / "config.toml").write_text(config)
    (project / ".dlt" / "secrets.toml").write_text(secrets)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return plain_settings()


@pytest.mark.parametrize(
    ("config", "secrets", "variables"),
    [
        ("", "", {}),
        ("[sources.sendcloud]\naccount = 'shop'", "", {}),
        ("[sources.sendcloud.accounts.north]\n[sources.sendcloud.accounts.south]", "", {}),
        ("", "[sources.sendcloud.accounts.north.credentials]\npublic_key = 'a'", {}),
        ("[sources.sendcloud.accounts.north]", "", {"SOURCES__SENDCLOUD__ACCOUNTS": ""}),
        ("", "", {"SOURCES__SENDCLOUD__ACCOUNT": "west"}),
    ],
)
def test_the_accounts_are_those_that_dlt_finds(
    project: Path, monkeypatch: pytest.MonkeyPatch, config: str, secrets: str, variables: dict[str, str]
) -> None:
    settings = settings_of(project, monkeypatch, config, secrets, variables)

    with project_context():
        assert settings
        assert plain_account_names(settings) == account_names()


@pytest.mark.parametrize(
    ("config", "secrets", "variables"),
    [
        ("[sources.sendcloud]\naccounts = 3", "", {}),
        ("[sources.sendcloud.accounts.credentials]", "", {}),
        ("[sources.sendcloud.accounts.north]", "[sources.sendcloud.accounts.nroth]", {}),
        ("[sources.sendcloud.accounts.north]", "", {"SOURCES__SENDCLOUD__ACCOUNTS__EAST__PAGE_SIZE": "3"}),
        ("", "", {"SOURCES__SENDCLOUD__ACCOUNTS": "north"}),
        ("[sources.sendcloud]\naccount = 3", "", {}),
    ],
)
def test_wrong_accounts_are_left_to_dlt(
    project: Path, monkeypatch: pytest.MonkeyPatch, config: str, secrets: str, variables: dict[str, str]
) -> None:
    settings = settings_of(project, monkeypatch, config, secrets, variables)

    assert settings is None or plain_account_names(settings) is None


@pytest.mark.parametrize(("text", "hours"), [("", 2.0), ("[status]\nmax_age_hours = 5", 5.0)])
def test_the_age_limit_is_the_configured_one(project: Path, text: str, hours: float) -> None:
    (project / ".dlt" / "config.toml").write_text(text)
    found: Any = max_age_setting()

    assert (found, type(found)) == (hours, float)
