"""Every setting: one that can't be, is empty or unknown is told with its place, before anything is made."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import NotConfigured
from pipelines.project import inside
from pipelines.settings import known, setting, variable_of
from pipelines.verify import verify, verify_account
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import REPOSITORY, Installation, environment, nothing_is_sent_to

pytestmark = pytest.mark.usefixtures("nothing_of_dlts_in_the_environment")
SECRET = {"alerts", "credentials"}
OTHER_KINDS: dict[type[Any], str] = {int: "'many'", float: "'soon'", str: "5", bool: "'perhaps'", object: "''"}


def write(folder: Path, key: str, value: str) -> str:
    """The setting in the file that it belongs into; returns its place as a person would look for it."""
    section, name = key.rsplit(".", 1)
    file = folder / ".dlt" / ("secrets.toml" if SECRET & set(key.split(".")) and "duckdb" not in key else "config.toml")
    file.write_text(f"[{section}]\n{name} = {value}\n")
    return f"{file}: [{section}] {name}"


def every_setting() -> Iterator[Any]:
    for key, wanted in known().items():
        if key != "destination.duckdb.credentials" and not key.startswith("sources.sendcloud.credentials"):
            yield pytest.param(key, OTHER_KINDS.get(wanted.kind, "'yesterday'"), id=key)


@pytest.mark.parametrize(("key", "wrong"), [*every_setting()])
def test_every_setting_that_cannot_be_is_told_with_file_section_and_key(tmp_path: Path, key: str, wrong: str) -> None:
    (tmp_path / ".dlt").mkdir()
    for value in (wrong, "''"):
        place = write(tmp_path, key, value)
        with pytest.raises(NotConfigured) as told, inside(tmp_path):
            verify()
        assert str(told.value).startswith((f"{place} is ", f"{place} can't be used; ")), value
        assert ("is empty; it must be " in str(told.value)) == (value == "''")


@pytest.mark.parametrize(("key", "wrong"), [*every_setting()])
def test_a_name_that_nobody_knows_is_told_with_the_one_that_was_meant(tmp_path: Path, key: str, wrong: str) -> None:
    assert wrong
    (tmp_path / ".dlt").mkdir()
    place = write(tmp_path, f"{key[:-1]}{'z' if key[-1] != 'z' else 'y'}", "1")

    with pytest.raises(NotConfigured) as told, inside(tmp_path):
        verify()

    said = str(told.value).replace("] pickups.created_at.", ".pickups.created_at] ")
    assert said.startswith(f"{place} is no setting; there are ")
    meant = key.rsplit(".", 1)[1]
    assert f"(did you mean {meant}?)" in said or f"(did you mean pickups.created_at.{meant}?)" in said


@pytest.mark.parametrize(("key", "wrong"), [*every_setting()])
def test_the_same_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, wrong: str) -> None:
    (tmp_path / ".dlt").mkdir()
    values = {""} | ({wrong.strip("'")} if known()[key].kind not in (str, object) else set())
    for value in values:
        monkeypatch.setenv(variable_of(key), value)
        with pytest.raises(NotConfigured) as told, inside(tmp_path):
            verify()
        assert f"] {key.rsplit('.', 1)[1]} ({variable_of(key)} in the environment) is " in str(told.value)
    monkeypatch.delenv(variable_of(key))
    monkeypatch.setenv(variable_of(key) + "X", "1")
    with pytest.raises(NotConfigured, match=f"^{variable_of(key)}X in the environment is no setting"), inside(tmp_path):
        verify()


@pytest.mark.parametrize(
    ("file", "text", "evidence"),
    [
        (
            "config",
            "[source.sendcloud]\npage_size = 5",
            "[source.sendcloud] page_size is read by nobody. Did you mean [sources.sendcloud]?",
        ),
        (
            "config",
            "[sources.sendclod]\npage_size = 5",
            "[sources.sendclod] page_size is read by nobody. Did you mean [sources.sendcloud]?",
        ),
        ("config", "[destination.duckbd]\ncredentials = 'x'", "Did you mean [destination.duckdb]?"),
        (
            "secrets",
            "[source.sendcloud.credentials]\npublic_key = 'x'",
            "public_key is read by nobody. Did you mean [sources.sendcloud]?",
        ),
        ("config", "publish = 'x'", "publish is a value; it must be a section, [publish]"),
        ("config", "[sources]\nsendcloud = 5", "sources.sendcloud is a value; it must be a section"),
        ("config", "[status]\nmax_age_hours = 0", "[status] max_age_hours is 0; it must be a number, more than 0"),
        ("config", "[keep]\nreceipt_days = 30", "[keep] receipt_days is 30; it must be a whole number, 366 to 36500"),
        (
            "config",
            "[keep]\nfree_share = 1.5",
            "[keep] free_share is 1.5; it must be a number, more than 0 and at most",
        ),
        ("config", "[sources.sendcloud]\npage_size = true", "page_size is True; it must be a whole number"),
        ("config", "[sources.sendcloud]\npage_size = 1.5", "page_size is 1.5; it must be a whole number"),
        (
            "config",
            "[sources.sendcloud]\npage_size = 0",
            "[sources.sendcloud] page_size is 0. Give a whole number from 1",
        ),
        (
            "config",
            "[sources.sendcloud]\nsettle_days = -1.0",
            "[sources.sendcloud] settle_days is -1.0. Give 0 to 36500",
        ),
        ("config", "[sources.sendcloud]\naccount = 'a b'", "[sources.sendcloud] account is 'a b'. Use 1 to 40 letters"),
        ("config", "[sources.sendcloud]\npart = 'head'", "[sources.sendcloud] part is no setting"),
        ("config", "[sources.sendcloud]\nbase_url = 'ftp://x'", "[sources.sendcloud] base_url is 'ftp://x', not a web"),
        ("config", "[sources.sendcloud.credentials]\nsecret_key = 'k'", "credentials.secret_key is in the wrong file"),
        ("secrets", "[sources.sendcloud.credentials]\npublic_kez = 'k'", "credentials.public_kez is no setting"),
        (
            "secrets",
            "[sources.sendcloud.credentials]\npublic_key = 5",
            "[sources.sendcloud.credentials] public_key can't be used; it must be text",
        ),
    ],
)
def test_a_run_with_a_wrong_setting_makes_and_sends_nothing(
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


def test_a_wrong_setting_of_a_warehouse_in_use_leaves_a_receipt_that_says_so(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.run(api)
    installation.command("run", api=api, SOURCES__SENDCLOUD__PAGE_SIZE="many")

    *_, last = installation.rows("select outcome, error from sendcloud.pickup_runs order by started_at")
    assert last["outcome"] == "failed"
    assert last["error"].startswith(
        "NotConfigured: [sources.sendcloud] page_size (SOURCES__SENDCLOUD__PAGE_SIZE in the environment) is 'many'"
    )


def test_a_variable_of_somebody_elses_changes_nothing(installation: Installation, world: World, api: Sandbox) -> None:
    """dlt alone looks for a setting in ever shorter sections: the keys would go wherever BASE_URL leads."""
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
def test_the_examples_own_words_are_no_keys(installation: Installation, api: Sandbox, named: bool) -> None:
    example = (REPOSITORY / ".dlt" / "example.secrets.toml").read_text()
    assert tomllib.loads(example)["sources"]["sendcloud"]["credentials"]["public_key"] == "your public key"
    if named:
        example = example.replace("[sources.sendcloud.credentials]", "[sources.sendcloud.accounts.north.credentials]")
    (installation.folder / ".dlt" / "secrets.toml").write_text(example)

    with nothing_is_sent_to(api):
        done = installation.command("run", SOURCES__SENDCLOUD__BASE_URL=api.base_url)

    assert done.returncode == 3
    place = "[sources.sendcloud.accounts.north.credentials]" if named else "[sources.sendcloud.credentials]"
    assert f"{place} public_key is still the example's, 'your public key'" in done.stderr


def test_where_accounts_are_named_what_is_left_of_the_example_is_in_nobodys_way(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    own = "[sources.sendcloud.accounts.north.credentials]\n" + (
        f"public_key = '{api.public_key}'\nsecret_key = '{api.secret_key}'\n"
    )
    example = (REPOSITORY / ".dlt" / "example.secrets.toml").read_text()
    (installation.folder / ".dlt" / "secrets.toml").write_text(f"{example}\n{own}")

    assert installation.command("run", SOURCES__SENDCLOUD__BASE_URL=api.base_url).returncode == 0


def test_what_config_toml_and_its_example_of_secrets_say_is_in_order() -> None:
    with inside(REPOSITORY):
        verify()


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("KEEPS__RECEIPT_DAYS", "Did you mean [keep]?"),
        ("ALERT__PING_URL", "Did you mean [alerts]?"),
        ("DESTINATION__DUCKBD__CREDENTIALS", "Did you mean [destination.duckdb]?"),
        ("SOURCES__SENDCLOUD_PAGE_SIZE", "There are two underscores between a section and a key."),
    ],
)
def test_a_section_misspelt_in_the_environment_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, said: str
) -> None:
    (tmp_path / ".dlt").mkdir()
    monkeypatch.setenv(variable, "3")
    with pytest.raises(NotConfigured) as told, inside(tmp_path):
        verify()
    assert str(told.value) == f"{variable} in the environment is read by nobody. {said}"


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
def test_whatever_stands_in_secrets_toml_is_never_shown(installation: Installation, api: Sandbox, text: str) -> None:
    (installation.folder / ".dlt" / "secrets.toml").write_text(text)
    keys = {name: value for name, value in environment(api).items() if not name.endswith("BASE_URL")}
    for name in ("run", "check", "status"):
        done = installation.command(name, **keys)
        assert done.returncode in (3, 1), (name, done)
        assert CANARY not in done.stdout + done.stderr, name


def test_what_people_read_may_not_be_what_runs_write(installation: Installation, api: Sandbox) -> None:
    (installation.folder / ".dlt" / "config.toml").write_text("[publish]\npath = 'data/../data/warehouse.duckdb'\n")
    done = installation.command("run", api=api)

    assert done.returncode == 3
    assert "[publish] path is " in done.stderr
    assert "it is the file that runs write" in done.stderr


def test_others_may_share_the_files(tmp_path: Path) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "config.toml").write_text(
        "[sources.github]\npage_size = 'x'\n[destination.postgres]\nx = 1\n[destination.duckdb_eu]\ncredentials = 'x'\n"
        "[sources.sendcloud_other]\npage_size = 9\n[stats]\nx = 1\n[sources.sendcloud.extract]\nworkers = 2\n"
        "[runtime]\nauth_token = 'x'\n"
        "[my_pipeline.sources]\nx = 1\n[load]\nworkers = 2\n"
    )
    with inside(tmp_path):
        verify()


def test_a_setting_is_of_its_kind_wherever_it_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dlt").mkdir()
    with inside(tmp_path):
        assert (setting("status.max_age_hours"), setting("alerts.ping_url")) == (2.0, None)
    (tmp_path / ".dlt" / "config.toml").write_text("[status]\nmax_age_hours = 5")
    (tmp_path / ".dlt" / "secrets.toml").write_text("[alerts]\nping_url = 'https://ping.example/1'")
    monkeypatch.setenv("KEEP__RECEIPT_DAYS", "400")
    with inside(tmp_path):
        assert setting("status.max_age_hours") == 5.0
        assert setting("alerts.ping_url") == "https://ping.example/1"
        assert setting("keep.receipt_days") == 400


def test_a_secret_that_cannot_be_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "secrets.toml").write_text("[sources.sendcloud.accounts.a.credentials]\nsecret_key = 8472635")
    with pytest.raises(NotConfigured) as told, inside(tmp_path):
        verify_account("sources.sendcloud.accounts.a")
    assert "secret_key can't be used; it must be text" in str(told.value)
    assert "8472635" not in str(told.value)
