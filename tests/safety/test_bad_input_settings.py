"""Tests wrong keys, settings and usage.

Each test checks the exit code and the message, and that no secret is shown and no row is lost.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.bad_input import api as api
from tests.support.bad_input import as_before, outcome
from tests.support.bad_input import loaded as loaded
from tests.support.bad_input import world as world
from tests.support.installation import (
    API_VERSION,
    SECRET,
    Installation,
    address_of,
    nothing_is_sent_to,
)

pytestmark = pytest.mark.v3


def test_wrong_keys_exit_3_and_the_receipt_records_the_error(loaded: Installation, api: Sandbox) -> None:
    wrong = {"SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY": "not the right one"}
    code, message = outcome(loaded.process("run", api=api, **wrong))

    assert code == 3
    assert "401 with the message 'Invalid username/password.'" in message
    variables = [f"SOURCES__SENDCLOUD__CREDENTIALS__{name}" for name in ("PUBLIC_KEY", "SECRET_KEY")]
    assert f"Check public_key and secret_key in {' and '.join(variables)} in the environment (Sendcloud" in message
    assert as_before(loaded, api)
    assert loaded.rows(
        "select outcome, pages, coalesce(error, '') like 'AuthError:%' as told from sendcloud.pickup_runs order by 1"
    ) == [
        {"outcome": "failed", "pages": 0, "told": True},
        {"outcome": "succeeded", "pages": 2, "told": False},
    ]


def test_refused_keys_are_reported_with_the_places_where_they_were_found(
    installation: Installation, api: Sandbox, tmp_path: Path
) -> None:
    """Each key is in its own place: the secrets file, a variable, or a file that a variable names."""
    section = "[sources.sendcloud.credentials]"
    (installation.folder / ".dlt" / "secrets.toml").write_text(f'{section}\npublic_key = "a"\nsecret_key = "wrong"\n')
    (tmp_path / "key").write_text("another wrong one")
    variable, address = "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY", {"SOURCES__SENDCLOUD__BASE_URL": address_of(api)}
    address["SOURCES__SENDCLOUD__API_VERSION"] = API_VERSION

    in_file = outcome(installation.command("run", **address))
    in_both = outcome(installation.command("run", **address, **{variable: "wrong"}))
    in_two_files = outcome(installation.command("run", **address, **{f"{variable}_FILE": str(tmp_path / "key")}))

    file = f"{section} in {installation.folder}/.dlt/secrets.toml (Sendcloud panel"
    assert in_file[0] == in_both[0] == in_two_files[0] == 3
    assert f"Check public_key and secret_key in {file}" in in_file[1]
    assert f"Check public_key and secret_key in {variable} in the environment and {file}" in in_both[1]
    assert f"Check public_key and secret_key in {variable}_FILE in the environment and {file}" in in_two_files[1]


def test_missing_keys_exit_3_and_the_message_names_both_places_for_them(installation: Installation) -> None:
    code, message = outcome(installation.process("run"))

    assert code == 3
    assert "public_key, secret_key" in message
    assert f"{installation.folder}/.dlt/secrets.toml" in message
    assert "SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY" in message


@pytest.mark.parametrize(
    ("key", "problem"), [("", "is empty"), ("“quoted”", "has quotes around it"), ("clé", "has invalid characters")]
)
def test_an_empty_or_invalid_key_is_rejected_before_any_request(
    installation: Installation, api: Sandbox, key: str, problem: str
) -> None:
    wrong = {"SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY": key}
    with nothing_is_sent_to(api):
        code, message = outcome(installation.command("run", api=api, **wrong))

    assert code == 3
    assert (
        f".credentials] public_key (SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY in the environment) {problem}"
        in message
    )


def test_if_only_one_key_is_set_the_message_names_the_missing_key(installation: Installation) -> None:
    code, message = outcome(installation.command("run", SOURCES__SENDCLOUD__CREDENTIALS__PUBLIC_KEY="public"))

    assert code == 3
    assert "Settings are missing: secret_key." in message


@pytest.mark.parametrize(
    ("setting", "value", "evidence"),
    [
        ("PAGE_SIZE", "many", "page_size"),
        ("PAGE_SIZE", "0", "page_size"),
        ("SETTLE_DAYS", "-1", "settle_days"),
        ("OVERLAP_HOURS", "nan", "overlap_hours"),
        ("MAX_LOOKBACK_DAYS", "1e12", "max_lookback_days"),
        ("ACCOUNT", "../../etc", "is '../../etc'. Use 1 to 40"),
        ("ACCOUNT", "a b", "is 'a b'. Use 1 to 40"),
    ],
)
def test_an_invalid_setting_is_rejected_before_any_request(
    installation: Installation, api: Sandbox, setting: str, value: str, evidence: str
) -> None:
    with nothing_is_sent_to(api):
        code, message = outcome(installation.command("run", api=api, **{f"SOURCES__SENDCLOUD__{setting}": value}))

    assert code == 3
    assert evidence in message


def test_a_secret_key_of_another_program_in_the_environment_is_not_used(installation: Installation) -> None:
    code, message = outcome(installation.command("run", SECRET_KEY=SECRET, PUBLIC_KEY="other"))

    assert code == 3
    assert "Settings are missing" in message


@pytest.mark.parametrize(
    ("base_url", "evidence"),
    [
        ("http://panel.sendcloud.example/api/v2", "http on the remote host panel.sendcloud.example"),
        ("panel.sendcloud.example/api/v2", "not a web address"),
        (f"https://key:{SECRET}@panel.sendcloud.example/api/v2", "not a web address"),
        ("https://h:abc/api/v2", "not a web address"),
        ("http://[::1", "not a web address"),
    ],
)
def test_an_unsafe_or_invalid_base_url_is_rejected_before_any_request(
    loaded: Installation, api: Sandbox, base_url: str, evidence: str
) -> None:
    with nothing_is_sent_to(api):
        code, message = outcome(loaded.command("run", api=api, SOURCES__SENDCLOUD__BASE_URL=base_url))

    assert code == 3
    assert "[sources.sendcloud] base_url" in message
    assert evidence in message
    assert as_before(loaded, api)


@pytest.mark.slow
def test_keys_can_be_set_as_one_json_text(installation: Installation, api: Sandbox) -> None:
    keys = json.dumps({"public_key": api.public_key, "secret_key": api.secret_key})
    settings = {"SOURCES__SENDCLOUD__BASE_URL": api.base_url, "SOURCES__SENDCLOUD__CREDENTIALS": keys}

    assert outcome(installation.command("run", **settings)) == (0, "")


def test_keys_in_an_invalid_form_are_rejected(installation: Installation, api: Sandbox) -> None:
    settings = {"SOURCES__SENDCLOUD__BASE_URL": api.base_url, "SOURCES__SENDCLOUD__CREDENTIALS": SECRET}

    code, message = outcome(installation.command("run", **settings))

    assert code == 3
    assert "public_key" in message


@pytest.mark.parametrize("words", [["fly"], ["show", "planes"], ["run", "--fast"], ["demo", "--pickups", "none"]])
def test_wrong_usage_exits_2_and_prints_the_usage(installation: Installation, words: list[str]) -> None:
    done = installation.command(*words)

    assert done.returncode == 2
    assert "Usage: pickups" in done.stderr


def test_show_before_the_first_load_exits_3_and_suggests_the_demo(installation: Installation) -> None:
    code, message = outcome(installation.command("show", "carriers"))

    assert code == 3
    assert "There are no pickups yet" in message
    assert "pickups demo" in message


@pytest.mark.parametrize("folder", ["100% data", "today's data"])
def test_a_folder_that_dlt_cannot_use_is_reported_with_the_reason(
    installation: Installation, world: World, api: Sandbox, folder: str
) -> None:
    world.book()

    done = installation.command("run", api=api, DESTINATION__DUCKDB__CREDENTIALS=f"{folder}/warehouse.duckdb")

    assert (done.returncode, done.stdout) == (3, "")
    assert re.search(
        f"{folder}/.dlt-pipelines/warehouse, because the path contains [%']. Use a file in another folder", done.stderr
    )
