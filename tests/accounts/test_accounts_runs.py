"""One run over several accounts: whose rows, and a fault of one is no fault of the others."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from pipelines import run, run_accounts
from pipelines.accounts import account_names
from pipelines.errors import NotConfigured, worst_of
from pipelines.project import inside
from sources.sendcloud.sandbox import Sandbox, faults
from tests.support.accounts import add, configure, lines_of, oldest, outcomes, rows_of_worlds
from tests.support.installation import Installation, as_rows, nothing_is_sent_to
from tests.support.three_accounts import COUNT, NAMES
from tests.support.three_accounts import apis as apis
from tests.support.three_accounts import loaded as loaded
from tests.support.three_accounts import loaded_once as loaded_once
from tests.support.worlds import NOW

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


@pytest.mark.slow
def test_one_account_by_name_leaves_the_others_alone(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, apis)

    with nothing_is_sent_to(apis["north"]), nothing_is_sent_to(apis["east"]):
        done = installation.command("run", "--account", "south", "--json")

    assert (done.returncode, json.loads(done.stdout)["account"]) == (0, "south")
    assert installation.pickups() == as_rows(apis["south"].world.records(), "south")


@pytest.mark.slow
def test_a_single_account_with_a_name_is_told_as_the_only_one_always_was(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, {"north": apis["north"]})

    done = installation.command("run")

    assert done.stdout.startswith("3 new, 0 changed")
    assert installation.pickups() == as_rows(apis["north"].world.records(), "north")


@pytest.mark.slow
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


@pytest.mark.slow
def test_without_any_the_account_is_the_one_that_there_always_was(installation: Installation) -> None:
    with inside(installation.folder):
        assert account_names() == ["default"]
    add(installation, "config.toml", "[sources.sendcloud]", "account = 'shop'")
    with inside(installation.folder):
        assert account_names() == ["shop"]


@pytest.mark.slow
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


AS_OF = "select distinct account, as_of_utc from analytics.pickups"


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_several_failures_are_told_one_by_one_and_the_worst_is_the_exit_code(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    apis["north"].fault(faults.status(503), times=None)
    apis["east"].fault(faults.status(401), times=None)

    done = installation.command("run")

    assert done.returncode == 3
    assert [line.split(": ")[1] for line in lines_of(done.stderr)] == ["north", "east"]


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
