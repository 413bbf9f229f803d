"""Requests pages before they are needed, so that the next package is read while the current one is being loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Prefetcher(Generic[Item]):
    """Runs an iterator in a separate thread, at most `at_most` items ahead of the consumer.

    If the iterator raises an exception, the consumer receives the exception after all earlier items. `last` is the most
    recently taken item, or None before the first item. If you don't consume all the items, call `close`.
    """

    def __init__(self, items: Iterator[Item], at_most: int) -> None:
        self.last: Item | None = None
        self._items = items
        self._ready: Queue[Item | BaseException] = Queue(at_most)
        self._closed = Event()
        Thread(target=self._work, name="pages ahead", daemon=True).start()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        item = self._ready.get()
        if isinstance(item, BaseException):
            self._ready.put(item)  # the next call raises the same exception
            raise item
        self.last = item
        return item

    def close(self) -> None:
        """Stops the thread after its current item, and discards the items in the queue."""
        self._closed.set()
        with suppress(Empty):
            while True:
                self._ready.get_nowait()

    def _work(self) -> None:
        try:
            for item in self._items:
                self._ready.put(item)
                if self._closed.is_set():
                    return
            self._ready.put(StopIteration())
        except BaseException as error:  # the consumer of the items must receive the exception
            self._ready.put(error)
