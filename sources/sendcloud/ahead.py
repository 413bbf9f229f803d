"""Pages asked for before they are needed: while one package is being loaded, the next is already being read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """An iterator that is run on a thread of its own, at most so many items ahead of whoever takes them.

    What it raises comes at its place in the row. `last` is the item taken last, None before the first. Whoever doesn't
    take all items must `close` it.
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
            self._ready.put(item)  # whoever asks again hears the same
            raise item
        self.last = item
        return item

    def close(self) -> None:
        """Lets the thread end, after the item that it is at; what is ready is thrown away."""
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
        except BaseException as error:  # it belongs to whoever takes the items
            self._ready.put(error)
