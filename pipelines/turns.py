"""Several accounts at once: each is read on a thread of its own, and written when it is its turn.

Reading is what takes long, for the API sets the pace of each account. Writing is for one at a time: dlt's loads share
a staging dataset, and two that change DuckDB's catalogue at once fail one another.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypeVar

from pipelines.errors import Interrupted

AT_ONCE = 4  # a package of each is in memory at once, see README.md
SECONDS_TO_END = 2.0

Item = TypeVar("Item")


class Turn:
    """`with turn:` waits until nobody else writes. Raises Interrupted once it is closed."""

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
        """Raises Interrupted where there will be no turn any more: what is read now would be read for nothing."""
        if self._closed:
            raise Interrupted

    def close(self) -> None:
        """Lets whoever has the turn come to the end of it; nobody has one afterwards."""
        self._closed = True
        with self._lock:
            pass


def for_each(items: Sequence[Item], work: Callable[[Item], None], turn: Turn) -> None:
    """Does the work for every item, which must raise nothing: for one here and now, for more on threads, four at once.

    The threads are daemons: whoever waits for an answer, or for the next try, keeps no process alive after Ctrl-C.
    What interrupts this thread closes the turn and is raised; what is still being read then is for nobody.
    """
    if len(items) <= 1:
        for item in items:
            work(item)
        return
    left = deque(items)
    threads = [threading.Thread(target=_take, args=(left, work), daemon=True) for _ in range(min(AT_ONCE, len(items)))]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.5)  # without a limit, Ctrl-C would not be heard on Windows
    except BaseException:
        left.clear()
        turn.close()
        for thread in threads:
            thread.join(SECONDS_TO_END / len(threads))
        raise


def _take(left: deque[Item], work: Callable[[Item], None]) -> None:
    while left:
        try:
            item = left.popleft()
        except IndexError:  # another thread was quicker
            return
        work(item)
