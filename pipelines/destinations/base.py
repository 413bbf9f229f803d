"""Defines the interface that all destinations implement: DuckDB files, PostgreSQL servers and Delta lakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from dlt.common.destination import Destination
    from dlt.extract import DltSource

    from pipelines.destinations.account_rows import Renaming, RowCounts
    from pipelines.destinations.filter import PickupFilter
    from pipelines.finding import Finding

DATASET, ANALYTICS = "sendcloud", "analytics"  # all SQL uses these names; schemas.py can substitute other names
Result = TypeVar("Result")
OpenSession = Callable[[], AbstractContextManager["Session"]]


class Session(Protocol):
    """Executes statements in DuckDB's dialect against a destination's tables. All timestamps are in UTC.

    A failure raises DestinationError, or DatabaseError if DuckDB executes the statement
    (destinations/duckdb/session.py).
    """

    def execute(self, sql: str, parameters: Any = None, /) -> Any:
        """Executes the statements and returns an object with `fetchall()`.

        Args:
            sql: one or more statements.
            parameters: a sequence of values for `?`, or a mapping of values for `$name`.
        """

    def sql(self, query: str, /) -> Any:
        """Returns the result, with `to_arrow_table()` and `to_arrow_reader(rows)`; read it before the next query."""

    def register(self, name: str, rows: Any, /) -> Any:
        """Makes an Arrow table available to statements by name until the name is registered again."""

    def has_table(self, name: str) -> bool:
        """Returns whether the `sendcloud` dataset has this table."""

    def columns(self, table: str) -> list[str]:
        """Returns the names of the table's columns, in order. The list is empty if the table doesn't exist."""

    def for_account(self, account: str) -> Session:
        """Returns a session for the account's own tables, or this session if all accounts share their tables."""

    def for_checks(self, accounts: Sequence[str], only: str | None = None) -> Session:
        """Returns a session with the published tables and the current definitions of the published views.

        The session covers at least these accounts, and may omit others, because a run checks only its own.

        Args:
            accounts: the accounts of the run.
            only: the name of a temporary table with the `account` and `id` of some pickups. If given, the session has
                only these pickups, and only the views that the checks read. Requires an earlier call without `only` in
                the same transaction, and a destination with transactions.
        """

    def publish_account(self, account: str) -> None:
        """Copies the rows that the run has written for the account to the published tables, in the open transaction.

        Does nothing if the destination has no separate published tables.
        """

    def publish_views(self) -> list[str]:
        """Updates the published views, unless `for_checks` has already done so.

        Returns:
            Other people's objects that depend on the old views. If such objects exist, the old views remain.
        """


class AccountEditor(Protocol):
    """Changes the rows of whole accounts. The caller must hold the accounts' locks.

    Each change is atomic, even if the process crashes. `RowCounts` maps each account to its row counts by table.
    """

    def count_rows(self) -> RowCounts:
        """Returns the number of rows of every account in every table. Writes nothing."""

    def rename(self, names: Renaming, *, is_trial: bool) -> None:
        """Moves the old name's rows to the new name. If `is_trial` is true, only checks that the rename would work.

        Raises:
            AccountMismatch: the pickups under the two names belong to different accounts.
        """

    def remove(self, account: str) -> None:
        """Deletes all of the account's rows and its stored position in the list of pickups."""

    def edit(self, account: str, change: Callable[[Session], None]) -> None:
        """Calls `change` with a session over the account's tables, and stores the changes.

        Unlike a run's session, this session can change every table. The change is atomic for each table and must be
        safe to repeat.
        """

    def query(self, account: str, ask: Callable[[Session], Result]) -> Result:
        """Calls `ask` with a session over the account's tables and returns the result.

        `ask` must not change the tables.
        """

    def publish(self) -> None:
        """Makes changes visible to readers. Call this method after every change; an extra call is harmless."""


class Recovery:
    """Repairs a destination that a run can't use. Each method returns what was done, or None if nothing was needed.

    The run must hold the lock. Both methods raise DestinationError if a person must decide what to do. By default,
    they do nothing, because servers and lakes are backed up by other means (docs/how-to/back-up.md).
    """

    def before_run(self) -> str | None:
        """Replaces a missing warehouse if earlier runs had already published pickups."""
        return None

    def after_failure(self, _errors: Sequence[Exception], /) -> str | None:
        """Replaces a warehouse that turned out to be damaged, or raises DestinationError with the cause of the errors.

        Args:
            _errors: the accounts' errors.
        """
        return None


