"""Tests that an invalid, empty or unknown setting is reported with its place, before any file is created."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.config.project import project_context
from pipelines.config.settings import env_variable, get_setting, known_settings
from pipelines.config.validation import validate_account, validate_settings
from sources.sendcloud.errors import SettingsError
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import REPOSITORY, Installation, environment, nothing_is_sent_to

pytestmark = pytest.mark.usefixtures("nothing_of_dlts_in_the_environment")
SECRET = {"alerts", "credentials"}
OTHER_KINDS: dict[type[Any], str] = {int: "'many'", float: "'soon'", str: "5", bool: "'perhaps'", object: "''"}


def write(folder: Path, key: str, value: str) -> str:
    """Writes the setting into the file that it belongs in, and returns its place as an error names it."""
    section, name = key.rsplit(".", 1)
    file = folder / ".dlt" / ("secrets.toml" if SECRET & set(key.split(".")) and "duckdb" not in key else "config.toml")
    file.write_text(f"[{section}]\n{name} = {value}\n")
    return f"{file}: [{section}] {name}"


def every_setting() -> Iterator[Any]:
    for key, wanted in known_settings().items():
        if key != "destination.duckdb.credentials" and not key.startswith("sources.sendcloud.credentials"):
            yield pytest.param(key, OTHER_KINDS.get(wanted.kind, "'yesterday'"), id=key)


@pytest.mark.parametrize(("key", "wrong"), [*every_setting()])
def test_every_invalid_setting_is_reported_with_file_section_and_key(tmp_path: Path, key: str, wrong: str) -> None:
    (tmp_path / ".dlt").mkdir()
    for value in (wrong, "''"):
        place = write(tmp_path, key, value)
        with pytest.raises(SettingsError) as told, project_context(tmp_path):
            validate_settings()
        assert str(told.value).startswith((f"{place} is ", f"{place} can't be used; ")), value
        assert ("is empty; it must be " in str(told.value)) == (value == "''")


@pytest.mark.parametrize(("key", "wrong"), [*every_setting()])
def test_an_unknown_setting_is_reported_with_the_likely_name(tmp_path: Path, key: str, wrong: str) -> None:
    assert wrong
    (tmp_path / ".dlt").mkdir()
    place = write(tmp_path, f"{key[:-1]}{'z' if key[-1] != 'z' else 'y'}", "1")

    with pytest.raises(SettingsError) as told, project_context(tmp_path):
        validate_settings()

    said = str(told.value).replace("] pickups.created_at.", ".pickups.created_at] ")
    said = said.replace("[destination.duckdb] credentials.", "[destination.duckdb.credentials] ")
    assert said.startswith(f"{place} is not a setting; valid names: ")
    meant = key.rsplit(".", 1)[1]
    assert any(f"(did you mean {prefix}{meant}?)" in said for prefix in ("", "pickups.created_at.", "credentials."))


@pytest.mark.parametrize(("key", "wrong"), [*every_setting()])
def test_invalid_and_unknown_settings_in_the_environment_are_reported_with_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, wrong: str
) -> None:
    (tmp_path / ".dlt").mkdir()
    values = {""} | ({wrong.strip("'")} if known_settings()[key].kind not in (str, object) else set())
    for value in values:
        monkeypatch.setenv(env_variable(key), value)
        with pytest.raises(SettingsError) as told, project_context(tmp_path):
            validate_settings()
        assert f"] {key.rsplit('.', 1)[1]} ({env_variable(key)} in the environment) is " in str(told.value)
    monkeypatch.delenv(env_variable(key))
    monkeypatch.setenv(env_variable(key) + "X", "1")
    with (
        pytest.raises(SettingsError, match=f"^{env_variable(key)}X in the environment is not a setting"),
        project_context(tmp_path),
    ):
        validate_settings()


@pytest.mark.parametrize(
    ("file", "text", "evidence"),
    [
        (
            "config",
            "[source.sendcloud]\npage_size = 5",
            "[source.sendcloud] page_size has no effect. Did you mean [sources.sendcloud]?",
        ),
        (
            "config",
            "[sources.sendclod]\npage_size = 5",
            "[sources.sendclod] page_size has no effect. Did you mean [sources.sendcloud]?",
        ),
        ("config", "[destination.duckbd]\ncredentials = 'x'", "Did you mean [destination.duckdb]?"),
        (
            "secrets",
            "[source.sendcloud.credentials]\npublic_key = 'x'",
            "public_key has no effect. Did you mean [sources.sendcloud]?",
        ),
        ("config", "publish = 'x'", "publish is a value; it must be a section, [publish]"),
        ("config", "[sources]\nsendcloud = 5", "sources.sendcloud is a value; it must be a section"),
        ("config", "[status]\nmax_age_hours = 0", "[status] max_age_hours is 0; it must be a number, more than 0"),
        (
            "config",
            "[retention]\nreceipt_days = 30",
            "[retention] receipt_days is 30; it must be a whole number, 366 to 36500",
        ),
        (
            "config",
            "[retention]\nfree_share = 1.5",
            "[retention] free_share is 1.5; it must be a number, more than 0 and at most",
        ),
        ("config", "[sources.sendcloud]\npage_size = true", "page_size is True; it must be a whole number"),
        ("config", "[sources.sendcloud]\npage_size = 1.5", "page_size is 1.5; it must be a whole number"),
        (
            "config",
            "[sources.sendcloud]\npage_size = 0",
            "[sources.sendcloud] page_size is 0. Use a whole number of at least 1",
        ),
        (
            "config",
            "[sources.sendcloud]\nsettle_days = -1.0",
            "[sources.sendcloud] settle_days is -1.0. Use a number from 0 to 36500",
        ),
        ("config", "[sources.sendcloud]\naccount = 'a b'", "[sources.sendcloud] account is 'a b'. Use 1 to 40 letters"),
        ("config", "[sources.sendcloud]\npart = 'head'", "[sources.sendcloud] part is not a setting"),
        ("config", "[sources.sendcloud]\nbase_url = 'ftp://x'", "[sources.sendcloud] base_url is 'ftp://x', not a web"),
        (
            "config",
            "[sources.sendcloud.credentials]\nsecret_key = 'k'",
            "credentials.secret_key is in the wrong file",
        ),
        ("secrets", "[sources.sendcloud.credentials]\npublic_kez = 'k'", "credentials.public_kez is not a setting"),
        (
            "secrets",
            "[sources.sendcloud.credentials]\npublic_key = 5",
            "[sources.sendcloud.credentials] public_key can't be used; it must be text",
        ),
    ],
)
def test_a_run_with_an_invalid_setting_creates_no_file_and_sends_no_request(
    installation: Installation, api: Sandbox, file: str, text: str, evidence: str
) -> None:
    keys = environment(api)
    hidden = {"secrets": "PUBLIC_KEY"}.get(file, "BASE_URL" if "base_url" in text else "none")
    keys = {name: value for name, value in keys.items() if not name.endswith(hidden)}
    (installation.folder / ".dlt" / f"{file}.toml").write_text(text)

    with nothing_is_sent_to(api):
        done = installation.command("run", **keys)

    assert done.returncode == 3
    assert evidence in done.stderr
    assert f"{installation.folder}/.dlt/{file}.toml: " in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in installation.folder.iterdir()] == [".dlt"]


def test_if_a_warehouse_exists_an_invalid_setting_is_recorded_in_a_receipt(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.loaded(api)
    installation.command("run", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="many")

    *_, last = installation.rows("select outcome, error from sendcloud.pickup_runs order by started_at")
    assert last["outcome"] == "failed"
    assert last["error"].startswith(
        "SettingsError: [sources.sendcloud] page_size (SOURCES__SENDCLOUD__PAGE_SIZE in the environment) is 'many'"
    )


def test_environment_variables_of_other_programs_change_nothing(
    installation: Installation, world: World, api: Sandbox
) -> None:
    """By itself, dlt looks for a setting in ever shorter sections. The keys would go wherever BASE_URL leads."""
    world.book()
    files = {"config": f"[sources.sendcloud]\nbase_url = '{api.base_url}'", "secrets": ""}
    files["secrets"] = f"[sources.sendcloud.credentials]\npublic_key='{api.public_key}'\nsecret_key='{api.secret_key}'"
    for file, text in files.items():
        (installation.folder / ".dlt" / f"{file}.toml").write_text(text)

    theirs = ("BASE_URL", "ACCOUNT", "PAGE_SIZE", "SOURCES__BASE_URL", "PATH_", "PUBLISH")
    done = installation.command("run", **{name: f"http://127.0.0.1:9/{name}" for name in theirs})

    assert done.returncode == 0, done.stderr
    assert installation.pickups()[0]["account"] == "default"


@pytest.mark.parametrize("named", [False, True], ids=["one account", "accounts by name"])
def test_the_example_values_are_rejected_as_keys(installation: Installation, api: Sandbox, named: bool) -> None:
    example = (REPOSITORY / ".dlt" / "example.secrets.toml").read_text()
    assert tomllib.loads(example)["sources"]["sendcloud"]["credentials"]["public_key"] == "your public key"
    if named:
        example = example.replace("[sources.sendcloud.credentials]", "[sources.sendcloud.accounts.north.credentials]")
    (installation.folder / ".dlt" / "secrets.toml").write_text(example)

    with nothing_is_sent_to(api):
        done = installation.command("run", SOURCES__SENDCLOUD__BASE_URL=api.base_url)

    assert done.returncode == 3
    place = "[sources.sendcloud.accounts.north.credentials]" if named else "[sources.sendcloud.credentials]"
    assert f"{place} public_key is still the example value 'your public key'" in done.stderr


def test_leftover_example_values_are_ignored_if_accounts_are_named(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    own = "[sources.sendcloud.accounts.north.credentials]\n" + (
        f"public_key = '{api.public_key}'\nsecret_key = '{api.secret_key}'\n"
    )
    example = (REPOSITORY / ".dlt" / "example.secrets.toml").read_text()
    (installation.folder / ".dlt" / "secrets.toml").write_text(f"{example}\n{own}")

    assert installation.command("run", SOURCES__SENDCLOUD__BASE_URL=api.base_url).returncode == 0


def test_the_repositorys_config_toml_and_example_secrets_are_valid() -> None:
    with project_context(REPOSITORY):
        validate_settings()


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("RETENTIONS__RECEIPT_DAYS", "Did you mean [retention]?"),
        ("ALERT__PING_URL", "Did you mean [alerts]?"),
        ("DESTINATION__DUCKBD__CREDENTIALS", "Did you mean [destination.duckdb]?"),
        ("SOURCES__SENDCLOUD_PAGE_SIZE", "Write two underscores between a section and a key."),
    ],
)
def test_a_misspelt_section_in_the_environment_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, said: str
) -> None:
    (tmp_path / ".dlt").mkdir()
    monkeypatch.setenv(variable, "3")
    with pytest.raises(SettingsError) as told, project_context(tmp_path):
        validate_settings()
    assert str(told.value) == f"{variable} in the environment has no effect. {said}"


CANARY = "canary-s3cret-value"


@pytest.mark.parametrize(
    "text",
    [
        f'[sources.sendcloud.accounts]\nnorth = \'{{"public_key": "abc", "secret_key": "{CANARY}"}}\'',
        f"[destination.duckdb]\ncredentials = 'md:shop?motherduck_token={CANARY}'",
        f"[destination.duckdb]\ncredentials = 'postgres://bob:{CANARY}@host/x'",
        f"[sources.sendcloud]\npage_size = '{CANARY}'",
        f"[sources.sendcloud]\nbase_url = 'https://bob:{CANARY}@example.com'",
        f"[sources.sendcloud]\ncredentials = '{CANARY}'",
        f"[publish]\npath = 's3://bob:{CANARY}@bucket'",
        f"[alerts]\nping_url = 'ftp://{CANARY}'",
        f"[runtime]\nslack_incoming_hook = 'http://example.com/{CANARY}'",
        f"[runtime]\nrequest_timeout = '{CANARY}'",
        f"sources = '{CANARY}'",
        f"[status]\nmax_age = '{CANARY}'",
    ],
)
def test_no_value_in_secrets_toml_is_ever_shown(installation: Installation, api: Sandbox, text: str) -> None:
    (installation.folder / ".dlt" / "secrets.toml").write_text(text)
    keys = {name: value for name, value in environment(api).items() if not name.endswith("BASE_URL")}
    for name in ("run", "check", "status"):
        done = installation.command(name, **keys)
        assert done.returncode in (3, 1), (name, done)
        assert CANARY not in done.stdout + done.stderr, name


def test_the_published_file_cannot_be_the_warehouse(installation: Installation, api: Sandbox) -> None:
    (installation.folder / ".dlt" / "config.toml").write_text("[publish]\npath = 'data/../data/warehouse.duckdb'\n")
    done = installation.command("run", api=api)

    assert done.returncode == 3
    assert "[publish] path is " in done.stderr
    assert "runs write to that file" in done.stderr


def test_settings_of_other_programs_may_be_in_the_files(tmp_path: Path) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "config.toml").write_text(
        "[sources.github]\npage_size = 'x'\n[destination.postgres]\nx = 1\n[destination.duckdb_eu]\ncredentials = 'x'\n"
        "[sources.sendcloud_other]\npage_size = 9\n[stats]\nx = 1\n[sources.sendcloud.extract]\nworkers = 2\n"
        "[runtime]\nauth_token = 'x'\n"
        "[my_pipeline.sources]\nx = 1\n[load]\nworkers = 2\n"
    )
    with project_context(tmp_path):
        validate_settings()


def test_a_setting_has_its_type_wherever_it_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dlt").mkdir()
    with project_context(tmp_path):
        assert (get_setting("status.max_age_hours"), get_setting("alerts.ping_url")) == (2.0, None)
    (tmp_path / ".dlt" / "config.toml").write_text("[status]\nmax_age_hours = 5")
    (tmp_path / ".dlt" / "secrets.toml").write_text("[alerts]\nping_url = 'https://ping.example/1'")
    monkeypatch.setenv("RETENTION__RECEIPT_DAYS", "400")
    with project_context(tmp_path):
        assert get_setting("status.max_age_hours") == 5.0
        assert get_setting("alerts.ping_url") == "https://ping.example/1"
        assert get_setting("retention.receipt_days") == 400


def test_an_invalid_secret_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "secrets.toml").write_text("[sources.sendcloud.accounts.a.credentials]\nsecret_key = 8472635")
    with pytest.raises(SettingsError) as told, project_context(tmp_path):
        validate_account("sources.sendcloud.accounts.a")
    assert "secret_key can't be used; it must be text" in str(told.value)
    assert "8472635" not in str(told.value)
