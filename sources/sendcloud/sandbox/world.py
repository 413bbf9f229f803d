"""Defines a simulated world of pickups. The time in the world is `world.clock`, which moves only when you move it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from threading import RLock
from typing import Any, Final, Self

from .bookings import FIRST_ID, seeded
from .timeline import ABSENT, Absent, Pickup, Record, utc, wire, wire_time

NOON_TO_FIVE: Final = (timedelta(hours=12), timedelta(hours=17))
ALWAYS: Final = datetime.min.replace(tzinfo=UTC)


class World:
    """An account's pickups with all past and future changes. You can change a world while a server is using it."""

    def __init__(self, seed: int = 7, clock: datetime | None = None) -> None:
        self.seed = seed
        self.version = 0
        """A counter that increases whenever the list may have changed: at every change, and when the clock moves."""
        self._clock = utc(clock or datetime(2026, 11, 23, 8, tzinfo=UTC))
        self._pickups: list[Pickup] = []
        self._by_id: dict[int, Pickup] = {}
        self._newest = FIRST_ID  # the highest of all ids and positions
        self._goes_by_id = True
        self._lock = RLock()

    @classmethod
    def seeded(cls, count: int, *, seed: int = 7, until: datetime, days: float = 180, carriers: int = 9) -> Self:
        """Creates a world of `count` pickups booked in the `days` before `until`, and sets the clock to `until`.

        The same arguments always create the same world.
        """
        world = cls(seed, until)
        since = world.clock - timedelta(days=days)
        for pickup in seeded(count, random=Random(seed), since=since, until=world.clock, carriers=carriers):
            world._add(pickup, pickup.position)
        return world

    @classmethod
    def of(cls, records: Iterable[Record], clock: datetime | None = None) -> Self:
        """Creates a world of exactly the given wire records, in the given order, regardless of their ids.

        The list always shows all of the records.
        """
        world = cls(clock=clock)
        world._goes_by_id, world._newest = False, 0
        for record in reversed(list(records)):
            world.put(record, ALWAYS)
        return world

    @property
    def clock(self) -> datetime:
        """The current time of the world, in UTC."""
        return self._clock

    @clock.setter
    def clock(self, instant: datetime) -> None:
        with self._lock:
            self._clock = utc(instant)
            self.version += 1

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0) -> None:
        """Moves the clock forward."""
        self.clock += timedelta(days=days, hours=hours, minutes=minutes)

    def listed(self, at: datetime | None = None) -> list[Pickup]:
        """Returns the pickups that the list shows at the given time (default: the clock), newest first."""
        at = self._instant(at)
        with self._lock:
            shown = [pickup for pickup in self._pickups if pickup.is_listed(at)]
        return sorted(shown, key=lambda pickup: -pickup.position)

    def records(self, at: datetime | None = None) -> list[Record]:
        """Returns the wire records that the list shows at the given time (default: the clock), newest first."""
        at = self._instant(at)
        return [pickup.record(at) for pickup in self.listed(at)]

    def record(self, id: int) -> Record:  # noqa: A002 - the API uses this name
        """Returns the wire record of the pickup at the current time of the clock.

        Raises:
            KeyError: the list does not show the pickup.
        """
        pickup = self._by_id[id]
        if not pickup.is_listed(self.clock):
            raise KeyError(id)
        return pickup.record(self.clock)

    def book(
        self,
        *,
        created_at: datetime | None = None,
        carrier: str = "dhl_express",
        country: str = "NL",
        pickup_from: datetime | None = None,
        pickup_until: datetime | Absent | None = None,
        pickup_status: str = "Created",
        tracking_number: str | Absent | None = "PRG220406003404",
        contract: int | Absent | None = ABSENT,
        cancelled_at: datetime | Absent | None = None,
        id: int | None = None,  # noqa: A002
        listed_from: datetime | None = None,
        **extra: Any,
    ) -> int:
        """Books a pickup and returns its id.

        The arguments are the fields of the wire record, and ABSENT omits a field. If `pickup_from` is missing, the
        window is 12:00 to 17:00 UTC two days after the booking. If only `pickup_from` is given, the window is
        open-ended.

        Args:
            created_at: the booking time. The default is the current time of the clock.
            id: the pickup's id. The default is the next free number.
            listed_from: the time from which the list shows the pickup. The default is `created_at`.
            extra: additional fields of the wire record. Times are written in the API's format.
        """
        with self._lock:
            created_at = self._instant(created_at)
            if pickup_from is None:
                midnight = created_at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
                pickup_from = midnight + NOON_TO_FIVE[0]
                pickup_until = midnight + NOON_TO_FIVE[1] if pickup_until is None else pickup_until
            number = self._newest + 1 if id is None else id
            born = {
                "id": number,
                "pickup_from": pickup_from,
                "pickup_until": pickup_until,
                "country": country,
                "carrier": carrier,
                "tracking_number": tracking_number,
                "pickup_status": pickup_status,
                "created_at": created_at,
                "cancelled_at": cancelled_at,
                "contract": contract,
                **extra,
            }
            position = number if self._goes_by_id else self._newest + 1
            self._add(Pickup(position, utc(listed_from or created_at), wire(born)), number)
        return number

    def put(self, record: Record, at: datetime | None = None) -> int:
        """Lists any record, even an invalid one, as the newest record from the given time on (default: the clock).

        Returns:
            The number that identifies the record in `change`, `cancel` and `remove`. If the record has an integer id,
            that id is the number.
        """
        with self._lock:
            own, position = record.get("id"), self._newest + 1
            number = own if type(own) is int else position
            self._add(Pickup(position, self._instant(at), wire(record)), number)
        return number

    def change(self, id: int, at: datetime | None = None, **fields: Any) -> None:  # noqa: A002
        """Changes any fields of a pickup, including unknown fields, at the given time (default: the clock)."""
        self._change(id, self._instant(at), fields)

    def cancel(self, id: int, at: datetime | None = None) -> None:  # noqa: A002
        """Cancels a pickup at the given time (default: the clock), and removes its later changes."""
        at = self._instant(at)
        self._change(id, at, {"pickup_status": "Cancelled", "cancelled_at": wire_time(at)}, final=True)

    def fail(self, id: int, at: datetime | None = None) -> None:  # noqa: A002
        """Makes the carrier refuse a pickup at the given time (default: the clock), and removes its later changes."""
        self._change(id, self._instant(at), {"pickup_status": "Failed"}, final=True)

    def remove(self, id: int, at: datetime | None = None) -> None:  # noqa: A002
        """Removes a pickup from the list from the given time on (default: the clock)."""
        with self._lock:
            self._by_id[id].removed_at = self._instant(at)
            self.version += 1

    def _instant(self, at: datetime | None) -> datetime:
        return self.clock if at is None else utc(at)

    def _change(self, number: int, at: datetime, fields: Record, *, final: bool = False) -> None:
        with self._lock:
            self._by_id[number].change(at, fields, final=final)
            self.version += 1

    def _add(self, pickup: Pickup, number: int) -> None:
        with self._lock:
            self._pickups.append(pickup)
            self._by_id[number] = pickup
            self._newest = max(self._newest, number, pickup.position)
            self.version += 1
