"""The two files of an installation that has no server: the one that runs write, and the one that people read."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pipelines import in_place
from pipelines.check_files import files
from pipelines.errors import DestinationFailed
from pipelines.in_place import sweep_leftovers
from pipelines.lock import one_run_at_a_time
from pipelines.publish import clear_away, publish, shrink
from pipelines.store import DATASET
from pipelines.warehouse import DatabaseError, Session, checkpoint, destination_of, opened, prepare, reading_file

if TYPE_CHECKING:
    from dlt.common.destination import Destination
    from dlt.extract import DltSource

    from pipelines.finding import Finding
    from pipelines.narrow import Only


@dataclass(frozen=True)
class Files:
    """A place to write, see store.py. All accounts share it, and its lock."""

    warehouse: Path
    published: Path
    read: Path  # the demo's as long as nothing is published

    def __str__(self) -> str:
        return str(self.warehouse)

    def exists(self) -> bool:
        return self.warehouse.exists()

    def locked(self, accounts: Sequence[str], wait_seconds: float) -> AbstractContextManager[None]:
        return one_run_at_a_time(self.warehouse, wait_seconds)

    def make_sure_of_lock(self) -> None:
        """The operating system holds it as long as this process lives."""

    def prepare(self, accounts: Sequence[str]) -> None:
        sweep_leftovers(self.published)
        clear_away(self.warehouse)
        prepare(self.warehouse)

    def opened(self) -> AbstractContextManager[Session]:
        return opened(self.warehouse, backup=self.published)

    def loads_once(self) -> bool:
        return True

    def checkpoint(self) -> None:
        checkpoint(self.warehouse, self.published)

    def destination(self) -> Destination[Any, Any]:
        return destination_of(self.warehouse)

    def fit(self, source: DltSource) -> None:
        """As the source says."""

    def dataset(self, account: str) -> str:
        return DATASET

    def scratch(self) -> Path:
        """Beside the warehouse, or under DLT_DATA_DIR with a mark of its path."""
        if base := os.environ.get("DLT_DATA_DIR"):
            mark = hashlib.sha256(str(self.warehouse).encode()).hexdigest()[:8]
            return Path(base) / "pipelines" / f"{self.warehouse.stem}-{mark}"
        return self.warehouse.parent / ".dlt-pipelines" / self.warehouse.stem

    def publish(self) -> bool:
        shrink(self.warehouse)
        try:
            publish(self.warehouse, self.published)
        except (OSError, DatabaseError) as error:
            left = "The pickups are loaded; the published file is as it was. Mend the cause and run again."
            raise DestinationFailed(str(self.published), str(error).split("\n")[0], left) from error
        return True

    def readable(self, only: Only) -> AbstractContextManager[Session]:
        return reading_file(self.read, only)

    def findings(self) -> Iterator[Finding]:
        return files(self.warehouse, self.published)

    def lies_in(self) -> Path:
        return self.published.parent

    def is_demo(self) -> bool:
        return self.read != self.published

    @contextmanager
    def held_still(self) -> Iterator[Mapping[str, str]]:
        """Another name for the published file: publishing renames and writes into no file, so a link is enough; where
        there can be none, a copy.
        """
        sweep_leftovers(self.read, "still", older_than_seconds=in_place.A_DAY)
        with tempfile.TemporaryDirectory() as folder:
            still = self.read.with_name(f".{self.read.name}.{uuid4().hex}.still")
            try:
                os.link(self.read.resolve(), still)
            except OSError:
                still = Path(shutil.copyfile(self.read, Path(folder) / self.read.name))
            try:
                yield {"PUBLISH__PATH": str(still)}
            finally:
                still.unlink(missing_ok=True)