class Backend(Protocol):
    """Gives runs and readers access to a destination. `str(backend)` names the destination without any secrets."""

    def exists(self) -> bool:
        """Returns whether the destination contains the results of a run or can store a receipt."""

    def lock(self, accounts: Sequence[str], wait_seconds: float) -> AbstractContextManager[None]:
        """Prevents other runs from writing the same data during the block.

        Args:
            accounts: the accounts that the run loads.
            wait_seconds: how long to wait for another run to end.

        Raises:
            RunInProgress: another run still holds the lock after `wait_seconds`.
        """

    def check_lock(self) -> None:
        """Raises DestinationError if another run may have acquired the lock. A run calls this method before a merge."""

    def recovery(self, accounts: Sequence[str], own_runs: Sequence[str] = ()) -> Recovery:
        """Returns the object that repairs the destination during a run.

        Args:
            accounts: the names of all configured accounts.
            own_runs: the ids of the run's receipts.
        """

    def ownership_checked(self, accounts: Sequence[str]) -> AbstractContextManager[None]:
        """Checks that a run would not change other people's objects. The run must begin inside the block.

        The caller must hold the lock. The check must come before anything is created, requested or loaded.

        Raises:
            ForeignObject: a table, view, file or folder with one of our names was not created by this program.
            OtherSchema: the tables are in a schema other than the one in the settings.
            NewerLayout: a newer version of this program wrote the tables.
        """

    def write_mark(self) -> None:
        """Creates or updates the warehouse's mark (warehouse_mark.py). A run calls it before it loads anything."""

    def prepare(self, accounts: Sequence[str]) -> None:
        """Creates whatever a run requires and removes files left behind by a crashed run.

        The caller must hold the lock.
        """

    def session(self) -> AbstractContextManager[Session]:
        """Opens a session for a run. Raises DestinationError on failure."""

    def checkpoint(self) -> None:
        """Moves data from memory or a log to persistent storage, and prepares for the next load package.

        A run calls this method between two load packages.
        """

    def has_atomic_loads(self) -> bool:
        """Returns whether a load that reports an error is guaranteed to have changed nothing.

        With this guarantee, a run can append new rows without a merge.
        """

    def has_transactions(self) -> bool:
        """Returns whether changes to several tables take effect together or not at all."""

    def account_editor(self) -> AccountEditor:
        """Returns an object that changes the rows of whole accounts."""

    def dlt_destination(self) -> Destination[Any, Any]:
        """Returns dlt's destination object."""

    def adapt_source(self, source: DltSource, open_session: OpenSession) -> None:
        """Changes what dlt loads, and how. A run has already added its own steps, which also use `open_session`."""

    def dataset_name(self, account: str) -> str:
        """Returns the name of the dataset into which dlt loads the account."""

    def working_dir(self) -> Path:
        """Returns the folder for dlt's working files. Each destination has its own folder."""

    def publish(self, *, is_last: bool = True) -> bool:
        """Publishes the warehouse as a whole and returns True.

        If `is_last` is false, the run's session is still open, and the run continues with other accounts.

        Returns False if the run's session has already published everything, or if only the end of a run can publish.
        """

    def note_published(self) -> None:
        """Records in the warehouse which file was published. Call this method after `publish` returns True."""

    def findings(self, accounts: Sequence[str]) -> Iterator[Finding]:
        """Yields confirmations, warnings, and errors that would stop a run of the accounts. Writes nothing."""

    def data_dir(self) -> Path:
        """Returns the local folder of the published data or, if there is none, the working folder of runs."""

    def is_demo(self) -> bool:
        """Returns whether readers see the data from `pickups demo` because no run has published anything yet."""

    def snapshot(self) -> AbstractContextManager[Mapping[str, str]]:
        """Preserves the current state for readers during the block.

        Yields the environment variables that make a process read this state.
        """

    def read_session(self, only: PickupFilter) -> AbstractContextManager[Session]:
        """Opens a session for readers, with only the pickups that match the filter.

        Raises:
            NoData: the destination has no pickups.
            FilterError: the filter names an account, a carrier or a country that no pickup has.
        """
