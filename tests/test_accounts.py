"""Several accounts in one installation: whose keys, whose settings, whose rows; and what one leaves to the others."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from pipelines import run, run_accounts
from pipelines.accounts import account_names
from pipelines.errors import NotConfigured, worst_of
from pipelines.project import inside
from sources.sendcloud.sandbox import Sandbox, World, faults
from tests.accounts import NOW, add, configure, keys_of, lines_of, oldest, outcomes, rows_of_worlds, serving
from tests.installation import Installation, as_rows, made_once, nothing_is_sent_to

README = (Path(__file__).parents[1] / "pipelines" / "README.md").read_text()
NAMES = ("north", "south", "east")


def three_worlds() -> dict[str, World]:
    worlds = {name: World(clock=NOW) for name in NAMES}
    for number, (name, world) in enumerate(worlds.items()):
        for day in range(3 + number):
            world.book(created_at=NOW - timedelta(days=20 - day), carrier=f"{name}_post")
    return worlds


@pytest.fixture
def apis() -> Iterator[dict[str, Sandbox]]:
    """Three accounts with three, four and five pickups; the ids are the same."""
    with serving(three_worlds()) as apis:
        yield apis


@pytest.fixture(scope="module")
def loaded_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with made_once(tmp_path_factory.mktemp("loaded")) as installation, serving(three_worlds()) as apis:
        configure(installation, apis)
        run_accounts(installation.folder)
    return installation.folder


@pytest.fixture
def loaded(installation: Installation, loaded_once: Path) -> Installation:
    """An installation that has loaded all three."""
    return installation.as_in(loaded_once)


# one run, all accounts


def test_one_run_reads_every_account_and_tells_of_each(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, apis)

    done = installation.command("run")

    assert done.returncode == 0
    assert [line.split(" in ")[0] for line in done.stdout.splitlines() if " new, " in line] == [
        "north: 3 new, 0 changed, 0 unchanged",
        "south: 4 new, 0 changed, 0 unchanged",
        "east: 5 new, 0 changed, 0 unchanged",
    ]
    assert installation.pickups() == rows_of_worlds(apis)
    assert {line.split(":")[0] for line in done.stderr.splitlines()} == {*NAMES, "publishing"}


def test_a_second_run_finds_what_has_changed_in_each_though_their_ids_are_the_same(
    loaded: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(loaded, apis)
    for api in apis.values():
        api.world.advance(hours=1)
    apis["south"].world.cancel(apis["south"].world.book())
    apis["east"].world.book()

    done = loaded.command("run", "--json")

    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["account"], one["rows_new"], one["rows_cancelled"]) for one in told] == [
        ("north", 0, 0),
        ("south", 1, 1),
        ("east", 1, 0),
    ]
    assert loaded.pickups() == rows_of_worlds(apis)
    states = loaded.rows("select account, count(*) as n from sendcloud.pickup_status_history group by all")
    assert {row["account"]: row["n"] for row in states} == {"north": 3, "south": 5, "east": 6}


def test_one_account_by_name_leaves_the_others_alone(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, apis)

    with nothing_is_sent_to(apis["north"]), nothing_is_sent_to(apis["east"]):
        done = installation.command("run", "--account", "south", "--json")

    assert (done.returncode, json.loads(done.stdout)["account"]) == (0, "south")
    assert installation.pickups() == as_rows(apis["south"].world.records(), "south")


def test_a_single_account_with_a_name_is_told_as_the_only_one_always_was(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, {"north": apis["north"]})

    done = installation.command("run")

    assert done.stdout.startswith("3 new, 0 changed")
    assert installation.pickups() == as_rows(apis["north"].world.records(), "north")


def test_in_python_run_is_for_one_account_and_run_accounts_for_all(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)

    with pytest.raises(NotConfigured, match=r"several accounts: north, south, east\. Name one"):
        run(installation.folder)
    assert run(installation.folder, account="south").account == "south"
    assert [one.account for one in run_accounts(installation.folder)] == list(NAMES)
    assert [one.account for one in run_accounts(installation.folder, ["east", "east"])] == ["east"]
    with pytest.raises(NotConfigured, match=r"no account 'nroth' .* \(did you mean north\?\)"):
        run_accounts(installation.folder, ["south", "nroth"])
    with pytest.raises(ValueError, match="accounts is a list"):
        run_accounts(installation.folder, "south")


def test_without_any_the_account_is_the_one_that_there_always_was(installation: Installation) -> None:
    with inside(installation.folder):
        assert account_names() == ["default"]
    add(installation, "config.toml", "[sources.sendcloud]", "account = 'shop'")
    with inside(installation.folder):
        assert account_names() == ["shop"]


def test_the_demo_is_an_account_of_its_own(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, apis)

    assert installation.command("demo", "--pickups", "300").returncode == 0
    assert "no longer" not in installation.command("status").stdout


# a fault of one is no fault of the others


def test_refused_keys_of_one_account_stop_no_other(loaded: Installation, apis: dict[str, Sandbox]) -> None:
    configure(loaded, apis)
    for api in apis.values():
        api.world.advance(hours=1)
        api.world.book()
    apis["south"].fault(faults.status(401), times=None)

    done = loaded.command("run")

    assert done.returncode == 3
    (line,) = lines_of(done.stderr)
    assert line.startswith("pickups: south: Sendcloud refused the keys: ")
    assert "[sources.sendcloud.accounts.south.credentials] of .dlt/secrets.toml" in line
    assert [line.split(":")[0] for line in done.stdout.splitlines() if " new, " in line] == ["north", "east"]
    assert outcomes(loaded) == {"north": "succeeded", "south": "failed", "east": "succeeded"}
    counted = {row["account"]: row["n"] for row in loaded.rows(COUNT)}
    assert counted == {"north": 4, "south": 4, "east": 6}


COUNT = "select account, count(*) as n from sendcloud.pickups group by account"
AS_OF = "select distinct account, as_of_utc from analytics.pickups"


def test_what_is_known_of_an_account_that_failed_is_as_old_as_its_last_good_run(
    loaded: Installation, apis: dict[str, Sandbox]
) -> None:
    """It failed on the second page: the first was served, but what the account is like is not known from it."""
    configure(loaded, apis, common={"page_size": 2})
    for api in apis.values():
        api.world.advance(days=2)
    apis["south"].fault(faults.status(503), page=2, times=None)

    assert loaded.command("run").returncode == 4

    noon, later = NOW.replace(tzinfo=None), (NOW + timedelta(days=2)).replace(tzinfo=None)
    as_of = {row["account"]: row["as_of_utc"] for row in loaded.rows(AS_OF)}
    assert as_of == {"north": later, "south": noon, "east": later}


def test_a_failed_accounts_receipt_is_among_the_json_lines(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    apis["north"].fault(faults.status(401), times=None)

    told = [json.loads(line) for line in installation.command("run", "--json").stdout.splitlines()]

    assert [(one["account"], one["outcome"]) for one in told] == [
        ("north", "failed"),
        ("south", "succeeded"),
        ("east", "succeeded"),
    ]
    assert told[0]["error"].startswith("Refused: Sendcloud refused the keys")


@pytest.mark.parametrize("faulty", [faults.html(), faults.stray_link("https://e.vil/")])
def test_whatever_goes_wrong_with_one_the_others_are_loaded_and_published(
    installation: Installation, apis: dict[str, Sandbox], faulty: faults.Fault
) -> None:
    configure(installation, apis, common={"page_size": 2, "request_max_attempts": 2})
    apis["south"].fault(faulty, page=2, times=None)

    receipts = run_accounts(installation.folder)

    assert [one.outcome for one in receipts] == ["succeeded", "failed", "succeeded"]
    assert receipts[1].exit_code == 4
    others = {name: api for name, api in apis.items() if name != "south"}
    assert installation.pickups() == rows_of_worlds(others)


def test_several_failures_are_told_one_by_one_and_the_worst_is_the_exit_code(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    apis["north"].fault(faults.status(503), times=None)
    apis["east"].fault(faults.status(401), times=None)

    done = installation.command("run")

    assert done.returncode == 3
    assert [line.split(": ")[1] for line in lines_of(done.stderr)] == ["north", "east"]


def test_a_destination_that_fails_is_told_once_for_all(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, apis)
    (installation.folder / "data" / "pickups.duckdb" / "full").mkdir(parents=True)

    done = installation.command("run")

    assert done.returncode == 6
    (line,) = lines_of(done.stderr)
    assert line.startswith("pickups: north, south, east: The destination failed: ")


@pytest.mark.parametrize(
    ("codes", "worst"), [([0, 1, 0], 1), ([1, 4], 4), ([3, 4, 0], 3), ([6, 3], 6), ([6, 70, 3], 70), ([0, 0], 0)]
)
def test_from_good_to_bad(codes: list[int], worst: int) -> None:
    assert worst_of(codes) == worst


# checks and sweeps are the account's own


def test_what_a_check_finds_is_told_to_the_account_that_has_it(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, {name: apis[name] for name in ("north", "south")})
    north, south = (apis[name].world for name in ("north", "south"))
    north.change(oldest(apis["north"]), pickup_status="Lost in Space")
    south.change(oldest(apis["south"]), tracking_number="")
    south.book(created_at=NOW - timedelta(days=9), pickup_status="Beamed Up")

    receipts = {one.account: one for one in run_accounts(installation.folder)}

    assert receipts["north"].check_values["known_statuses"] == ["Lost in Space"]
    assert receipts["south"].check_values["known_statuses"] == ["Beamed Up"]
    assert "missing_tracking_number" not in receipts["north"].checks_failed
    assert receipts["south"].checks_failed["missing_tracking_number"] == 1
    assert receipts["north"].check_values["known_carriers"] == ["north_post"]


def test_a_sweep_of_all_finds_what_each_no_longer_lists(loaded: Installation, apis: dict[str, Sandbox]) -> None:
    configure(loaded, apis)
    gone, changed = oldest(apis["south"]), oldest(apis["east"])
    apis["south"].world.remove(gone)
    apis["east"].world.change(changed, contract=9)

    receipts = {one.account: one for one in run_accounts(loaded.folder, sweep=True)}

    assert {name: (one.sweep, one.rows_unlisted, one.rows_changed) for name, one in receipts.items()} == {
        "north": ("complete", 0, 0),
        "south": ("complete", 1, 0),
        "east": ("complete", 0, 1),
    }
    unlisted = loaded.rows("select account, id from sendcloud.pickups_unlisted")
    assert unlisted == [{"account": "south", "id": gone}]


def test_a_record_that_one_account_cannot_load_is_not_the_others(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    broken = {"id": 1, "carrier": None, "pickup_status": "Created", "created_at": "2026-11-20T11:00:00Z"}
    apis["south"].world.put(broken)

    receipts = {one.account: one for one in run_accounts(installation.folder)}

    assert {name: one.quarantined for name, one in receipts.items()} == {"north": 0, "south": 1, "east": 0}
    kept = installation.rows("select account, resolved_at from sendcloud.pickups_quarantine")
    assert kept == [{"account": "south", "resolved_at": None}]


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


def test_an_account_may_begin_at_a_date_of_its_own(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, apis)
    common, own = "[sources.sendcloud.pickups.created_at]", "[sources.sendcloud.accounts.east.pickups.created_at]"
    add(installation, "config.toml", common, "initial_value = 2026-11-01T12:00:00Z")
    add(installation, "config.toml", own, "initial_value = 2026-11-03T12:00:00Z")

    installation.command("run")

    assert {row["account"]: row["n"] for row in installation.rows(COUNT)} == {"north": 2, "south": 3, "east": 2}


def test_keys_may_come_from_the_environment_alone(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, apis, keys={"south": None})
    begins = "SOURCES__SENDCLOUD__ACCOUNTS__SOUTH__CREDENTIALS__"

    done = installation.command(
        "run", **{f"{begins}PUBLIC_KEY": "public-south", f"{begins}SECRET_KEY": apis["south"].secret_key}
    )

    assert done.returncode == 0
    assert installation.pickups() == rows_of_worlds(apis)


def test_keys_may_be_one_text_as_secret_stores_hand_them_out(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis, keys={"south": None})
    both = {"public_key": "public-south", "secret_key": apis["south"].secret_key}

    done = installation.command("run", SOURCES__SENDCLOUD__ACCOUNTS__SOUTH__CREDENTIALS=json.dumps(both))

    assert done.returncode == 0


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


def test_a_start_date_of_an_account_that_is_no_instant_is_told_with_its_place(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    place = "[sources.sendcloud.accounts.north.pickups.created_at]"
    add(installation, "config.toml", place, "initial_value = '2026-11-03'")

    assert f"{place} initial_value is '2026-11-03'; it must be an instant" in installation.command("run").stderr


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


# adding, renaming, removing


def statements(title: str) -> str:
    """The SQL that the README gives under that heading's words."""
    return README.split(title, 1)[1].split("```sql\n", 1)[1].split("```", 1)[0]


