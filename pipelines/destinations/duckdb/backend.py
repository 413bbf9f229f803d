"""Implements the default destination: runs write to one DuckDB file, and users query a published copy of it."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pipelines import atomic_file
from pipelines.analytics.column_comments import describe_views
from pipelines.analytics.kept_columns import keep_columns
from pipelines.atomic_file import remove_leftovers
from pipelines.destinations.duckdb.accounts import DuckDBAccountEditor
from pipelines.destinations.duckdb.blocks import read_format
from pipelines.destinations.duckdb.diagnose import file_findings
from pipelines.destinations.duckdb.ownership import Files, check_files
from pipelines.destinations.duckdb.publish import (
    compact,
    create_database,
    needs_compaction,
    publish,
    remove_compaction_files,
)
from pipelines.destinations.duckdb.recovery import FileRecovery
from pipelines.destinations.duckdb.replacement import log_of, restored_path
from pipelines.destinations.duckdb.session import DatabaseError, DuckDBSession, open_database, open_published
from pipelines.destinations.file_lock import exclusive_lock
from pipelines.destinations.migrations import add_kept_columns
from pipelines.destinations.schemas import DEFAULT_NAMES, SchemaNames
from pipelines.destinations.warehouse_mark import note_published_file, write_mark
from pipelines.errors import DestinationError
from pipelines.file_access import CAN_READ_OPEN_DATABASES, file_identity
from pipelines.json_logs import print_or_log

if TYPE_CHECKING:
    from dlt.common.destination import Destination
    from dlt.extract import DltSource

    from pipelines.destinations.base import OpenSession
    from pipelines.destinations.filter import PickupFilter
    from pipelines.finding import Finding


@dataclass(frozen=True)
class DuckDBBackend:
    """Implements Backend (destinations/base.py) with DuckDB files. All accounts share the files and a single lock."""

    warehouse: Path
    published: Path
    read: Path  # the demo's file until the first run has published data
    names: SchemaNames = DEFAULT_NAMES
    _sessions: list[None] = field(default_factory=list, compare=False, repr=False)  # one element per open session
    _files: ExitStack = field(default_factory=ExitStack, compare=False, repr=False)  # see `session`

    def __str__(self) -> str:
        return str(self.warehouse)

    def exists(self) -> bool:
        return self.warehouse.exists()

    def lock(self, accounts: Sequence[str], wait_seconds: float) -> AbstractContextManager[None]:
        return exclusive_lock(self.warehouse, wait_seconds)

    def check_lock(self) -> None:
        """Does nothing, because the operating system holds the lock until this process ends."""

    def recovery(self, accounts: Sequence[str], own_runs: Sequence[str] = ()) -> FileRecovery:
        return FileRecovery(self.warehouse, self.published, accounts, own_runs)

    @contextmanager
    def ownership_checked(self, accounts: Sequence[str]) -> Iterator[None]:
        """Keeps the warehouse open during the block, because opening it again would take time.

        The open warehouse also tells whether it should be compacted, which replaces the file.
        """
        found = read_format(self.warehouse)
        opened: AbstractContextManager[DuckDBSession | None] = self.session() if self.exists() else nullcontext()
        with opened as session:
            check_files(Files(self.warehouse, self.published), self.names, session)
            if not session or not needs_compaction(self.warehouse, found, session):
                yield
                return
        compact(self.warehouse)
        with self.session():
            yield

    def write_mark(self) -> None:
        paths = {"warehouse_path": str(self.warehouse), "published_path": str(self.published)}
        with self.session() as session:
            write_mark(session, str(self), {"analytics_schema": self.names.analytics, **paths})
            add_kept_columns(session)

    def prepare(self, accounts: Sequence[str]) -> None:
        remove_leftovers(self.published)
        remove_leftovers(restored_path(self.warehouse))
        remove_compaction_files(self.warehouse)
        create_database(self.warehouse)

    @contextmanager
    def session(self) -> Iterator[DuckDBSession]:
        """Opens a session for a run.

        While any session is open, DuckDB holds a lock on the warehouse, so that no other program can write to it. On
        POSIX systems, a process loses its locks on a file as soon as it closes the file, no matter how it opened it.
        If `publish` opens the file meanwhile, the file is therefore closed after the last session.
        """
        is_first = not self._sessions
        self._sessions.append(None)
        try:
            with open_database(self.warehouse, names=self.names) as session, _one_thread(session, wanted=is_first):
                yield session
                if session.has_new_views:  # not within the run's transaction, because that would take twice as long
                    describe_views(session)
        finally:
            self._sessions.pop()
            if not self._sessions:
                self._files.close()

    def has_transactions(self) -> bool:
        return True

    def account_editor(self) -> DuckDBAccountEditor:
        return DuckDBAccountEditor(self.session, self.dataset_name(""), self.warehouse, self.publish)

    def has_atomic_loads(self) -> bool:
        return True

    def checkpoint(self) -> None:
        with self.session() as connection:
            connection.execute("checkpoint")

    def dlt_destination(self) -> Destination[Any, Any]:
        import dlt

        return dlt.destinations.duckdb(str(self.warehouse))

    def adapt_source(self, source: DltSource, open_session: OpenSession) -> None:
        """Adds the columns that are kept for the views (analytics/kept_columns.py)."""
        keep_columns(source.resources["pickups"], open_session)

    def dataset_name(self, account: str) -> str:
        return self.names.data

    def working_dir(self) -> Path:
        """Returns a folder beside the warehouse, or a folder under DLT_DATA_DIR.

        The name of a folder under DLT_DATA_DIR contains a digest of the warehouse's path.
        """
        if base := os.environ.get("DLT_DATA_DIR"):
            mark = hashlib.sha256(str(self.warehouse).encode()).hexdigest()[:8]
            return Path(base) / "pipelines" / f"{self.warehouse.stem}-{mark}"
        return self.warehouse.parent / ".dlt-pipelines" / self.warehouse.stem

    def publish(self, *, is_last: bool = True) -> bool:
        if not is_last and not CAN_READ_OPEN_DATABASES:
            return False  # the end of the run publishes these accounts, too
        try:
            # An open session, or a writer that crashed or ran out of disk space, leaves data in the log. The checkpoint
            # moves the data into the file. Closing also does, but does not report a full disk (duckdb 1.5.5).
            if self._sessions or log_of(self.warehouse).exists():
                self.checkpoint()
            with self._reading() as file:
                damage = publish(file, self.published)
        except (OSError, DatabaseError) as error:
            left = "The pickups are loaded; the published file is unchanged. Fix the cause and run again."
            raise DestinationError(str(self.published), str(error).split("\n")[0], left) from error
        if damage:
            replaced = f"The published file {self.published} was damaged ({damage})."
            print_or_log("warning", f"{replaced} It was replaced with a copy of the warehouse.")
        return True

    @contextmanager
    def _reading(self) -> Iterator[FileIO]:
        """Yields the warehouse, open for reading. While a session is open, the file remains open after the block."""
        file = self.warehouse.open("rb", buffering=0)
        with ExitStack() as stack:
            (self._files if self._sessions else stack).enter_context(file)
            yield file

    def note_published(self) -> None:
        with self.session() as session:
            note_published_file(session, file_identity(self.published))

    def read_session(self, only: PickupFilter) -> AbstractContextManager[DuckDBSession]:
        return open_published(self.read, only)

    def findings(self, accounts: Sequence[str]) -> Iterator[Finding]:
        return file_findings(self.recovery(accounts), self.names)

    def data_dir(self) -> Path:
        return self.published.parent

    def is_demo(self) -> bool:
        return self.read != self.published

    @contextmanager
    def snapshot(self) -> Iterator[Mapping[str, str]]:
        """Preserves the published file under another name during the block.

        A hard link is enough, because publishing replaces the file and never writes to it. If the filesystem refuses
        the link, the file is copied.
        """
        remove_leftovers(self.read, "still", older_than_seconds=atomic_file.DAY_SECONDS)
        with tempfile.TemporaryDirectory() as folder:
            still = self.read.with_name(f".{self.read.name}.{uuid4().hex}.still")
            try:
                os.link(self.read.resolve(), still)
            except OSError:
                still = Path(shutil.copyfile(self.read, Path(folder) / self.read.name))
            try:
                yield {"PUBLISH__PATH": str(still)}
            except DestinationError as error:
                error.args = (str(error).replace(str(still), str(self.read)),)
                raise
            finally:
                still.unlink(missing_ok=True)


@contextmanager
def _one_thread(session: DuckDBSession, *, wanted: bool) -> Iterator[None]:
    """Executes the statements of all connections to the file in one thread during the block, if this is wanted.

    A run executes many short statements. While a worker thread executes one, DuckDB's Python client waits in a loop
    that occupies another core. With one thread, a first load of 100,000 and a run with 2,000 changes take 9 % less CPU.
    Over ten million rows, a run takes 5 % less CPU and 4 % longer (2 cores, duckdb 1.5.5, 2026-11-30).
    """
    if not wanted:
        yield
        return
    ((threads,),) = session.execute("select current_setting('threads')").fetchall()
    session.execute("set threads = 1")
    try:
        yield
    finally:
        with suppress(DatabaseError):  # after a fatal error, only closing the file is left
            ((connections,),) = session.execute("from duckdb_connection_count()").fetchall()
            if connections > 1:  # a user of the package keeps the file open; starting the threads takes 3 ms
                session.execute(f"set threads = {threads}")
