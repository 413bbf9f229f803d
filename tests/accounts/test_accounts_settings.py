"""Tests the settings and keys of several accounts, including invalid ones."""

from __future__ import annotations

import json
import re

import pytest

from pipelines.config.accounts import account_names
from pipelines.config.project import project_context
from sources.sendcloud.sandbox import Sandbox
from tests.support.accounts import add, configure, keys_of, lines_of, outcomes, rows_of_worlds
from tests.support.installation import Installation, nothing_is_sent_to
from tests.support.three_accounts import COUNT, NAMES
from tests.support.three_accounts import apis as apis
from tests.support.three_accounts import loaded as loaded
from tests.support.three_accounts import loaded_once as loaded_once

# settings and keys of each account


def test_account_settings_override_common_settings(installation: Installation, apis: dict[str, Sandbox]) -> None:
    """This also holds if the common setting is in the environment.

    With dlt alone, the environment would override every file.
    """
    configure(installation, apis, common={"page_size": 2}, own={"east": {"page_size": 1}})
    installation.command("run")
    configure(installation, apis, own={"east": {"page_size": 1}})
    installation.command("run", SOURCES__SENDCLOUD__PAGE_SIZE="2")

    limits = {name: {re.search(r"limit=(\d+)", asked.path)[1] for asked in api.requests} for name, api in apis.items()}
    assert limits == {"north": {"2"}, "south": {"2"}, "east": {"1"}}


@pytest.mark.slow
def test_account_can_have_its_own_start_date(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, apis)
    common, own = "[sources.sendcloud.pickups.created_at]", "[sources.sendcloud.accounts.east.pickups.created_at]"
    add(installation, "config.toml", common, "initial_value = 2026-11-01T12:00:00Z")
    add(installation, "config.toml", own, "initial_value = 2026-11-03T12:00:00Z")

    installation.command("run")

    assert {row["account"]: row["n"] for row in installation.rows(COUNT)} == {"north": 2, "south": 3, "east": 2}


@pytest.mark.slow
def test_keys_can_come_from_the_environment_alone(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, apis, keys={"south": None})
    begins = "SOURCES__SENDCLOUD__ACCOUNTS__SOUTH__CREDENTIALS__"

    done = installation.command(
        "run", **{f"{begins}PUBLIC_KEY": "public-south", f"{begins}SECRET_KEY": apis["south"].secret_key}
    )

    assert done.returncode == 0
    assert installation.pickups() == rows_of_worlds(apis)


@pytest.mark.slow
def test_keys_can_be_a_single_json_string_as_secret_stores_provide_them(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis, keys={"south": None})
    both = {"public_key": "public-south", "secret_key": apis["south"].secret_key}

    done = installation.command("run", SOURCES__SENDCLOUD__ACCOUNTS__SOUTH__CREDENTIALS=json.dumps(both))

    assert done.returncode == 0


