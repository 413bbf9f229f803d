"""Uses a lock file to allow only one run at a time.

The operating system releases the lock when the process that holds it ends, including after a crash.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TextIO

from pipelines.errors import DestinationError, ForeignObject, RunInProgress
from pipelines.file_access import PRIVATE_FILE_MODE, create_folder, is_own

HOLDER = "process "  # the beginning of a holder file
MAX_HOLDER, HOLDER_TRIES = 200, 100


class Holder(NamedTuple):
    """A process that took the lock, with the time, and whether it was killed before it could release the lock."""

    process: str
    was_killed: bool


@contextmanager
def exclusive_lock(warehouse: Path, wait_seconds: float = 0) -> Iterator[None]:
    """Holds a lock on a file beside the warehouse during the block.

    The lock file is not deleted when the run ends, because only the operating system's lock on the file matters. A
    second file names the process that holds the lock, because acquiring the lock empties the lock file.

    Args:
        warehouse: the file or folder that the lock protects.
        wait_seconds: how long to wait for another process to release the lock.

    Raises:
        RunInProgress: another process still holds the lock after `wait_seconds`.
        ForeignObject: the lock file or the holder file belongs to another program.
        DestinationError: the lock file or the holder file can't be written.
    """
    from filelock import FileLock, Timeout

    lock_path = warehouse.with_suffix(".lock")
    holder_path = warehouse.with_suffix(".holder")
    lock = FileLock(lock_path, timeout=wait_seconds, mode=PRIVATE_FILE_MODE)
    _check_own(lock_path, "")
    _check_own(holder_path, HOLDER)
    try:
        create_folder(warehouse.parent)
        # anyone who can open the file can hold the lock; before 2026-11-28, every user could open the file
        if is_own(lock_path):
            lock_path.chmod(PRIVATE_FILE_MODE)
        lock.acquire()
        holder_path.unlink(missing_ok=True)  # a leftover, or a link
        holder = _write_holder(holder_path)
    except Timeout:
        raise RunInProgress(lock_path, _read_holder(holder_path)) from None
    except OSError as error:
        lock.release()
        remedy = {
            errno.ENOSPC: "Free up disk space.",
            errno.ELOOP: "The lock file is a link, which another user may have made. Remove it.",
            errno.EROFS: "The disk is mounted read-only, possibly after a disk error. Check the system log.",
        }.get(
            error.errno or 0,
            "Check that the folder is writable and that no folder has the name of the lock file or the holder file.",
        )
        raise DestinationError(str(lock_path), str(error), remedy) from None
    try:
        yield
    finally:
        holder.close()
        holder_path.unlink(missing_ok=True)
        lock.release()


@contextmanager
def lock_if_free(warehouse: Path) -> Iterator[None]:
    """Holds the same lock as `exclusive_lock` during the block, if it is free and nothing about it is unusual.

    Does not import filelock, which would take 8 of the 130 ms of CPU of a run that finds nothing (2026-11-29).

    Raises:
        OSError, PipelineError: the lock is not free, or its files are not as a run that ended leaves them.
    """
    try:
        import fcntl
    except ImportError:  # on Windows
        with exclusive_lock(warehouse):
            yield
        return
    lock = os.open(warehouse.with_suffix(".lock"), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as filelock does
        if os.fstat(lock).st_size:
            raise OSError(errno.EEXIST, "the lock file belongs to another program")
        holder_path = warehouse.with_suffix(".holder")
        with _write_holder(holder_path):
            try:
                yield
            finally:
                holder_path.unlink(missing_ok=True)
    finally:
        os.close(lock)


def find_holder(warehouse: Path) -> Holder | None:
    """Returns the process that took the lock last, or None if it ended properly or its file can't be read.

    The process id in the file is no evidence that the process runs. It may run in another container, or another
    process may have the same id by now. On Windows, a killed process is taken for a running one.
    """
    with suppress(OSError, ValueError), warehouse.with_suffix(".holder").open() as file:
        was_killed, process = bool(_lock_now(file)), file.read(MAX_HOLDER)
        return Holder(process, was_killed) if process else None
    return None


def _write_holder(path: Path) -> TextIO:
    """Creates the file, which must not exist, with the description of this process, and returns the open file.

    The open file is locked. If this process is killed, the file remains, but the operating system releases its lock.
    """
    file = path.open("x")
    try:
        file.write(f"{HOLDER}{os.getpid()} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
        file.flush()
        for _ in range(HOLDER_TRIES):  # `find_holder` may be holding the lock for a moment
            if _lock_now(file) is not False:
                break
            time.sleep(0.01)
    except OSError:
        file.close()
        raise
    return file


def _lock_now(file: TextIO) -> bool | None:
    """Locks the file. Returns False if another process has locked it, and None on Windows, where nothing is locked."""
    try:
        import fcntl
    except ImportError:  # Windows would not let other processes read a locked file
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_own(path: Path, beginning: str) -> None:
    """Raises ForeignObject if the file's content shows that it may belong to another program (for example, `uv.lock`).

    A lock file must be empty, and a holder file must be empty or start with `beginning`.
    """
    with suppress(OSError):
        text = path.read_bytes()[:80].decode("utf-8", "replace")
        if text and not (beginning and text.startswith(beginning)):
            remedy = (
                "Give the warehouse another name ([destination.duckdb] credentials), because its lock has this name."
            )
            raise ForeignObject(str(path), "was not created by this program", remedy)


def _read_holder(path: Path) -> str | None:
    """Returns the description of the process that holds the lock, or None if no process is recorded."""
    holder = find_holder(path)
    return holder.process if holder and not holder.was_killed else None
