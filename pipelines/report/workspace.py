"""Creates the temporary folder of a report, and removes the folders of reports that were killed.

The copy of the tables is on disk while a report is computed. The folders of all reports of a user are in one folder,
which only this user can access. Each is locked by its process, and the operating system releases the lock of a process
that was killed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipelines.file_access import PRIVATE_FILE_MODE, is_own_folder, temporary_folder

NAME, LOCK = "sendcloud-pickups-report", "in-use.lock"
WAIT_SECONDS = 10  # creating a folder and removing the others' folders takes less than a second


@contextmanager
def private_workspace() -> Iterator[Path]:
    """Yields a new folder that only this user can access, and removes the folder after the block.

    If another user has created the folder of all reports, this report uses a folder of its own and removes no other.
    """
    shared = temporary_folder(NAME)
    with ExitStack() as stack:
        if not is_own_folder(shared, create=True):
            yield Path(stack.enter_context(tempfile.TemporaryDirectory()))
            return
        with FileLock(shared / LOCK, timeout=WAIT_SECONDS, mode=PRIVATE_FILE_MODE):
            _remove_leftovers(shared)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=shared)))
            stack.enter_context(_lock_of(folder))
        yield folder


def _remove_leftovers(shared: Path) -> None:
    """Removes the folders that no living process has locked. The caller holds the lock, so none is just being made."""
    for folder in shared.iterdir():
        if is_own_folder(folder) and not _is_in_use(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_in_use(folder: Path) -> bool:
    try:
        with _lock_of(folder):
            return False
    except Timeout:
        return True


def _lock_of(folder: Path) -> FileLock:
    return FileLock(folder / LOCK, timeout=0, mode=PRIVATE_FILE_MODE)
