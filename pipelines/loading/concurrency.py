"""Loads several accounts concurrently: each account is read on its own thread, and only one account writes at a time.

Reading takes most of the time because the API limits each account's request rate. Writes must not overlap because dlt's
loads share a staging dataset and DuckDB rejects concurrent changes to its catalog.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypeVar

from pipelines.errors import Interrupted

MAX_CONCURRENT = 4  # each account beyond the first keeps a load package of about 100 MB in memory (2026-11)
JOIN_SECONDS = 2.0

Item = TypeVar("Item")


class WriteLock:
    """A lock that allows only one account to write at a time, used as `with write_lock:`.

    After `close`, an attempt to acquire the lock raises Interrupted.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            self.check()
        except Interrupted:
            self._lock.release()
            raise

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._lock.release()

    def check(self) -> None:
        """Raises Interrupted if the lock is closed, because data read afterwards could not be loaded."""
        if self._closed:
            raise Interrupted

    def close(self) -> None:
        """Closes the lock to later writers, and waits until the current writer has released it."""
        self._closed = True
        with self._lock:
            pass


def run_concurrently(
    items: Sequence[Item],
    work: Callable[[Item], None],
    write_lock: WriteLock,
    meanwhile: Callable[[], None] | None = None,
) -> None:
    """Calls `work` for every item, on up to MAX_CONCURRENT threads.

    A single item is processed on the calling thread, unless `meanwhile` is given.

    The threads are daemons, so a thread that waits for a response or a retry does not keep the process alive after
    Ctrl-C. If an exception interrupts the calling thread, the write lock is closed and the exception is re-raised.
    Data that is still being read is then discarded.

    Args:
        items: the items to process, in the order in which to start them.
        work: the function to call. The function must not raise an error.
        write_lock: the lock that `work` holds while it writes.
        meanwhile: called on the calling thread at least once every JOIN_SECONDS while items are being processed.
    """
    if len(items) <= 1 and not meanwhile:
        for item in items:
            work(item)
        return
    left = deque(items)
    threads = [
        threading.Thread(target=_work_off, args=(left, work), daemon=True)
        for _ in range(min(MAX_CONCURRENT, len(items)))
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.5)  # on Windows, Ctrl-C can't interrupt a join without a timeout
                if meanwhile:
                    meanwhile()
    except BaseException:
        left.clear()
        write_lock.close()
        for thread in threads:
            if thread.is_alive():  # one that was not started can't be joined, and the error would hide Ctrl-C
                thread.join(JOIN_SECONDS / len(threads))
        raise


def _work_off(left: deque[Item], work: Callable[[Item], None]) -> None:
    while left:
        try:
            item = left.popleft()
        except IndexError:  # another thread took the last item
            return
        work(item)
