"""A lake as the place to write: `[pipeline] destination = "filesystem"`, a folder or a bucket with Delta tables.

Each account has a folder of its own there. What a run asks of its tables is answered by a database in this process's
memory, which is filled from the lake and brought back to it, see lake_session.py.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from deltalake.exceptions import DeltaError

from pipelines import bucket
from pipelines.datasets import PREFIX, dataset_of
from pipelines.errors import DestinationFailed, NotConfigured, NothingYet
from pipelines.finding import Finding, wrong
from pipelines.lake_built import show_built
from pipelines.lake_session import LakeSession, people_read
from pipelines.lake_tables import Tables
from pipelines.lean import do_with_all
from pipelines.lock import one_run_at_a_time
from pipelines.narrow import EVERYTHING, Only, narrow
from pipelines.project import find_project
from pipelines.settings import setting
from pipelines.store import DATASET
from pipelines.warehouse import IN_MEMORY, Session, opened

if TYPE_CHECKING:
    from dlt.common.destination import Destination
    from dlt.extract import DltSource

VERSIONS = "PICKUPS_LAKE_VERSIONS"  # in the environment of who reads for a report
REMEDY = "What was loaded before is as it was: mend the cause (address, keys, network, disk) and run again."


class Lake:
    """A place to write, see store.py."""

    def __init__(self, destination: Destination[Any, Any], config: Any) -> None:
        self._destination = destination
        self.tables = Tables(config)
        if not self.tables.is_local:
            bucket.ask_before_each_job(destination, self.make_sure_of_lock)
        self._session: LakeSession | None = None
        self._locked: list[str] = []
        self._make_sure: list[Callable[[], None]] = []  # that the locks are held still

    def __str__(self) -> str:
        return self.tables.address

    def exists(self) -> bool:
        return bool(self.tables.datasets(PREFIX))

    @contextmanager
    def locked(self, accounts: Sequence[str], wait_seconds: float) -> Iterator[None]:
        """A lock of each account's in the lake: in a folder the operating system's, in a bucket a file that is renewed
        while its run lives, and void half a minute after it died.
        """
        self._make_sure.clear()
        with ExitStack() as held:
            for account in sorted(accounts):
                place = f"{self.tables.root}/{dataset_of(account)}"
                if self.tables.is_local:
                    held.enter_context(one_run_at_a_time(Path(place), wait_seconds))
                else:
                    with self._failing_here():
                        lock = bucket.locked(self.tables.filesystem, place, account, wait_seconds)
                        self._make_sure.append(held.enter_context(lock))
            self._locked = list(accounts)
            yield

    def prepare(self, accounts: Sequence[str]) -> None:
        """dlt makes what must be there."""
        with self._failing_here():
            for account in accounts:
                self.tables.clear_away(dataset_of(account))

    @contextmanager
    def opened(self) -> Iterator[LakeSession]:
        """The run's session; whoever is done with it has what it wrote in the lake."""
        if self._session:
            self._session.look()
            yield self._session
            self._keep(self._session, is_between_pages=True)
            return
        with self._opened() as connection, self._failing_here():
            self._session = LakeSession(connection, self.tables)
            try:
                yield self._session
                self._keep(self._session)
            finally:
                self._session = None

    def loads_once(self) -> bool:
        """In a bucket, the answer to what was done can be lost."""
        return self.tables.is_local

    def checkpoint(self) -> None:
        """What was written is in the lake, but for what a sweep has seen."""
        if self._session:
            self._keep(self._session)

    def make_sure_of_lock(self) -> None:
        """In a folder the operating system holds it as long as this process lives."""
        with self._failing_here():
            for make_sure in self._make_sure:
                make_sure()

    def _keep(self, session: LakeSession, *, is_between_pages: bool = False) -> None:
        self.make_sure_of_lock()
        with self._failing_here():
            session.keep(is_between_pages=is_between_pages)

    def destination(self) -> Destination[Any, Any]:
        return self._destination

    def fit(self, source: DltSource) -> None:
        """As Delta tables, for plain Parquet files can only be added to; dlt replaces rows there by `upsert` only."""
        for resource in source.resources.values():
            how: Any = {"disposition": "merge", "strategy": "upsert"}
            resource.apply_hints(table_format="delta", write_disposition=how)

    def dataset(self, account: str) -> str:
        return dataset_of(account)

    def scratch(self) -> Path:
        mark = hashlib.sha256(str(self).encode()).hexdigest()[:8]
        base = Path(os.environ.get("DLT_DATA_DIR") or find_project() / "data")
        return base / "pipelines" / f"lake-{mark}"

    def publish(self) -> bool:
        """The tables are what people read; now and then their small files are made few."""
        with suppress(DeltaError, OSError):  # the run is done, and nothing of it is missing: another day, then
            self.tables.tidy(map(dataset_of, self._locked))
        return False

    def findings(self) -> Iterator[Finding]:
        try:
            with self._failing_here():
                accounts = len(self.tables.datasets(PREFIX))
        except DestinationFailed as error:
            yield wrong("destination", error)
        else:
            yield Finding("destination", "ok", f"{self} can be looked into, accounts there: {accounts}")

    def lies_in(self) -> Path:
        return Path(self.tables.root) if self.tables.is_local else self.scratch().parent

    def is_demo(self) -> bool:
        return False

    @contextmanager
    def held_still(self) -> Iterator[Mapping[str, str]]:
        """By the versions of all tables, in a file; views that were built (lake_built.py) are as they are."""
        with self._failing_here(), TemporaryDirectory(prefix="pickups-versions-") as folder:
            versions = Path(folder) / "versions.json"
            versions.write_text(json.dumps(self.tables.versions(self.tables.datasets(PREFIX))), encoding="utf-8")
            yield {VERSIONS: str(versions)}

    @contextmanager
    def readable(self, only: Only) -> Iterator[Session]:
        with self._opened() as connection:
            with self._failing_here():
                if versions := os.environ.get(VERSIONS):
                    self.tables.hold_still(json.loads(Path(versions).read_text(encoding="utf-8")))
                people_read(connection, self.tables)
            there = connection.beside("published")
            if not (there.columns("pickups") and there.columns("pickup_runs")):  # a first load not over
                raise NothingYet(str(self))
            narrow(connection, only)
            if only == EVERYTHING and setting("publish.views") == "built":
                show_built(connection, f"{self}/analytics")
            yield connection

    @contextmanager
    def _opened(self) -> Iterator[Session]:
        """A database in memory that can read the lake's files: in a bucket by the same library as all else does, for
        DuckDB's own would have to be downloaded.
        """
        with opened(IN_MEMORY) as connection:
            if not self.tables.is_local:
                connection.read_through(bucket.reading_once(self.tables.filesystem))
            yield connection

    @contextmanager
    def _failing_here(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not (isinstance(error, (DeltaError, OSError)) or bucket.is_of_a_bucket(error)):
                raise
            raise DestinationFailed(str(self), " ".join(str(error).split())[:300], REMEDY) from error


def lake() -> Lake:
    """The lake that the configuration names. Raises NotConfigured where a part of it is missing."""
    import dlt
    from dlt.common.configuration.exceptions import ConfigurationException

    do_with_all()
    destination = dlt.destinations.filesystem()
    try:
        found = Lake(destination, destination.configuration(destination.spec()._bind_dataset_name(DATASET)))
    except ConfigurationException as error:
        raise NotConfigured(" ".join(str(error).split())) from None
    if stands_for_others := sorted(set(found.tables.address) & set("[]{}*?#")):
        raise NotConfigured(
            f"[destination.filesystem] bucket_url: {found} has a {stands_for_others[0]!r}, which stands for other "
            "characters where files are read. Choose a folder without."
        )
    return found
