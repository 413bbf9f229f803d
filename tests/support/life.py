"""Leads an account and its installation through random events, and checks every run against the account's model."""

from __future__ import annotations

import gc
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from dlt.common.storages import load_package

from pipelines import Receipt
from pipelines.errors import DestinationError, ForeignObject, exit_code_of
from sources.sendcloud import SendcloudError
from sources.sendcloud.sandbox import serve
from tests.support.damages import is_whole, remove
from tests.support.installation import Installation, nothing_is_sent_to, rows_of, without_kept_columns
from tests.support.invariants import differences_from, found_in_full, published_pickups, states_told
from tests.support.random_account import Account
from tests.support.strangers import in_the_way

RUNS: Counter[str] = Counter()  # the number of runs by outcome, which the soak test prints
LOST: Counter[str] = Counter()  # the number of files that were damaged or removed
TABLES = "from duckdb_tables() where schema_name = 'sendcloud'"
# what a run says if the published file may lack something that the lost warehouse had
MAY_HOLD_MORE = ("that the published copy lacks", "may contain rows that were never published")


class Died(BaseException):
    """Ends a run without being caught, which is as close to SIGKILL as one process allows."""


class Installed:
    """An account, its installation, and what is known about both."""

    def __init__(self) -> None:
        super().__init__()
        self.account = Account()
        self.world = self.account.world
        self.stack = ExitStack()
        self.api = self.stack.enter_context(serve(self.world))
        patched = self.stack.enter_context(pytest.MonkeyPatch.context())
        folder = Path(tempfile.mkdtemp())
        self.stack.callback(shutil.rmtree, folder)
        (folder / ".dlt").mkdir()
        self.installation = Installation(folder, patched)
        self.is_lost = False  # a file was damaged or removed, and no run has succeeded since
        self.clock_error = 0.0  # seconds by which the local clock is wrong
        patched.setattr(load_package, "increasing_precise_time", lambda: time.time() + self.clock_error)

    @property
    def files(self) -> list[Path]:
        return [self.installation.warehouse, self.installation.published]

    def run_and_check(self, **way: int) -> None:
        """Starts a run and checks that readers have a complete file, whatever happens to the run.

        If the run succeeds, this also checks all its results. If it leaves a lost warehouse to a person, it runs again.
        """
        self.world.advance(minutes=1)
        before, swept, must_refuse = self.loaded_so_far(), self.swept_so_far(), self.is_lost and self.is_nothing_left()
        try:
            receipt = self.installation.run(self.api, **way)
        except (SendcloudError, Died) as error:
            self.failed(error)
        except DestinationError as error:
            self.decide(str(error), must_refuse=must_refuse)
            self.run_and_check(**way)
        else:
            assert not must_refuse, "a run began anew although a damaged file was there"
            self.succeeded(receipt)
            self.check(receipt, before, self.account.table(before), swept)

    def failed(self, error: BaseException) -> None:
        RUNS[type(error).__name__] += 1
        self.account.watched(succeeded=False)
        if not self.is_lost:
            published_pickups(self.installation)

    def succeeded(self, receipt: Receipt) -> None:
        RUNS["succeeded after a loss" if self.is_lost else "succeeded"] += 1
        self.is_lost = False
        self.account.watched(succeeded=True, run_id=receipt.run_id)

    def check(
        self, receipt: Receipt, before: list[dict[str, Any]], expected: list[dict[str, Any]], swept: set[int]
    ) -> None:
        """Checks all results of a run.

        A sweep that an earlier run began has listed the pickups in `swept`. If one of them has vanished since, this
        sweep can't know it, and the next one finds out.
        """
        known = {row["id"]: row for row in before}
        changed = [row for row in expected if row["id"] in known and row != known[row["id"]]]
        assert differences_from(self.installation, expected) == []
        assert (receipt.rows_new, receipt.rows_changed) == (len(expected) - len(before), len(changed))
        assert receipt.must_pass_failed == must_fail(receipt)
        assert receipt.checks_failed.items() >= found_in_full(self.installation.published).items()
        gone = known.keys() & self.account.gone
        assert receipt.rows_unlisted in (None, len(gone), len(gone - swept))
        assert self.account.seen.wrong_in_history(states_told(self.installation.published)) == []
        kept = self.installation.rows("select record from sendcloud.pickups_quarantine")
        assert self.account.seen.wrong_in_quarantine([row["record"] for row in kept]) == []
        runs = self.installation.rows("select run_id from sendcloud.pickup_runs")
        assert self.account.seen.wrong_in_receipts([row["run_id"] for row in runs]) == []

    def loaded_so_far(self) -> list[dict[str, Any]]:
        """Returns the table as all runs so far have left it, including runs that died, as far as it isn't lost."""
        path = self.kept_file()
        if not path or not rows_of(path, f"{TABLES} and table_name = 'pickups'"):
            return []
        return without_kept_columns(rows_of(path, "select * exclude (_dlt_load_id) from sendcloud.pickups order by id"))

    def swept_so_far(self) -> set[int]:
        """Returns the ids of the pickups that an interrupted sweep has listed."""
        path = self.kept_file()
        if not path or not rows_of(path, f"{TABLES} and table_name = 'pickups_swept'"):
            return set()
        return {row["id"] for row in rows_of(path, "select id from sendcloud.pickups_swept")}

    def kept_file(self) -> Path | None:
        """Returns the warehouse or, if it is lost, its published copy. Returns None if both are."""
        existing = [path for path in self.files if path.exists()]
        if not self.is_lost:
            return existing[0] if existing else None
        return next((path for path in existing if is_whole(path) and rows_of(path, TABLES)), None)

    def is_nothing_left(self) -> bool:
        """Returns whether a file was damaged, and no file tells what it held."""
        existing = [path for path in self.files if path.exists()]
        if existing[-1:] == [self.installation.published] and not existing[-1].stat().st_size:
            existing.pop()  # it sets only the permissions
        return not self.kept_file() and not all(map(is_whole, existing))

    def lose(self, what: Callable[[Path], None], path: Path) -> None:
        """Damages or removes a file, in a process that no longer has it open."""
        gc.collect()
        if path.exists() and (what is remove or is_whole(path)):
            what(path)
            self.is_lost = True
            LOST[path.name] += 1
            if not self.kept_file():
                self.account.seen.forget()

    def decide(self, said: str, *, must_refuse: bool) -> None:
        """Does what a person does if a run refuses to replace a lost warehouse."""
        assert self.is_lost, said
        assert must_refuse or any(words in said for words in MAY_HOLD_MORE), said
        RUNS["left to a person"] += 1
        if must_refuse:
            for path in self.installation.warehouse.parent.glob("*.duckdb*"):
                path.unlink()
        else:
            done = self.installation.command("restore", "--yes")
            assert done.returncode == 0, done

    def refuse(self, stranger: str) -> None:
        """Checks that a run and `pickups check` leave a stranger's object alone, and all files as they are."""
        with in_the_way(self.installation, stranger) as words:
            before = {path: path.read_bytes() for path in self.files if path.exists()}
            with nothing_is_sent_to(self.api), pytest.raises(ForeignObject) as refused:
                self.installation.run(self.api)
            RUNS["refused beside a stranger"] += 1
            assert (words in str(refused.value), exit_code_of(refused.value)) == (True, 3), refused.value
            assert {path: path.read_bytes() for path in self.files if path.exists()} == before


def must_fail(receipt: Receipt) -> bool:
    """Returns whether the run missed an open pickup, or could not load more than 1 % of what it read."""
    return bool(receipt.open_missing) or receipt.stats.quarantined * 100 > receipt.stats.rows_read
