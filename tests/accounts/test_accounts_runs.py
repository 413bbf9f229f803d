"""Tests one run over several accounts.

Each account has its own rows, and a fault in one account does not affect the others.
"""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from pipelines import run, run_accounts
from pipelines.config.accounts import account_names
from pipelines.config.project import project_context
from pipelines.errors import worst_exit_code
from sources.sendcloud.errors import SettingsError
from sources.sendcloud.sandbox import Sandbox, faults
from tests.support.accounts import add, configure, lines_of, oldest, outcomes, rows_of_worlds
from tests.support.installation import Installation, as_rows, nothing_is_sent_to
from tests.support.three_accounts import COUNT, NAMES
from tests.support.three_accounts import apis as apis
from tests.support.three_accounts import loaded as loaded
from tests.support.three_accounts import loaded_once as loaded_once
from tests.support.worlds import NOW

# one run over all accounts


def test_one_run_reads_every_account_and_reports_each_account(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)

    done = installation.command("run")

    assert done.returncode == 0
    assert [line.split(" in ")[0] for line in done.stdout.splitlines() if " new, " in line] == [
        "north: 3 new, 0 changed, 0 unchanged",
        "south: 4 new, 0 changed, 0 unchanged",
        "east: 5 new, 0 changed, 0 unchanged",
    ]
    assert installation.pickups() == rows_of_worlds(apis)
    assert {line.split("Z ")[1].split(":")[0] for line in done.stderr.splitlines()} == {*NAMES, "publishing"}


