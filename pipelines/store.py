"""Where runs write, and people read: what a run asks of it, whether that is a file, a database server or a lake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from dlt.common.destination import Destination
    from dlt.extract import DltSource

    from pipelines.finding import Finding
    from pipelines.narrow import Only

DATASET = "sendcloud"


class Connection(Protocol):
    """A session with the tables: statements in DuckDB's dialect, whatever answers them; instants are UTC.

    A failure raises DestinationFailed, or DatabaseError where that is a file's (warehouse.py).
    """

    def execute(self, sql: str, parameters: Any = None, /) -> Any:
        """Answers with something that has `fetchall()`; parameters are for `?` in order, or for `$name` by name."""

    def sql(self, query: str, /) -> Any:
        """Answers with something that has `to_arrow_table()`, and `to_arrow_reader()` where rows may be many."""

    def register(self, name: str, rows: Any, /) -> Any:
        """Lets statements read an Arrow table by that name, until it is registered anew or unregistered."""

    def unregister(self, name: str, /) -> Any: ...

    def has_table(self, name: str) -> bool:
        """Whether the dataset `sendcloud` has this table."""

    def columns(self, table: str) -> list[str]:
        """The names of a table's columns, in their order; none where there is no such table."""

    def of(self, account: str) -> Connection:
        """The same session over that account's tables, where each account has tables of its own."""

    def for_checks(self, accounts: Sequence[str]) -> Connection:
        """The same session over the tables and views that people read, these as they should be; of these accounts at
        least: what others hold is no business of a run's checks.
        """

    def show(self, account: str) -> None:
        """Brings what the run has written of that account to the tables that people read, as part of the transaction
        that is under way; nothing to do where they are the same.
        """

    def show_views(self) -> None:
        """Brings the views that people read to what they should be, where that is not done by `for_checks`; the last
        of a transaction.
        """


class Store(Protocol):
    """The place itself. Its text (`str`) is what a person is told of it; no secret is in it."""

    def exists(self) -> bool:
        """Whether there is a place in which a run has left something, or could leave its receipt."""

    def locked(self, accounts: Sequence[str], wait_seconds: float) -> AbstractContextManager[None]:
        """Holds off every other run that would write the same; raises AnotherRun when one has it for longer."""

    def make_sure_of_lock(self) -> None:
        """Before rows are merged. Raises DestinationFailed where another run may have the lock by now."""

    def prepare(self, accounts: Sequence[str]) -> None:
        """Makes what must be there before a run, and clears away what a dead one left. For who holds the lock."""

    def opened(self) -> AbstractContextManager[Connection]:
        """A connection for a run. Raises DestinationFailed."""

    def checkpoint(self) -> None:
        """Between packages: brings what is in memory or in a log to where it lasts, and makes ready for the next."""

    def loads_once(self) -> bool:
        """Whether a load that was answered by an error was certainly not done, so that rows can be added unseen."""

    def destination(self) -> Destination[Any, Any]:
        """dlt's own handle of the place."""

    def fit(self, source: DltSource) -> None:
        """Tells dlt how the source's tables are to be kept there, where that differs."""

    def dataset(self, account: str) -> str:
        """The dataset into which dlt loads that account."""

    def scratch(self) -> Path:
        """A folder for dlt's working files, of this place's own."""

    def publish(self) -> bool:
        """Brings the whole of it to readers, where that is not done by `Connection.show`; tells whether it was."""

    def findings(self) -> Iterator[Finding]:
        """Whether a run could write there, and what else a person should know; nothing is written."""

    def lies_in(self) -> Path:
        """The folder of this machine that is written to for people, or in which a run works."""

    def is_demo(self) -> bool:
        """Whether people read what `pickups demo` left, as long as there is nothing of their own."""

    def held_still(self) -> AbstractContextManager[Mapping[str, str]]:
        """Gives what a process must have in its environment to find it, as long as the block lasts, as it is now."""

    def readable(self, only: Only) -> AbstractContextManager[Connection]:
        """A connection for people, to all or some of the pickups. Raises NothingYet where there are none."""
