"""One run at a time: a lock that the operating system takes back when its holder dies, however it dies."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from pipelines.errors import AnotherRun, DestinationFailed


@contextmanager
def one_run_at_a_time(warehouse: Path, wait_seconds: float = 0) -> Iterator[None]:
    """Holds the lock beside the warehouse file; raises AnotherRun if another process has it for `wait_seconds` more.

    The lock's file stays when the run is over; only the operating system's lock on it counts. Who holds it is
    written to a second file, because taking a lock empties the first.
    """
    lock_path = warehouse.with_suffix(".lock")
    holder_path = warehouse.with_suffix(".holder")
    lock = FileLock(lock_path, timeout=wait_seconds)
    try:
        warehouse.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        holder_path.write_text(f"process {os.getpid()} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
    except Timeout:
        raise AnotherRun(lock_path, _holder(holder_path)) from None
    except OSError as error:
        lock.release()
        remedy = {
            errno.ENOSPC: "Make room on that disk.",
            errno.EROFS: "The disk is mounted read-only, as after an error of its own: look at the system's log.",
        }.get(
            error.errno or 0,
            "Check that the folder is writable, and that nothing else has the lock's or holder's name.",
        )
        raise DestinationFailed(str(lock_path), str(error), remedy) from None
    try:
        yield
    finally:
        holder_path.unlink(missing_ok=True)
        lock.release()


def _holder(path: Path) -> str:
    try:
        return path.read_text() or "holder unknown"
    except OSError:
        return "holder unknown"
