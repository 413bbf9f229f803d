"""Tests that a settings file in a wrong form is read, or is named with its line by every command."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.config.settings_file import read_document
from sources.sendcloud.errors import SettingsError
from sources.sendcloud.sandbox import Sandbox
from tests.support.bad_input import api as api
from tests.support.bad_input import outcome
from tests.support.bad_input import world as world
from tests.support.cases import quick
from tests.support.installation import Installation, as_rows, nothing_is_sent_to

COMMANDS = (["run"], ["check"], ["status"], ["show", "carriers"], ["report"], ["models"], ["schedule", "cron"])
TEXT = "[publish]\n# Köln\npath = 'data/x.duckdb'\n"


def link_to_nothing(path: Path) -> None:
    path.symlink_to("/nonexistent/config.toml")


FORMS: tuple[tuple[str, Callable[[Path], object], str], ...] = (
    ("UTF-16", lambda path: path.write_bytes(TEXT.encode("utf-16")), ", line 1: the file is in UTF-16."),
    ("UTF-16 without a mark", lambda path: path.write_bytes(TEXT.encode("utf-16-le")), ", line 1: the file is in UTF"),
    ("UTF-32", lambda path: path.write_bytes(TEXT.encode("utf-32")), ", line 1: the file is in UTF-16."),
    ("Latin-1", lambda path: path.write_bytes(TEXT.encode("latin-1")), ", line 2: byte 0xf6 is not UTF-8."),
    ("UTF-16 BE", lambda path: path.write_bytes(TEXT.encode("utf-16-be")), ", line 1: the file is in UTF-16."),
    ("Windows-1252", lambda path: path.write_bytes(b"[a]\nb = \x93c\x94\n"), ", line 2: byte 0x93 is not UTF-8."),
    ("curly quotes", lambda path: path.write_text("[a]\nb = “c”\n"), "Invalid value (at line 2, column 5)."),
    ("lines of old Macs", lambda path: path.write_bytes(b"[a]\rb = 1\r"), "(at line 1, column 4)."),
    ("a zero byte at the end", lambda path: path.write_bytes(b"[a]\nb = 1\n\0"), "(at line 3, column 1)."),
    ("two marks", lambda path: path.write_bytes(b"\xef\xbb\xbf" * 2 + b"[a]\n"), "(at line 1, column 1)."),
    ("a merge conflict", lambda path: path.write_text("<<<<<<< HEAD\n[a]\n"), "(at line 1, column 1)."),
    ("no quotes", lambda path: path.write_text("[publish]\n\npath = data\n"), "Invalid value (at line 3, column 8)."),
    ("key twice", lambda path: path.write_text("a = 1\n\na = 2\n"), "(at line 3, column 6)."),
    ("section twice", lambda path: path.write_text("[a]\nb = 1\n[a]\n"), "(at line 3, column 3)."),
    ("too deep", lambda path: path.write_text("a = " + "[" * 5_000), "can't be read: "),
    ("a folder", lambda path: path.mkdir(), "can't be read: it is not a file."),
    ("a pipe", lambda path: os.mkfifo(path), "can't be read: it is not a file."),
    ("a broken link", link_to_nothing, "The path is a link to a file that does not exist."),
    ("a circular link", lambda path: path.symlink_to(path.name), "can't be read: Too many levels of symbolic links."),
)


@pytest.mark.parametrize("file", quick(["config.toml", "secrets.toml"]))
@pytest.mark.parametrize(("_form", "make", "evidence"), FORMS, ids=[form for form, _, _ in FORMS])
def test_an_unreadable_settings_file_exits_3_and_names_the_file_and_the_line(
    installation: Installation, file: str, _form: str, make: Callable[[Path], object], evidence: str
) -> None:
    path = installation.folder / ".dlt" / file
    make(path)

    code, message = outcome(installation.command("run"))

    assert code == 3
    assert message.startswith(f"pickups: {path}")
    assert evidence in message
    assert message.count("\n") == 0
    assert not (installation.folder / "data").exists()


@pytest.mark.parametrize("words", quick(COMMANDS, only=(1, 2, 6)), ids=" ".join)
def test_every_command_names_the_unreadable_settings_file(installation: Installation, words: list[str]) -> None:
    path = installation.folder / ".dlt" / "secrets.toml"
    path.write_bytes(TEXT.encode("utf-16"))

    done = installation.command(*words)

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"pickups: {path}, line 1: the file is in UTF-16. Save it as UTF-8.\n"


def test_a_settings_file_without_read_permission_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(TEXT)
    path.chmod(0)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65_534)
        with pytest.raises(SettingsError) as told:
            read_document(str(path))
    finally:
        if root:
            os.seteuid(0)

    assert str(told.value) == (
        f"{path} can't be read: Permission denied. Grant this user read access (chgrp and chmod 0640)."
    )


def test_a_byte_order_mark_is_read_in_both_files(installation: Installation, api: Sandbox) -> None:
    keys = f"public_key = '{api.public_key}'\nsecret_key = '{api.secret_key}'\n"
    folder = installation.folder / ".dlt"
    (folder / "config.toml").write_text(f"[sources.sendcloud]\nbase_url = '{api.base_url}'\n", "utf-8-sig")
    (folder / "secrets.toml").write_text(f"[sources.sendcloud.credentials]\n{keys}", "utf-8-sig")

    assert outcome(installation.command("run")) == (0, "")
    assert installation.pickups() == as_rows(api.world.records(), api_version="v2")


def test_an_empty_device_in_place_of_a_file_is_an_empty_file(tmp_path: Path) -> None:
    """Docker hides a file by mounting /dev/null over it."""
    (tmp_path / "config.toml").symlink_to(os.devnull)

    assert read_document(str(tmp_path / "config.toml")) == {}
    assert read_document(str(tmp_path / "secrets.toml")) is None


@pytest.mark.parametrize(
    ("config", "secrets"),
    [
        ("[publish\n", "[runtime]\nslack_incoming_hook = '{}'\n"),
        ("\ufeff[runtime]\nslack_incoming_hook = '{}'\n", "[sources\n"),
        ("[runtime]\nslack_incoming_hook = '{}'\n[publish]\npath = data\n", ""),
    ],
    ids=["in the other file", "in the other file, after a mark", "in the same file, above the error"],
)
def test_the_alert_is_sent_if_its_address_can_be_read(
    installation: Installation, api: Sandbox, config: str, secrets: str
) -> None:
    for name, text in (("config", config), ("secrets", secrets)):
        (installation.folder / ".dlt" / f"{name}.toml").write_text(text.format(api.base_url), "utf-8")

    assert installation.command("run").returncode == 3
    assert [(request.method, request.path) for request in api.requests] == [("POST", "/api/v2")]


def test_no_alert_is_sent_to_an_address_below_the_error(installation: Installation, api: Sandbox) -> None:
    text = f"[publish]\npath = data\n[runtime]\nslack_incoming_hook = '{api.base_url}'\n"
    (installation.folder / ".dlt" / "config.toml").write_text(text)

    with nothing_is_sent_to(api):
        assert installation.command("run").returncode == 3


def test_a_working_folder_that_was_deleted_is_named(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    code, message = outcome(installation.command("run", DLT_PROJECT_DIR=""))

    assert code == 3
    assert message.startswith("pickups: The working folder no longer exists")


def test_an_alert_that_an_unusable_bundle_of_certificates_prevents_names_the_variable(
    installation: Installation,
) -> None:
    variables = {
        "REQUESTS_CA_BUNDLE": "/nonexistent.pem",
        "RUNTIME__SLACK_INCOMING_HOOK": "https://chat.example/s3cret",
    }
    keys = {f"SOURCES__SENDCLOUD__CREDENTIALS__{name}_KEY": "a" * 32 for name in ("PUBLIC", "SECRET")}

    code, message = outcome(installation.command("run", **variables, **keys))

    assert code == 3
    assert "[runtime] slack_incoming_hook: REQUESTS_CA_BUNDLE in the environment is '/nonexistent.pem'" in message
    assert "s3cret" not in message
