"""Implements `[pipeline] destination = "delta"`: a lake of Delta tables in a folder or a bucket.

Each account has its own folder in the lake. An in-memory DuckDB database executes a run's statements. The database is
filled from the lake, and its changes are written back to the lake (destinations/delta/session.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from deltalake.exceptions import DeltaError

from pipelines.config.settings import get_setting
from pipelines.destinations.delta import object_store
from pipelines.destinations.delta.accounts import DeltaAccountEditor
from pipelines.destinations.delta.built_views import use_exported_views
from pipelines.destinations.delta.hidden import finish_changes
from pipelines.destinations.delta.ownership import check_lake, read_lake_mark, write_lake_mark
from pipelines.destinations.delta.session import DeltaSession, attach_published
from pipelines.destinations.delta.tables import DeltaTables
from pipelines.destinations.duckdb.filtered_views import create_filtered_views
from pipelines.destinations.duckdb.session import IN_MEMORY, DuckDBSession, open_database
from pipelines.destinations.file_lock import exclusive_lock
from pipelines.destinations.filter import ALL_PICKUPS, PickupFilter
from pipelines.destinations.naming import AccountDatasets, working_dir
from pipelines.destinations.schemas import SchemaNames
from pipelines.dlt_workarounds import check_before_each_job, resolve_configuration
from pipelines.errors import DestinationError, NoData, OwnershipError
from pipelines.finding import Finding, error_finding
from pipelines.lean_imports import unblock
from sources.sendcloud.errors import SettingsError

if TYPE_CHECKING:
    from dlt.common.destination import Destination
    from dlt.extract import DltSource

    from pipelines.destinations.base import OpenSession

VERSIONS_VARIABLE = "PICKUPS_LAKE_VERSIONS"  # set in the environment of processes that read data for a report
REMEDY = "Previously loaded data is unchanged. Fix the cause (address, credentials, network, disk) and run again."


class DeltaBackend(AccountDatasets):
    """Implements Backend (destinations/base.py) with Delta tables."""

    def __init__(self, destination: Destination[Any, Any], config: Any, names: SchemaNames) -> None:
        super().__init__(destination, names)
        self.tables = DeltaTables(config, names)
        if not self.tables.is_local:
            check_before_each_job(destination, self.check_lock)
        self._session: DeltaSession | None = None
        self._lock_checks: list[Callable[[], None]] = []  # each function raises OSError if its lock was lost

    def __str__(self) -> str:
        return self.tables.address

    def exists(self) -> bool:
        return bool(self.tables.datasets())

    @contextmanager
    def lock(self, accounts: Sequence[str], wait_seconds: float) -> Iterator[None]:
        """Holds a lock for each account during the block.

        In a folder, the operating system holds the locks. In a bucket, a lock is a file that the run keeps renewing.
        The file expires half a minute after a run crashes.
        """
        self._lock_checks.clear()
        with ExitStack() as held:
            for account in sorted(accounts):
                place = f"{self.tables.root}/{self._names.of_account(account)}"
                if self.tables.is_local:
                    held.enter_context(exclusive_lock(Path(place), wait_seconds))
                else:
                    with self._translate_errors():
                        lock = object_store.object_lock(self.tables.filesystem, place, account, wait_seconds)
                        self._lock_checks.append(held.enter_context(lock))
            self._locked = list(accounts)
            yield

    @contextmanager
    def ownership_checked(self, accounts: Sequence[str]) -> Iterator[None]:
        with self._translate_errors():
            check_lake(self.tables, accounts)
        yield

    def write_mark(self) -> None:
        with self._translate_errors():
            write_lake_mark(self.tables)

    def prepare(self, accounts: Sequence[str]) -> None:
        """Removes what crashed runs and commands left behind. dlt itself creates everything that a run requires."""
        with self._translate_errors():
            finish_changes(self.tables, map(self._names.of_account, accounts))
            for account in accounts:
                self.tables.remove_empty_folder(self._names.of_account(account))

    @contextmanager
    def session(self) -> Iterator[DeltaSession]:
        """Opens the run's session or reuses the open one, and writes its changes to the lake after the block."""
        if self._session:
            self._session.refresh()
            yield self._session
            self._flush(self._session, is_between_pages=True)
            return
        with self._memory_session() as connection, self._translate_errors():
            self._session = DeltaSession(connection, self.tables)
            try:
                yield self._session
                self._flush(self._session)
            finally:
                self._session = None

    def has_transactions(self) -> bool:
        return False

    def account_editor(self) -> DeltaAccountEditor:
        locked = [*map(self._names.of_account, self._locked)]
        return DeltaAccountEditor(self.tables, self._memory_session, self._translate_errors, locked)

    def has_atomic_loads(self) -> bool:
        """Returns False for a bucket, because the response to a successful write can be lost."""
        return self.tables.is_local

    def checkpoint(self) -> None:
        """Writes the rows seen by a sweep to the lake. All other changes are already in the lake."""
        if self._session:
            self._flush(self._session)

    def check_lock(self) -> None:
        """Raises DestinationError if a lock was lost.

        A lock in a folder can't be lost, because the operating system holds it until this process ends.
        """
        with self._translate_errors():
            for make_sure in self._lock_checks:
                make_sure()

    def _flush(self, session: DeltaSession, *, is_between_pages: bool = False) -> None:
        self.check_lock()
        with self._translate_errors():
            session.flush(is_between_pages=is_between_pages)

    def adapt_source(self, source: DltSource, open_session: OpenSession) -> None:
        """Makes dlt store the source's tables as Delta tables and merge rows with the `upsert` strategy.

        Plain Parquet files can only be appended to, and dlt replaces rows in Delta tables only with `upsert`.
        """
        for resource in source.resources.values():
            how: Any = {"disposition": "merge", "strategy": "upsert"}
            resource.apply_hints(table_format="delta", write_disposition=how)

    def working_dir(self) -> Path:
        return working_dir("lake", str(self))

    def publish(self, *, is_last: bool = True) -> bool:
        """Compacts tables that have many small files. Returns False, because readers use the tables directly."""
        with suppress(DeltaError, OSError):  # nothing is lost, and a later run tries again
            self.tables.compact(map(self._names.of_account, self._locked if is_last else []))
        return False

    def findings(self, accounts: Sequence[str]) -> Iterator[Finding]:
        try:
            with self._translate_errors():
                check_lake(self.tables, accounts)
                found = len(self.tables.datasets())
        except (DestinationError, OwnershipError) as error:
            yield error_finding("destination", error)
        else:
            yield Finding("destination", "ok", f"{self} is accessible; accounts: {found}")

    def data_dir(self) -> Path:
        return Path(self.tables.root) if self.tables.is_local else self.working_dir().parent

    @contextmanager
    def snapshot(self) -> Iterator[Mapping[str, str]]:
        """Records the current versions of all tables in a file that readers use to pin them.

        Built views (destinations/delta/built_views.py) have no versions and are read in their current state.
        """
        with self._translate_errors(), TemporaryDirectory(prefix="pickups-versions-") as folder:
            versions = Path(folder) / "versions.json"
            versions.write_text(json.dumps(self.tables.versions(self.tables.datasets())), encoding="utf-8")
            yield {VERSIONS_VARIABLE: str(versions)}

    @contextmanager
    def read_session(self, only: PickupFilter) -> Iterator[DuckDBSession]:
        with self._memory_session() as connection:
            with self._translate_errors():
                if versions := os.environ.get(VERSIONS_VARIABLE):
                    self.tables.pin_versions(json.loads(Path(versions).read_text(encoding="utf-8")))
                read_lake_mark(self.tables)  # raises NewerLayout
                attach_published(connection, self.tables)
            there = connection.in_catalog("published")
            if not (there.columns("pickups") and there.columns("pickup_runs")):  # the first load is incomplete
                raise NoData(str(self))
            create_filtered_views(connection, only)
            if only == ALL_PICKUPS and get_setting("publish.views") == "built":
                use_exported_views(connection, f"{self}/{self._names.analytics}")
            yield connection

    @contextmanager
    def _memory_session(self) -> Iterator[DuckDBSession]:
        """Opens an in-memory database that can read the lake's files.

        Files in a bucket are read through dlt's library, because DuckDB would have to download an extension.
        """
        with open_database(IN_MEMORY, names=self._names) as connection:
            if not self.tables.is_local:
                connection.connection.register_filesystem(object_store.caching_filesystem(self.tables.filesystem))
            yield connection

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not (isinstance(error, (DeltaError, OSError)) or object_store.is_object_store_error(error)):
                raise
            raise DestinationError(str(self), " ".join(str(error).split())[:300], REMEDY) from error


def delta_backend(names: SchemaNames) -> DeltaBackend:
    """Returns the backend of the configured lake.

    Args:
        names: the names of our datasets and of the views.

    Raises:
        SettingsError: a setting is missing, or the address contains a character that would be read as a wildcard.
    """
    import dlt

    unblock()
    destination = dlt.destinations.filesystem()
    found = DeltaBackend(destination, resolve_configuration(destination, names.data), names)
    if stands_for_others := sorted(set(found.tables.address) & set("[]{}*?#")):
        raise SettingsError(
            f"[destination.filesystem] bucket_url: {found} contains {stands_for_others[0]!r}, which has a special "
            "meaning when files are read. Choose an address without this character."
        )
    return found
