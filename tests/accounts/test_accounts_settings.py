"""Several accounts: settings and keys of their own, and those that can't be."""

from __future__ import annotations

import json
import re

import pytest

from pipelines.accounts import account_names
from pipelines.project import inside
from sources.sendcloud.sandbox import Sandbox
from tests.support.accounts import add, configure, keys_of, lines_of, outcomes, rows_of_worlds
from tests.support.installation import Installation, nothing_is_sent_to
from tests.support.three_accounts import COUNT, NAMES
from tests.support.three_accounts import apis as apis
from tests.support.three_accounts import loaded as loaded
from tests.support.three_accounts import loaded_once as loaded_once

# settings and keys of one's own


def test_an_account_has_its_own_settings_and_the_common_ones_where_it_has_none(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    """Also where the common one is in the environment: dlt alone would let it win over every file."""
    configure(installation, apis, common={"page_size": 2}, own={"east": {"page_size": 1}})
    installation.command("run")
    configure(installation, apis, own={"east": {"page_size": 1}})
    installation.command("run", SOURCES__SENDCLOUD__PAGE_SIZE="2")

    limits = {name: {re.search(r"limit=(\d+)", asked.path)[1] for asked in api.requests} for name, api in apis.items()}
    assert limits == {"north": {"2"}, "south": {"2"}, "east": {"1"}}


@pytest.mark.slow
def test_an_account_may_begin_at_a_date_of_its_own(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, apis)
    common, own = "[sources.sendcloud.pickups.created_at]", "[sources.sendcloud.accounts.east.pickups.created_at]"
    add(installation, "config.toml", common, "initial_value = 2026-11-01T12:00:00Z")
    add(installation, "config.toml", own, "initial_value = 2026-11-03T12:00:00Z")

    installation.command("run")

    assert {row["account"]: row["n"] for row in installation.rows(COUNT)} == {"north": 2, "south": 3, "east": 2}


@pytest.mark.slow
def test_keys_may_come_from_the_environment_alone(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, apis, keys={"south": None})
    begins = "SOURCES__SENDCLOUD__ACCOUNTS__SOUTH__CREDENTIALS__"

    done = installation.command(
        "run", **{f"{begins}PUBLIC_KEY": "public-south", f"{begins}SECRET_KEY": apis["south"].secret_key}
    )

    assert done.returncode == 0
    assert installation.pickups() == rows_of_worlds(apis)


@pytest.mark.slow
def test_keys_may_be_one_text_as_secret_stores_hand_them_out(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis, keys={"south": None})
    both = {"public_key": "public-south", "secret_key": apis["south"].secret_key}

    done = installation.command("run", SOURCES__SENDCLOUD__ACCOUNTS__SOUTH__CREDENTIALS=json.dumps(both))

    assert done.returncode == 0


@pytest.mark.slow
def test_secrets_toml_names_the_accounts_where_config_toml_names_none(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    add(installation, "config.toml")
    (installation.folder / ".dlt" / "config.toml").write_text("")

    with inside(installation.folder):
        assert account_names() == list(NAMES)


def test_an_account_without_keys_of_its_own_is_never_given_the_common_ones(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    """dlt would, and north's pickups would be loaded as south's."""
    configure(installation, {**apis, "south": apis["north"]}, keys={"south": None})
    add(installation, "secrets.toml", "[sources.sendcloud.credentials]", *keys_of(apis["north"]))
    requests_of_north_alone = 1

    done = installation.command("run")

    assert done.returncode == 3
    (said,) = [line for line in lines_of(done.stderr) if "south: " in line]
    assert "Account 'south' has no keys of its own: public_key, secret_key." in said
    assert "[sources.sendcloud.accounts.south.credentials] of " in said
    assert ".dlt/secrets.toml" in said
    assert "SOURCES__SENDCLOUD__ACCOUNTS__SOUTH__CREDENTIALS__PUBLIC_KEY" in said
    assert outcomes(installation) == {"north": "succeeded", "south": "failed", "east": "succeeded"}
    assert len(apis["north"].requests) == requests_of_north_alone


@pytest.mark.parametrize("where", ["in the environment", "half of them", "empty"])
def test_nor_where_the_common_keys_are_in_the_environment_or_half_of_its_own_are_missing(
    installation: Installation, apis: dict[str, Sandbox], where: str
) -> None:
    configure(installation, {"north": apis["north"]}, keys={"north": None})
    common = "SOURCES__SENDCLOUD__CREDENTIALS__"
    secret_key = apis["north"].secret_key
    variables = {f"{common}PUBLIC_KEY": "public-north", f"{common}SECRET_KEY": secret_key}
    variables["CREDENTIALS__SECRET_KEY"] = secret_key  # where dlt looks last of all
    if where != "in the environment":
        secret = "" if where == "half of them" else "secret_key = ''"
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
    assert f"{place} secret_key is empty" in done.stderr if where == "empty" else f"{place} of " in done.stderr
    assert "secret_key" in done.stderr


@pytest.mark.slow
def test_keys_that_are_left_in_the_common_section_are_told_of(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    """Who had one account and adds another by name would not notice for long that the first is no longer read."""
    configure(installation, {"south": apis["south"]})
    add(installation, "secrets.toml", "[sources.sendcloud.credentials]", *keys_of(apis["north"]))

    done = installation.command("run")

    assert done.returncode == 0
    (line,) = lines_of(done.stderr)
    assert "[sources.sendcloud.credentials] has keys that no account uses" in line
    assert "move them to [sources.sendcloud.accounts.default.credentials]" in line


def test_two_accounts_with_the_same_public_key_are_refused_and_a_third_is_read(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    """Its secret may have been copied wrongly: it is the same account all the same."""
    configure(installation, {**apis, "south": apis["north"]})

    with nothing_is_sent_to(apis["north"]):
        done = installation.command("run")

    assert done.returncode == 3
    assert "Accounts 'north' and 'south' have the same public_key" in done.stderr
    assert "[sources.sendcloud.accounts.south.credentials] of " in done.stderr
    assert outcomes(installation) == {"north": "failed", "south": "failed", "east": "succeeded"}
    with nothing_is_sent_to(apis["north"]):
        assert installation.command("run", "--account", "north").returncode == 3


@pytest.mark.slow
def test_two_accounts_with_the_same_keys_are_refused_however_they_are_written(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, {**apis, "south": apis["north"]}, keys={"south": None})
    both = {"public_key": "public-north", "secret_key": apis["north"].secret_key}

    with nothing_is_sent_to(apis["north"]):
        done = installation.command("run", SOURCES__SENDCLOUD__ACCOUNTS__SOUTH__CREDENTIALS=json.dumps(both))

    assert done.returncode == 3
    assert "Accounts 'north' and 'south' have the same public_key" in done.stderr


def oauth2_of(api: Sandbox) -> list[str]:
    return [f"client_id = '{api.client_id}'", f"client_secret = '{api.client_secret}'"]


@pytest.mark.slow
def test_an_account_may_have_an_oauth2_client_where_the_others_have_keys(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis, own={"south": {"token_url": apis["south"].token_url}}, keys={"south": None})
    add(installation, "secrets.toml", "[sources.sendcloud.accounts.south.credentials]", *oauth2_of(apis["south"]))

    assert installation.command("run").returncode == 0
    assert installation.pickups() == rows_of_worlds(apis)


def test_half_an_oauth2_client_is_not_made_whole_by_the_common_one(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, {"south": apis["south"]}, keys={"south": None})
    half, whole = oauth2_of(apis["south"])[:1], oauth2_of(apis["south"])
    add(installation, "secrets.toml", "[sources.sendcloud.accounts.south.credentials]", *half)
    add(installation, "secrets.toml", "[sources.sendcloud.credentials]", *whole)

    with nothing_is_sent_to(apis["south"]):
        done = installation.command("run", SOURCES__SENDCLOUD__TOKEN_URL=apis["south"].token_url)

    assert done.returncode == 3
    assert "has no keys of its own: client_secret. " in done.stderr


# names and settings that can't be


@pytest.mark.parametrize(
    ("config", "evidence"),
    [
        ("[sources.sendcloud.accounts.'a b']", "[sources.sendcloud.accounts.a b]: 'a b' can't be an account's name"),
        ("[sources.sendcloud.accounts.'../etc']", "'../etc' can't be an account's name"),
        ('[sources.sendcloud.accounts."a\'; drop table x"]', "can't be an account's name"),
        ("[sources.sendcloud.accounts.'']", "'' can't be an account's name"),
        ("[sources.sendcloud.accounts.ünder]", "can't be an account's name"),
        (f"[sources.sendcloud.accounts.{'n' * 41}]", "can't be an account's name"),
        ("[sources.sendcloud.accounts.a__b]", "'a__b' can't be an account's name"),
        ("[sources.sendcloud.accounts.credentials]", "'credentials' can't be an account's name"),
        ("[sources.sendcloud.accounts.North]\n[sources.sendcloud.accounts.north]", "differ in case only"),
        (
            "[sources.sendcloud.accounts]\nnorth = 5",
            "[sources.sendcloud.accounts] north is a value; an account is a section",
        ),
        ("[sources.sendcloud]\naccounts = ['north']", "accounts is a value; an account is a section"),
    ],
)
def test_a_name_that_cannot_be_is_told_with_its_place(
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
        ({"page_sise": 5}, "north] page_sise is no setting; there are "),
        ({"page_size": "many"}, "north] page_size is 'many'; it must be a whole number"),
        ({"page_size": True}, "north] page_size is True; it must be a whole number"),
        ({"settle_days": ""}, "north] settle_days is empty; it must be a number"),
        ({"base_url": ""}, "north] base_url is empty; it must be text"),
        ({"account": "x"}, "north] account is no setting"),
        ({"page_size": 0}, "[sources.sendcloud.accounts.north] page_size is 0."),
        ({"base_url": "http://example.com"}, "[sources.sendcloud.accounts.north] base_url is http on the foreign host"),
    ],
)
def test_a_setting_of_an_account_that_cannot_work_is_told_with_its_place(
    installation: Installation, apis: dict[str, Sandbox], setting: dict[str, object], evidence: str
) -> None:
    configure(installation, apis, own={"north": setting})

    with nothing_is_sent_to(apis["north"]):
        done = installation.command("run", "--account", "north")

    (line,) = lines_of(done.stderr)
    assert done.returncode == 3
    assert evidence in line


def test_a_misspelt_setting_of_one_account_is_told_with_what_was_meant_and_stops_no_other(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis, own={"north": {"page_sise": 5}})

    done = installation.command("run")

    (line,) = lines_of(done.stderr)
    assert done.returncode == 3
    assert line.startswith("pickups: north: ")
    assert "north] page_sise is no setting; there are " in line
    assert "(did you mean page_size?)" in line
    assert outcomes(installation) == {"north": "failed", "south": "succeeded", "east": "succeeded"}


@pytest.mark.slow
def test_a_start_date_of_an_account_that_is_no_instant_is_told_with_its_place(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    place = "[sources.sendcloud.accounts.north.pickups.created_at]"
    add(installation, "config.toml", place, "initial_value = '2026-11-03'")

    assert f"{place} initial_value is '2026-11-03'; it must be an instant" in installation.command("run").stderr


@pytest.mark.slow
def test_a_setting_of_an_account_in_the_environment_counts_and_is_told_with_its_name(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis, own={"north": {"page_size": 3}})
    variable = "SOURCES__SENDCLOUD__ACCOUNTS__NORTH__PAGE_SIZE"

    assert installation.command("run", **{variable: "1"}).returncode == 0
    assert {asked.path.split("limit=")[1] for asked in apis["north"].requests} == {"1"}
    done = installation.command("run", **{variable: "many"})

    assert done.returncode == 3
    assert f"({variable} in the environment) is 'many'; it must be a whole number" in done.stderr


def test_a_setting_that_is_common_is_told_as_the_common_one(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis, common={"page_size": 0})

    assert "[sources.sendcloud] page_size is 0." in installation.command("run").stderr


@pytest.mark.parametrize("where", ["secrets.toml", "environment"])
def test_keys_of_an_account_that_nobody_named_make_no_account(
    installation: Installation, apis: dict[str, Sandbox], where: str
) -> None:
    """A slip of the keyboard must not load an account under a second name."""
    configure(installation, {"north": apis["north"]})
    variables = {}
    if where == "environment":
        variables = {"SOURCES__SENDCLOUD__ACCOUNTS__NROTH__CREDENTIALS__PUBLIC_KEY": "public-south"}
    else:
        add(installation, where, "[sources.sendcloud.accounts.nroth.credentials]", *keys_of(apis["south"]))

    done = installation.command("run", **variables)

    (line,) = lines_of(done.stderr)
    assert done.returncode == 3
    assert "is of an account that is not named" in line
    assert "did you mean" in line
    assert apis["north"].requests == []


def test_accounts_cannot_be_named_in_the_environment(installation: Installation) -> None:
    done = installation.command("run", SOURCES__SENDCLOUD__ACCOUNTS='{"north": {}}')

    assert done.returncode == 3
    assert "SOURCES__SENDCLOUD__ACCOUNTS is set in the environment" in done.stderr