@pytest.mark.slow
def test_secrets_toml_names_the_accounts_if_config_toml_names_none(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    add(installation, "config.toml")
    (installation.folder / ".dlt" / "config.toml").write_text("")

    with project_context(installation.folder):
        assert account_names() == list(NAMES)


def test_account_without_its_own_keys_never_uses_the_common_keys(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    """dlt alone would use the common keys, and would load the pickups of `north` as pickups of `south`."""
    configure(installation, {**apis, "south": apis["north"]}, keys={"south": None})
    add(installation, "secrets.toml", "[sources.sendcloud.credentials]", *keys_of(apis["north"]))
    requests_of_north_alone = 1

    done = installation.command("run")

    assert done.returncode == 3
    (said,) = [line for line in lines_of(done.stderr) if "south: " in line]
    assert "Account 'south' lacks credentials of its own: public_key, secret_key." in said
    assert "[sources.sendcloud.accounts.south.credentials] in " in said
    assert ".dlt/secrets.toml" in said
    assert "SOURCES__SENDCLOUD__ACCOUNTS__SOUTH__CREDENTIALS__PUBLIC_KEY" in said
    assert outcomes(installation) == {"north": "succeeded", "south": "failed", "east": "succeeded"}
    assert len(apis["north"].requests) == requests_of_north_alone


@pytest.mark.parametrize("where", ["in the environment", "secret_key is missing", "secret_key is empty"])
def test_common_keys_in_the_environment_never_replace_missing_keys_of_an_account(
    installation: Installation, apis: dict[str, Sandbox], where: str
) -> None:
    configure(installation, {"north": apis["north"]}, keys={"north": None})
    common = "SOURCES__SENDCLOUD__CREDENTIALS__"
    secret_key = apis["north"].secret_key
    variables = {f"{common}PUBLIC_KEY": "public-north", f"{common}SECRET_KEY": secret_key}
    variables["CREDENTIALS__SECRET_KEY"] = secret_key  # the last place where dlt looks
    if where != "in the environment":
        secret = "" if where == "secret_key is missing" else "secret_key = ''"
        add(
            installation,
            "secrets.toml",
            "[sources.sendcloud.accounts.north.credentials]",
            "public_key = 'public-north'",
            secret,
        )

    with nothing_is_sent_to(apis["north"]):
        done = installation.command("run", **variables)

    assert done.returncode == 3
    place = "[sources.sendcloud.accounts.north.credentials]"
    assert (
        f"{place} secret_key is empty" in done.stderr
        if where == "secret_key is empty"
        else f"{place} in " in done.stderr
    )
    assert "secret_key" in done.stderr


@pytest.mark.slow
def test_unused_keys_in_the_common_section_cause_a_warning(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    """If you have one account and add a named account, the first account is no longer read.

    Without the warning, you might not notice for a long time.
    """
    configure(installation, {"south": apis["south"]})
    add(installation, "secrets.toml", "[sources.sendcloud.credentials]", *keys_of(apis["north"]))

    done = installation.command("run")

    assert done.returncode == 0
    (line,) = lines_of(done.stderr)
    assert "[sources.sendcloud.credentials] has keys that no account uses" in line
    assert "move them to [sources.sendcloud.accounts.default.credentials]" in line


def test_accounts_that_share_a_public_key_are_rejected_and_a_third_account_is_read(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    """Two accounts with the same public key are one account, even if a secret key was copied wrongly."""
    configure(installation, {**apis, "south": apis["north"]})

    with nothing_is_sent_to(apis["north"]):
        done = installation.command("run")

    assert done.returncode == 3
    assert "Accounts 'north' and 'south' have the same public_key" in done.stderr
    file = f"{installation.folder}/.dlt/secrets.toml"
    assert f"[sources.sendcloud.accounts.south.credentials] in {file} and [sources.sendcloud.accounts." in done.stderr
    assert outcomes(installation) == {"north": "failed", "south": "failed", "east": "succeeded"}
    with nothing_is_sent_to(apis["north"]):
        assert installation.command("run", "--account", "north").returncode == 3


@pytest.mark.slow
def test_accounts_that_share_keys_are_rejected_even_if_the_keys_are_configured_differently(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, {**apis, "south": apis["north"]}, keys={"south": None})
    both = {"public_key": "public-north", "secret_key": apis["north"].secret_key}

    with nothing_is_sent_to(apis["north"]):
        done = installation.command("run", SOURCES__SENDCLOUD__ACCOUNTS__SOUTH__CREDENTIALS=json.dumps(both))

    assert done.returncode == 3
    assert "Accounts 'north' and 'south' have the same public_key" in done.stderr


def oauth2_credentials(api: Sandbox) -> list[str]:
    return [f"client_id = '{api.client_id}'", f"client_secret = '{api.client_secret}'"]


@pytest.mark.slow
def test_account_can_use_an_oauth2_client_while_other_accounts_use_keys(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis, own={"south": {"token_url": apis["south"].token_url}}, keys={"south": None})
    add(
        installation,
        "secrets.toml",
        "[sources.sendcloud.accounts.south.credentials]",
        *oauth2_credentials(apis["south"]),
    )

    assert installation.command("run").returncode == 0
    assert installation.pickups() == rows_of_worlds(apis)


def test_incomplete_oauth2_client_is_not_completed_from_the_common_section(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, {"south": apis["south"]}, keys={"south": None})
    half, whole = oauth2_credentials(apis["south"])[:1], oauth2_credentials(apis["south"])
    add(installation, "secrets.toml", "[sources.sendcloud.accounts.south.credentials]", *half)
    add(installation, "secrets.toml", "[sources.sendcloud.credentials]", *whole)

    with nothing_is_sent_to(apis["south"]):
        done = installation.command("run", SOURCES__SENDCLOUD__TOKEN_URL=apis["south"].token_url)

    assert done.returncode == 3
    assert "lacks credentials of its own: client_secret. " in done.stderr


# invalid names and settings


@pytest.mark.parametrize(
    ("config", "evidence"),
    [
        ("[sources.sendcloud.accounts.'a b']", "[sources.sendcloud.accounts.a b]: 'a b' is not a valid account name"),
        ("[sources.sendcloud.accounts.'../etc']", "'../etc' is not a valid account name"),
        ('[sources.sendcloud.accounts."a\'; drop table x"]', "is not a valid account name"),
        ("[sources.sendcloud.accounts.'']", "'' is not a valid account name"),
        ("[sources.sendcloud.accounts.ünder]", "is not a valid account name"),
        (f"[sources.sendcloud.accounts.{'n' * 41}]", "is not a valid account name"),
        ("[sources.sendcloud.accounts.a__b]", "'a__b' is not a valid account name"),
        ("[sources.sendcloud.accounts.credentials]", "'credentials' is not a valid account name"),
        ("[sources.sendcloud.accounts.North]\n[sources.sendcloud.accounts.north]", "differ only in case"),
        (
            "[sources.sendcloud.accounts]\nnorth = 5",
            "[sources.sendcloud.accounts] north is a value; an account is a section",
        ),
        ("[sources.sendcloud]\naccounts = ['north']", "accounts is a value; an account is a section"),
    ],
)
def test_invalid_account_name_is_reported_with_its_location(
    installation: Installation, apis: dict[str, Sandbox], config: str, evidence: str
) -> None:
    (installation.folder / ".dlt" / "config.toml").write_text(config.replace("ünder", '"ünder"'))

    for words in (["run"], ["run", "--account", "north"]):
        done = installation.command(*words, api=apis["north"])
        (line,) = lines_of(done.stderr)
        assert done.returncode == 3
        assert evidence in line
        assert ".dlt/config.toml" in line
    assert apis["north"].requests == []


@pytest.mark.parametrize(
    ("setting", "evidence"),
    [
        ({"page_sise": 5}, "north] page_sise is not a setting; valid names: "),
        ({"page_size": "many"}, "north] page_size is 'many'; it must be a whole number"),
        ({"page_size": True}, "north] page_size is True; it must be a whole number"),
        ({"settle_days": ""}, "north] settle_days is empty; it must be a number"),
        ({"base_url": ""}, "north] base_url is empty; it must be text"),
        ({"account": "x"}, "north] account is not a setting"),
        ({"page_size": 0}, "[sources.sendcloud.accounts.north] page_size is 0."),
        ({"base_url": "http://example.com"}, "[sources.sendcloud.accounts.north] base_url uses http on the remote"),
    ],
)
def test_invalid_account_setting_is_reported_with_its_location(
    installation: Installation, apis: dict[str, Sandbox], setting: dict[str, object], evidence: str
) -> None:
    configure(installation, apis, own={"north": setting})

    with nothing_is_sent_to(apis["north"]):
        done = installation.command("run", "--account", "north")

    (line,) = lines_of(done.stderr)
    assert done.returncode == 3
    assert evidence in line


def test_misspelt_account_setting_is_reported_with_a_suggestion_and_stops_no_other_account(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis, own={"north": {"page_sise": 5}})

    done = installation.command("run")

    (line,) = lines_of(done.stderr)
    assert done.returncode == 3
    assert line.startswith("pickups: north: ")
    assert "north] page_sise is not a setting; valid names: " in line
    assert "(did you mean page_size?)" in line
    assert outcomes(installation) == {"north": "failed", "south": "succeeded", "east": "succeeded"}


@pytest.mark.slow
def test_account_start_date_that_is_no_timestamp_is_reported_with_its_location(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    place = "[sources.sendcloud.accounts.north.pickups.created_at]"
    add(installation, "config.toml", place, "initial_value = '2026-11-03'")

    assert f"{place} initial_value is '2026-11-03'; it must be a timestamp" in installation.command("run").stderr


@pytest.mark.slow
def test_account_setting_in_the_environment_applies_and_errors_name_its_variable(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis, own={"north": {"page_size": 3}})
    variable = "SOURCES__SENDCLOUD__ACCOUNTS__NORTH__PAGE_SIZE"

    assert installation.command("run", **{variable: "1"}).returncode == 0
    assert {asked.path.split("limit=")[1] for asked in apis["north"].requests} == {"1"}
    done = installation.command("run", **{variable: "many"})

    assert done.returncode == 3
    assert f"({variable} in the environment) is 'many'; it must be a whole number" in done.stderr


def test_invalid_common_setting_is_reported_with_the_common_section(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis, common={"page_size": 0})

    assert "[sources.sendcloud] page_size is 0." in installation.command("run").stderr


@pytest.mark.parametrize("where", ["secrets.toml", "environment"])
def test_keys_alone_do_not_configure_an_account(
    installation: Installation, apis: dict[str, Sandbox], where: str
) -> None:
    """A typo must not load an account under a second name."""
    configure(installation, {"north": apis["north"]})
    variables = {}
    if where == "environment":
        variables = {"SOURCES__SENDCLOUD__ACCOUNTS__NROTH__CREDENTIALS__PUBLIC_KEY": "public-south"}
    else:
        add(installation, where, "[sources.sendcloud.accounts.nroth.credentials]", *keys_of(apis["south"]))

    done = installation.command("run", **variables)

    (line,) = lines_of(done.stderr)
    assert done.returncode == 3
    assert "belongs to an account that is not configured" in line
    assert "did you mean" in line
    assert apis["north"].requests == []


def test_accounts_cannot_be_configured_in_the_environment(installation: Installation) -> None:
    done = installation.command("run", SOURCES__SENDCLOUD__ACCOUNTS='{"north": {}}')

    assert done.returncode == 3
    assert "SOURCES__SENDCLOUD__ACCOUNTS is set in the environment" in done.stderr
