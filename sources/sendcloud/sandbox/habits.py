"""What a carrier's profile makes of one booking: its window, its number, the moment someone cancels it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Final

from .carriers import ZONES, Carrier

LETTERS: Final = str.maketrans("0123456789ABCDEF", "QECLO4D8GM1PRTXZ")


@dataclass(frozen=True, slots=True)
class Booking:
    """What is settled at the moment of booking."""

    carrier: Carrier
    country: str
    at: datetime


def window(booking: Booking, random: Random) -> tuple[datetime, datetime | None]:
    """When the pickup's window opens and closes; None when open-ended. Business hours are those of the country."""
    zone = ZONES[booking.country]
    hour, until = random.choice(booking.carrier.windows)
    day = booking.at.astimezone(zone).date()
    for _ in range(random.choice(booking.carrier.lead_days)):
        day = next_working_day(day)
    if random.random() < booking.carrier.saturdays:
        day += timedelta(days=(5 - day.weekday()) % 7)
    elif day.weekday() >= 5:
        day = next_working_day(day)
    opens = datetime.combine(day, time(hour), zone).astimezone(UTC)
    if opens < booking.at + timedelta(hours=1):
        day = next_working_day(day)
        opens = datetime.combine(day, time(hour), zone).astimezone(UTC)
    closes = datetime.combine(day, time(until), zone).astimezone(UTC) if until else None
    if random.random() < booking.carrier.odd_minutes:
        late = timedelta(milliseconds=random.randrange(3_600_000))
        return opens + late, closes + late if closes else None
    return opens, closes


def next_working_day(day: date) -> date:
    """The next Monday to Friday; public holidays count as working days here."""
    return day + timedelta(days=3 if day.weekday() == 4 else 2 if day.weekday() == 5 else 1)


def cancellation(carrier: Carrier, answered: datetime, opens: datetime, random: Random) -> datetime:
    """When someone cancels: soon after the carrier's answer, or in the day before the window; never once it is open."""
    room = opens - answered
    if random.random() < carrier.cancelled_early:
        return answered + min(timedelta(seconds=random.uniform(5, 2_700)), room * random.random())
    before = timedelta(minutes=random.uniform(5, 1_200))
    return opens - (before if before < room else room * random.random())


def tracking_number(booking: Booking, opens: datetime, random: Random) -> str:
    """A number in one of the carrier's formats."""
    bits = random.getrandbits(64)
    digits, letters = f"{bits:020d}"[::-1], f"{bits:016X}"
    return random.choice(booking.carrier.tracking).format(
        day=opens, booked=booking.at, digits=digits, hex=letters, letters=letters.translate(LETTERS)
    )
