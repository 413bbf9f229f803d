"""Tests variables such as SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY_FILE, which name a file with a secret."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.config import secret_files
from sources.sendcloud.sandbox import Sandbox, World
from tests.support.alert_receiver import listening
from tests.support.installation import Done, Installation, as_rows, environment, nothing_is_sent_to

KEYS = "SOURCES__SENDCLOUD__CREDENTIALS"
PUBLIC, SECRET = f"{KEYS}__PUBLIC_KEY", f"{KEYS}__SECRET_KEY"

pytestmark = pytest.mark.usefixtures("nothing_of_dlts_in_the_environment")


def write(folder: Path, name: str, content: str | bytes, mode: int = 0o400) -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return str(path)


def files_of(api: Sandbox, folder: Path, start: str = KEYS) -> dict[str, str]:
    """Returns the variables that name files with the sandbox's keys. One file ends with a line break, one does not."""
    return {
        f"{start}__PUBLIC_KEY_FILE": write(folder, f"public{len(start)}", api.public_key),
        f"{start}__SECRET_KEY_FILE": write(folder, f"secret{len(start)}", f" {api.secret_key}\n"),
    }


def command(installation: Installation, api: Sandbox, *words: str, **variables: str) -> Done:
    """Calls the command with the sandbox's address, but without its keys."""
    given = {name: value for name, value in environment(api).items() if not name.startswith(KEYS)}
    return installation.command(*words, **{**given, **variables})


def test_a_run_reads_its_keys_from_files_and_leaves_no_key_in_the_environment(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    world.book()

    done = command(installation, api, "run", **files_of(api, tmp_path))

    assert (done.returncode, done.stdout[:6]) == (0, "1 new,"), done.stderr
    assert installation.pickups() == as_rows(world.records())
    assert PUBLIC not in os.environ
    assert SECRET not in os.environ
    assert api.secret_key not in done.stdout + done.stderr


def test_an_account_reads_its_own_keys_from_files(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    world.book()
    (installation.folder / ".dlt" / "config.toml").write_text("[sources.sendcloud.accounts.north-sea]\n")

    keys = files_of(api, tmp_path, "SOURCES__SENDCLOUD__ACCOUNTS__NORTH-SEA__CREDENTIALS")
    done = command(installation, api, "run", **keys)

    assert (done.returncode, done.stdout[:6]) == (0, "1 new,"), done.stdout + done.stderr
    assert installation.pickups() == as_rows(world.records(), "north-sea")


def test_a_pair_in_one_file_is_a_json_object(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    world.book()
    pair = f'{{"public_key": "{api.public_key}", "secret_key": "{api.secret_key}"}}\n'

    done = command(installation, api, "run", **{f"{KEYS}_FILE": write(tmp_path, "pair", pair)})

    assert (done.returncode, done.stdout[:6]) == (0, "1 new,"), done.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "can't be read: No such file or directory"),
        ("", "is empty"),
        (" \n\n", "is empty"),
        (b"\xff\xfe", "is not UTF-8 text"),
        ("a\0b", "is not text"),
        ("k" * 65_537, "has more than 65,536 bytes"),
    ],
    ids=["missing", "empty", "only whitespace", "not text", "a null byte", "too large"],
)
def test_a_file_without_a_secret_ends_the_command_before_any_request(
    installation: Installation, api: Sandbox, tmp_path: Path, content: str | bytes | None, says: str
) -> None:
    path = str(tmp_path / "key") if content is None else write(tmp_path, "key", content)

    with nothing_is_sent_to(api):
        done = command(installation, api, "run", **{**files_of(api, tmp_path), f"{SECRET}_FILE": path})

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        f"pickups: {path}, which {SECRET}_FILE in the environment names, {says}. Correct the file or its path.\n"
    )


def test_a_pipe_is_refused_and_not_waited_for(installation: Installation, api: Sandbox, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    done = command(installation, api, "run", **{f"{SECRET}_FILE": str(tmp_path / "pipe")})

    assert (done.returncode, "is not a file" in done.stderr) == (3, True)


def test_two_values_for_one_secret_are_refused_without_printing_either(
    installation: Installation, api: Sandbox, tmp_path: Path
) -> None:
    done = command(installation, api, "run", **files_of(api, tmp_path), **{SECRET: "another-key-of-somebody"})

    assert done.returncode == 3
    assert done.stderr == f"pickups: {SECRET} and {SECRET}_FILE are both set in the environment. Unset one of them.\n"


def test_a_bad_key_in_a_file_is_reported_by_the_name_of_the_file_variable(
    installation: Installation, api: Sandbox, tmp_path: Path
) -> None:
    files = {**files_of(api, tmp_path), f"{SECRET}_FILE": write(tmp_path, "quoted", '"in-quotes-in-quotes"\n')}

    done = command(installation, api, "run", **files)

    assert done.returncode == 3
    assert f"secret_key ({SECRET}_FILE in the environment) has quotes around it" in done.stderr
    assert "in-quotes" not in done.stderr


def test_check_warns_if_other_users_can_read_a_secrets_file(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    world.book()
    files = files_of(api, tmp_path)
    assert "secrets " not in command(installation, api, "check", **files).stdout

    Path(files[f"{SECRET}_FILE"]).chmod(0o644)
    done = command(installation, api, "check", **files)

    (line,) = [line for line in done.stdout.splitlines() if line.split()[1] == "secrets"]
    assert line.split(maxsplit=2)[::2] == ["warning", line.split(maxsplit=2)[2]]
    assert f"other users can read {files[f'{SECRET}_FILE']}: chmod 640" in line


def test_an_alert_address_from_a_file_still_works_if_a_keys_file_is_missing(
    installation: Installation, api: Sandbox, tmp_path: Path
) -> None:
    with listening() as receiver:
        hook = {"RUNTIME__SLACK_INCOMING_HOOK_FILE": write(tmp_path, "hook", f"{receiver.address}\n")}

        done = command(installation, api, "run", **hook, **{f"{SECRET}_FILE": str(tmp_path / "nowhere")})

    assert done.returncode == 3
    assert ["nowhere" in message for message in receiver.messages] == [True]


@pytest.mark.parametrize(
    ("variable", "is_secret"),
    [
        (f"{SECRET}_FILE", True),
        ("DESTINATION__POSTGRES__CREDENTIALS_FILE", True),
        ("DESTINATION__FILESYSTEM__CREDENTIALS__AWS_SECRET_ACCESS_KEY_FILE", True),
        ("ALERTS__PING_URL_FILE", True),
        ("SOURCES__SENDCLOUD__BASE_URL_FILE", False),
        ("SOURCES__SENDCLOUD__ACCOUNTS__NORTH__BASE_URL_FILE", False),
        ("SSL_CERT_FILE", False),
        (SECRET, False),
    ],
)
def test_only_variables_of_secrets_can_name_a_file(variable: str, is_secret: bool) -> None:
    assert secret_files.is_secret_file_variable(variable) is is_secret