def execute(installation: Installation, sql: str) -> None:
    with duckdb.connect(str(installation.warehouse)) as connection:
        connection.execute(sql)


def everywhere(installation: Installation, account: str) -> list[str]:
    """Tables in which the account still has a row."""
    tables = "select table_name as t from duckdb_columns() where schema_name = 'sendcloud' and column_name = 'account'"
    names = [row["t"] for row in installation.rows(tables)]
    found = [n for n in names if installation.rows(f"select 1 from sendcloud.{n} where account = '{account}'")]
    state = f"select 1 from sendcloud._dlt_pipeline_state where pipeline_name = 'sendcloud_pickups_{account}'"
    return found + (["_dlt_pipeline_state"] if installation.rows(state) else [])


def test_the_first_account_keeps_its_rows_and_its_place_when_a_second_is_added(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    installation.run(apis["north"])
    configure(installation, {"default": apis["north"], "south": apis["south"]})

    receipts = run_accounts(installation.folder)

    assert [(one.account, one.rows_new, one.is_first_read) for one in receipts] == [
        ("default", 0, False),
        ("south", 4, True),
    ]
    assert installation.pickups() == rows_of_worlds({"default": apis["north"], "south": apis["south"]})


def test_a_removed_account_keeps_its_rows_and_status_says_that_it_is_no_longer_configured(
    loaded: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(loaded, apis)
    configure(loaded, {name: apis[name] for name in ("north", "east")})
    with nothing_is_sent_to(apis["south"]):
        assert loaded.command("run").returncode == 0

    told = {one["account"]: one for one in json.loads(loaded.command("status", "--json").stdout)}
    text = loaded.command("status").stdout

    assert {name: one["is_configured"] for name, one in told.items()} == {"north": True, "south": False, "east": True}
    assert told["south"]["pickups"] == 4
    assert text.count("no longer, or by another name") == 1
    assert "pipelines/README.md, Accounts" in " ".join(text.split())


def test_the_rows_of_a_removed_account_are_deleted_as_the_readme_says_and_it_may_come_back(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    others = {name: apis[name] for name in ("north", "east")}
    configure(installation, apis)
    apis["south"].world.put({"id": 1, "carrier": None})
    run_accounts(installation.folder, sweep=True)
    configure(installation, others)

    execute(installation, statements("To delete the rows of"))
    installation.command("run")

    assert everywhere(installation, "south") == []
    assert installation.pickups() == rows_of_worlds(others)
    assert [one["account"] for one in json.loads(installation.command("status", "--json").stdout)] == ["east", "north"]
    configure(installation, apis)
    (back,) = run_accounts(installation.folder, ["south"])
    assert (back.rows_new, back.is_first_read) == (4, True)


def test_a_renamed_account_keeps_its_rows_states_and_receipts_as_the_readme_says(
    loaded: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(loaded, apis)
    apis["south"].world.advance(hours=1)
    apis["south"].world.cancel(oldest(apis["south"]))
    renamed = {"north": apis["north"], "west": apis["south"], "east": apis["east"]}
    configure(loaded, renamed)

    execute(loaded, statements("To rename one"))
    receipts = {one.account: one for one in run_accounts(loaded.folder)}

    assert everywhere(loaded, "south") == []
    assert loaded.pickups() == rows_of_worlds(renamed)
    west = receipts["west"]
    assert (west.rows_new, west.rows_changed, west.rows_unchanged, west.rows_cancelled) == (0, 1, 3, 1)
    assert west.checks_failed.keys() <= {"known_carriers"}
    history = loaded.rows("select id, pickup_status from sendcloud.pickup_status_history where account = 'west'")
    assert len(history) == 5
