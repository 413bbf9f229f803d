"""Decides which rows appear on a page, and creates the cursors of the page.

As in the published links, a cursor contains an id, and the list is sorted by id.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl
from zlib import crc32

from .timeline import Pickup
from .world import World

Order = Literal["descending", "ascending", "shuffled", "offset"]
"""The order of the ids. `offset` is also descending, but its cursors count rows, so an insertion shifts the pages."""
Key = tuple[int, int]


class InvalidCursor(ValueError):
    """Raised for a cursor that the list did not issue."""


class Page(NamedTuple):
    """The pickups on a page, and the cursors of the adjacent pages. At either end of the list, the cursor is None."""

    pickups: list[Pickup]
    next: str | None
    previous: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """The complete list at one point in time, sorted once for all of its pages."""

    pickups: list[Pickup]
    keys: list[Key]
    order: Order
    seed: int
    at: datetime

    @classmethod
    def of(cls, world: World, order: Order) -> Listing:
        """Returns the list of the world's pickups at the current time of its clock."""
        at = world.clock
        empty = cls([], [], order, world.seed, at)
        pickups = world.listed(at)
        if order not in ("descending", "offset"):
            pickups.sort(key=lambda pickup: empty.key(pickup.position))
        return cls(pickups, [empty.key(pickup.position) for pickup in pickups], order, world.seed, at)

    def key(self, position: int) -> Key:
        """Returns the sort key of a position. Other bookings do not change the key, even in the shuffled order."""
        if self.order == "ascending":
            return position, 0
        if self.order == "shuffled":
            return crc32(b"%d:%d" % (self.seed, position)), position
        return -position, 0

    def page(self, cursor: str | None, limit: int) -> Page:
        """Returns the page at the cursor, or the first page if `cursor` is None.

        Raises:
            InvalidCursor: the list did not issue the cursor.
        """
        start, end = self._bounds(cursor, limit)
        return Page(
            self.pickups[start:end],
            next=self._after(end) if end < len(self.pickups) else None,
            previous=self._before(start, limit) if 0 < start < len(self.pickups) else None,
        )

    def _bounds(self, cursor: str | None, limit: int) -> tuple[int, int]:
        if cursor is None:
            return 0, limit
        marks = decoded(cursor)
        if self.order == "offset":
            start = number(marks, "o")
            return max(start, 0), max(start, 0) + limit
        key = self.key(number(marks, "p"))
        if marks.get("r") == "1":
            end = bisect_left(self.keys, key)
            return max(end - limit, 0), end
        start = bisect_right(self.keys, key)
        return start, start + limit

    def _after(self, end: int) -> str:
        return encoded(f"o={end}" if self.order == "offset" else f"p={self.pickups[end - 1].position}")

    def _before(self, start: int, limit: int) -> str:
        is_offset = self.order == "offset"
        return encoded(f"o={max(start - limit, 0)}" if is_offset else f"r=1&p={self.pickups[start].position}")


def encoded(marks: str) -> str:
    """Returns the opaque form of a cursor: `p=294344` becomes `cD0yOTQzNDQ=`."""
    return b64encode(marks.encode()).decode()


def decoded(cursor: str) -> dict[str, str]:
    """Returns the parts of a cursor: `p` is a position, `r=1` reads backwards from it, and `o` is an offset."""
    try:
        return dict(parse_qsl(b64decode(cursor, validate=True).decode("ascii")))
    except ValueError as error:
        raise InvalidCursor(cursor) from error


def number(marks: dict[str, str], name: str) -> int:
    """Returns one part of a cursor as a number."""
    try:
        return int(marks[name])
    except (KeyError, ValueError) as error:
        raise InvalidCursor(str(marks)) from error