def test_second_run_finds_the_changes_of_each_account_despite_identical_ids(
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
def test_run_of_one_named_account_reads_no_other_account(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, apis)

    with nothing_is_sent_to(apis["north"]), nothing_is_sent_to(apis["east"]):
        done = installation.command("run", "--account", "south", "--json")

    assert (done.returncode, json.loads(done.stdout)["account"]) == (0, "south")
    assert installation.pickups() == as_rows(apis["south"].world.records(), "south")


@pytest.mark.slow
def test_output_for_a_single_named_account_omits_its_name(installation: Installation, apis: dict[str, Sandbox]) -> None:
    configure(installation, {"north": apis["north"]})

    done = installation.command("run")

    assert done.stdout.startswith("3 new, 0 changed")
    assert installation.pickups() == as_rows(apis["north"].world.records(), "north")


@pytest.mark.slow
def test_python_function_run_loads_one_account_and_run_accounts_loads_several(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)

    with pytest.raises(SettingsError, match=r"There are several accounts: north, south, east\. Specify one"):
        run(installation.folder)
    assert run(installation.folder, account="south").account == "south"
    assert [one.account for one in run_accounts(installation.folder)] == list(NAMES)
    assert [one.account for one in run_accounts(installation.folder, ["east", "east"])] == ["east"]
    with pytest.raises(SettingsError, match=r"no account 'nroth' .* \(did you mean north\?\)"):
        run_accounts(installation.folder, ["south", "nroth"])
    with pytest.raises(ValueError, match="accounts must be a list"):
        run_accounts(installation.folder, "south")


@pytest.mark.slow
def test_without_account_sections_the_only_account_has_the_default_or_configured_name(
    installation: Installation,
) -> None:
    with project_context(installation.folder):
        assert account_names() == ["default"]
    add(installation, "config.toml", "[sources.sendcloud]", "account = 'shop'")
    with project_context(installation.folder):
        assert account_names() == ["shop"]


@pytest.mark.slow
def test_status_does_not_report_the_demo_account_as_no_longer_configured(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)

    assert installation.command("demo", "--pickups", "300").returncode == 0
    assert "removed or renamed" not in installation.command("status").stdout


# a fault in one account does not affect the others


def test_refused_keys_of_one_account_stop_no_other_account(loaded: Installation, apis: dict[str, Sandbox]) -> None:
    configure(loaded, apis)
    for api in apis.values():
        api.world.advance(hours=1)
        api.world.book()
    apis["south"].fault(faults.refusal(401), times=None)

    done = loaded.command("run")

    assert done.returncode == 3
    (line,) = lines_of(done.stderr)
    assert line.startswith("pickups: south: Sendcloud refused the keys: ")
    assert f"[sources.sendcloud.accounts.south.credentials] in {loaded.folder}/.dlt/secrets.toml" in line
    assert [line.split(":")[0] for line in done.stdout.splitlines() if " new, " in line] == ["north", "east"]
    assert outcomes(loaded) == {"north": "succeeded", "south": "failed", "east": "succeeded"}
    counted = {row["account"]: row["n"] for row in loaded.rows(COUNT)}
    assert counted == {"north": 4, "south": 4, "east": 6}


AS_OF = "select distinct account, as_of_utc from analytics.pickups"


@pytest.mark.slow
def test_as_of_of_a_failed_account_is_the_time_of_its_last_good_run(
    loaded: Installation, apis: dict[str, Sandbox]
) -> None:
    """The run of `south` fails on the second page.

    The API served the first page, but that page does not show the state of the account.
    """
    configure(loaded, apis, common={"page_size": 2})
    for api in apis.values():
        api.world.advance(days=2)
    apis["south"].fault(faults.status(503), page=2, times=None)

    assert loaded.command("run").returncode == 4

    noon, later = NOW.replace(tzinfo=None), (NOW + timedelta(days=2)).replace(tzinfo=None)
    as_of = {row["account"]: row["as_of_utc"] for row in loaded.rows(AS_OF)}
    assert as_of == {"north": later, "south": noon, "east": later}


@pytest.mark.slow
def test_json_output_includes_the_receipt_of_a_failed_account(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    apis["north"].fault(faults.refusal(401), times=None)

    told = [json.loads(line) for line in installation.command("run", "--json").stdout.splitlines()]

    assert [(one["account"], one["outcome"]) for one in told] == [
        ("north", "failed"),
        ("south", "succeeded"),
        ("east", "succeeded"),
    ]
    assert told[0]["error"].startswith("AuthError: Sendcloud refused the keys")


@pytest.mark.slow
@pytest.mark.parametrize(("faulty", "loaded"), [(faults.html(), 2), (faults.stray_link("https://e.vil/"), 0)])
def test_other_accounts_are_loaded_and_published_if_one_account_fails(
    installation: Installation, apis: dict[str, Sandbox], faulty: faults.Fault, loaded: int
) -> None:
    """If the API becomes unavailable, the first page of two pickups is loaded before the account fails."""
    configure(installation, apis, common={"page_size": 2, "request_max_attempts": 2})
    apis["south"].fault(faulty, page=2, times=None)

    receipts = run_accounts(installation.folder)

    assert [one.outcome for one in receipts] == ["succeeded", "failed", "succeeded"]
    assert receipts[1].exit_code == 4
    others = {name: api for name, api in apis.items() if name != "south"}
    newest_last = sorted(apis["south"].world.records(), key=lambda record: record["created_at"])
    of_south = as_rows(newest_last[len(newest_last) - loaded :], "south")
    by_key = sorted(rows_of_worlds(others) + of_south, key=lambda row: (row["account"], row["id"]))
    assert installation.pickups() == by_key


@pytest.mark.slow
def test_each_failure_is_reported_and_the_most_severe_one_sets_the_exit_code(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    apis["north"].fault(faults.status(503), times=None)
    apis["east"].fault(faults.refusal(401), times=None)

    done = installation.command("run")

    assert done.returncode == 3
    assert [line.split(": ")[1] for line in lines_of(done.stderr)] == ["north", "east"]


@pytest.mark.slow
def test_destination_failure_is_reported_once_for_all_accounts(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    (installation.folder / "data" / "pickups.duckdb" / "full").mkdir(parents=True)

    done = installation.command("run")

    assert done.returncode == 6
    (line,) = lines_of(done.stderr)
    assert line.startswith("pickups: The destination failed: ")


@pytest.mark.parametrize(
    ("codes", "worst"), [([0, 1, 0], 1), ([1, 4], 4), ([3, 4, 0], 3), ([6, 3], 6), ([6, 70, 3], 70), ([0, 0], 0)]
)
def test_exit_code_of_several_accounts_is_the_most_severe_one(codes: list[int], worst: int) -> None:
    assert worst_exit_code(codes) == worst


# each account has its own checks and sweeps


def test_each_receipt_reports_only_the_check_findings_of_its_own_account(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, {name: apis[name] for name in ("north", "south")})
    north, south = (apis[name].world for name in ("north", "south"))
    north.change(oldest(apis["north"]), pickup_status="Lost in Space")
    south.change(oldest(apis["south"]), tracking_number="")
    south.book(created_at=NOW - timedelta(days=9), pickup_status="Beamed Up")

    receipts = {one.account: one for one in run_accounts(installation.folder)}

    assert receipts["north"].unexpected_values["known_statuses"] == ["Lost in Space"]
    assert receipts["south"].unexpected_values["known_statuses"] == ["Beamed Up"]
    assert "missing_tracking_number" not in receipts["north"].checks_failed
    assert receipts["south"].checks_failed["missing_tracking_number"] == 1
    assert receipts["north"].unexpected_values["known_carriers"] == ["north_post"]


@pytest.mark.slow
def test_sweep_of_all_accounts_finds_the_unlisted_pickups_of_each_account(
    loaded: Installation, apis: dict[str, Sandbox]
) -> None:
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
def test_quarantined_record_counts_only_for_its_own_account(
    installation: Installation, apis: dict[str, Sandbox]
) -> None:
    configure(installation, apis)
    broken = {"id": 1, "carrier": None, "pickup_status": "Created", "created_at": "2026-11-20T11:00:00Z"}
    apis["south"].world.put(broken)

    receipts = {one.account: one for one in run_accounts(installation.folder)}

    assert {name: one.quarantined for name, one in receipts.items()} == {"north": 0, "south": 1, "east": 0}
    kept = installation.rows("select account, resolved_at from sendcloud.pickups_quarantine")
    assert kept == [{"account": "south", "resolved_at": None}]
