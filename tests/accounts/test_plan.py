"""What a run is going to read, and that a success is final: without a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.config.accounts import UnknownAccount
from pipelines.config.project import default_read_path, project_context
from pipelines.destinations.select import select_backend
from pipelines.loading.account_run import AccountRun
from pipelines.loading.concurrency import WriteLock
from pipelines.loading.plan import plan_run
from sources.sendcloud.errors import SettingsError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "config.toml").write_text(
        "[sources.sendcloud.accounts.north]\n[sources.sendcloud.accounts.south]\n"
    )
    return tmp_path


def test_a_plan_reads_the_named_accounts_once_in_their_order(project: Path) -> None:
    with project_context(project):
        assert plan_run(project).accounts == ["north", "south"]
        assert plan_run(project, ["south"]).accounts == ["south"]
        assert plan_run(project, ["south", "north", "south"]).accounts == ["south", "north"]
        assert plan_run(project, ["south"]).configured == ["north", "south"]


@pytest.mark.parametrize(("account", "error"), [("west", UnknownAccount), (None, SettingsError)])
def test_a_plan_refuses_unknown_and_ambiguous_accounts(
    project: Path, account: str | None, error: type[Exception]
) -> None:
    with project_context(project), pytest.raises(error, match="north"):
        plan_run(project, [account])


def test_an_error_after_the_success_of_an_account_does_not_fail_it(project: Path) -> None:
    with project_context(project):
        part = AccountRun.create("north", select_backend(project), WriteLock(), lambda _phase, _stats: None)
        part.receipt.outcome = "succeeded"
        part.fail(RuntimeError("of another account"))

    assert (part.receipt.outcome, part.receipt.failure, part.receipt.error) == ("succeeded", None, None)


def test_the_first_error_of_an_account_is_the_one_that_is_reported(project: Path) -> None:
    with project_context(project):
        part = AccountRun.create("north", select_backend(project), WriteLock(), lambda _phase, _stats: None)
        part.fail(RuntimeError("first"))
        part.fail(RuntimeError("second"))

    assert part.receipt.error == "RuntimeError: first"


@pytest.mark.parametrize(
    ("files", "read"),
    [
        (["data/pickups.duckdb", "data/demo/pickups.duckdb"], "data/pickups.duckdb"),
        (["data/demo/pickups.duckdb"], "data/demo/pickups.duckdb"),
        ([], "data/pickups.duckdb"),
    ],
)
def test_the_demo_is_read_only_until_something_is_published(project: Path, files: list[str], read: str) -> None:
    for name in files:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).touch()

    with project_context(project):
        assert default_read_path(project) == project / read
