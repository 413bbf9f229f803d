"""The account that is measured: pickups over three years, rendered once into pages of 500, newest first.

Two instants of it: `first`, and `later`, eleven days on, when 1 % more were booked and the newest 1 % of before were
cancelled. Windows are five days after booking, so about 1.1 % of the pickups are open at any time. `later` is now,
because a quick run requires that the API's clock and the machine's clock agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

LATER = datetime.now(UTC).replace(microsecond=0)
FIRST = LATER - timedelta(days=11)
SPAN = timedelta(days=1095)
PAGE = 500
FIRST_ID = 100_000
CARRIERS = ("dhl_express", "dpd", "ups", "dhl", "fedex", "correos", "correos_express", "poste_it_delivery")
COUNTRIES = ("NL", "DE", "ES", "FR", "IT", "BE")
RECORD = (
    '{"id":%d,"carrier":"%s","tracking_number":"%s","pickup_from":"%s","pickup_until":"%s","country":"%s",'
    '"pickup_status":"%s","created_at":"%s","cancelled_at":%s,"contract":%s}'
)


class Account(NamedTuple):
    """How many pickups there were at first, how many later, and how many of the first were cancelled in between."""

    pickups: int

    @property
    def percent(self) -> int:
        return self.pickups // 100

    def count(self, instant: str) -> int:
        return self.pickups + (self.percent if instant == "later" else 0)

    def cancelled(self, instant: str) -> int:
        """How many are cancelled then, counted by the rule of `record`: each tenth, and later the newest percent."""
        tenths = (self.count(instant) + 9) // 10
        if instant == "first":
            return tenths
        newest = range(self.pickups - self.percent, self.pickups)
        return tenths + sum(1 for number in newest if number % 10)


def pages(account: Account, instant: str, base_url: str) -> Iterator[bytes]:
    """Every page as it goes over the wire."""
    total = account.count(instant)
    for start in range(0, total, PAGE):
        numbers = range(total - 1 - start, max(total - 1 - start - PAGE, -1), -1)
        following = f'"{base_url}/pickups/?cursor={start + PAGE}&limit={PAGE}"' if start + PAGE < total else "null"
        records = ",".join(record(account, number, instant) for number in numbers)
        yield f'{{"next":{following},"previous":null,"pickups":[{records}]}}'.encode()


def record(account: Account, number: int, instant: str) -> str:
    """The pickup that was booked as the so-manieth, from 0."""
    step = SPAN / account.pickups
    booked = FIRST - SPAN + step * (number + 1)
    opens = booked.replace(minute=0, second=0, microsecond=0) + timedelta(days=5)
    is_cancelled = number % 10 == 0 or (
        instant == "later" and account.pickups - account.percent <= number < account.pickups
    )
    return RECORD % (
        FIRST_ID + number,
        CARRIERS[number % len(CARRIERS)],
        f"PRG{number:012}",
        f"{opens:%Y-%m-%dT%H:%M:%SZ}",
        f"{opens + timedelta(hours=4):%Y-%m-%dT%H:%M:%SZ}",
        COUNTRIES[number % len(COUNTRIES)],
        "Cancelled" if is_cancelled else "Created",
        f"{booked:%Y-%m-%dT%H:%M:%S.%fZ}",
        f'"{booked + timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}"' if is_cancelled else "null",
        number % 3 or "null",
    )
