"""Generates random bookings from a seed.

Each booking is generated with all its later changes, so a world shows these changes when its clock moves forward.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from random import Random
from typing import Final

from .carriers import CARRIERS, ZONES, Carrier
from .timeline import Pickup, Record, wire_time

FIRST_ID: Final = 290_000
LETTERS: Final = str.maketrans("0123456789ABCDEF", "QECLO4D8GM1PRTXZ")

# Oddities from the published examples. Unless a comment says otherwise, each value is a share of all pickups.
TWIN: Final = 0.004  # `created_at` equals that of the previous booking, to the microsecond.
WHOLE_SECOND: Final = 0.02  # `created_at` has no fraction of a second.
LISTED_LATE: Final = 0.01  # The list shows the pickup minutes after `created_at`, and after pickups with higher ids.
NUMBERED_LATE: Final = 0.01  # The id is assigned minutes after `created_at`, so a later pickup may have a lower id.
LATE_MINUTES: Final = 50.0  # The maximum delay; a reader that goes back one hour therefore misses nothing.
PAST_WINDOW: Final = 0.05  # The share of failed pickups that have a window a year too early.
UNTIL_BEFORE_FROM: Final = 0.001
NO_TRACKING: Final = 0.003  # The carrier accepted the pickup without a tracking number.
NULL_CONTRACT: Final = 0.01  # This is a share of the pickups of carriers that have contracts.
NEVER_ANSWERED: Final = 0.002  # The status stays Announcing forever.
SLOW_ANSWER: Final = 0.03  # The carrier takes up to 4 hours to respond, instead of up to 5 minutes.

WEEKEND: Final = 0.08  # Bookings per weekend day, relative to a working day.
AFTER_HOURS: Final = 0.05  # Bookings at any hour of the day, instead of between 8:00 and 18:00 local time.
YEAR: Final = timedelta(days=365)


def seeded(count: int, *, random: Random, since: datetime, until: datetime, carriers: int) -> Iterator[Pickup]:
    """Yields `count` pickups in order of id. Every pickup is booked after `since` and listed by `until`."""
    drawn = [pickup(booking, random, until) for booking in bookings(count, random, since, until, CARRIERS[:carriers])]
    drawn.sort(key=lambda numbered: numbered[0])
    number = FIRST_ID
    for _, one in drawn:
        number += 1 + int(random.expovariate(0.3))
        one.position = one.born["id"] = number
        yield one


def bookings(
    count: int, random: Random, since: datetime, until: datetime, carriers: tuple[Carrier, ...]
) -> Iterator[Booking]:
    """Yields `count` bookings in no particular order."""
    shares = list(accumulate(carrier.share for carrier in carriers))
    booking: Booking | None = None
    for _ in range(count):
        if booking is None or random.random() >= TWIN:
            carrier = random.choices(carriers, cum_weights=shares)[0]
            country = random.choice(carrier.countries)
            booking = Booking(carrier, country, moment(random, country, since, until))
        yield booking


def moment(random: Random, country: str, since: datetime, until: datetime) -> datetime:
    """Returns a plausible booking time between `since` and `until`, mostly in local office hours on working days."""
    span = until - since
    for _ in range(40):  # a span of one night contains no office hours, so the last attempt uses any time
        day = (since + span * random.random()).date()
        if day.weekday() >= 5 and random.random() >= WEEKEND:
            continue
        hour = random.randrange(24) if random.random() < AFTER_HOURS else random.randrange(8, 18)
        local = datetime(day.year, day.month, day.day, hour, tzinfo=ZONES[country])
        fraction = 0 if random.random() < WHOLE_SECOND else random.randrange(1, 1_000_000)
        at = local.astimezone(UTC) + timedelta(seconds=random.randrange(3600), microseconds=fraction)
        if since < at <= until:
            return at
    return until - span * random.random()


def pickup(booking: Booking, random: Random, until: datetime) -> tuple[datetime, Pickup]:
    """Returns the time at which the booking gets its id, and the pickup with all its later changes."""
    numbered, listed = delays(booking.at, random, until)
    opens, closes = window(booking, random)
    failed = random.random() < booking.carrier.failed
    shown = opens - YEAR if failed and random.random() < PAST_WINDOW else opens
    if closes and random.random() < UNTIL_BEFORE_FROM:
        closes -= YEAR
    born = {
        "id": 0,
        "pickup_from": wire_time(shown),
        "pickup_until": wire_time(closes - (opens - shown)) if closes else None,
        "country": booking.country,
        "carrier": booking.carrier.code,
        "tracking_number": "",
        "pickup_status": "Announcing",
        "created_at": wire_time(booking.at),
        "cancelled_at": None,
    }
    if booking.carrier.contracts:
        known = random.random() >= NULL_CONTRACT
        born["contract"] = random.choice(booking.carrier.contracts) if known else None
    return numbered, Pickup(0, listed, born, tuple(fate(booking, opens, failed, random)))


def delays(booked: datetime, random: Random, until: datetime) -> tuple[datetime, datetime]:
    """Returns the times at which a booking gets its id and is first listed. Usually, both happen immediately."""
    chance = random.random()
    if chance >= LISTED_LATE + NUMBERED_LATE:
        return booked, booked
    late = booked + timedelta(minutes=random.uniform(1, LATE_MINUTES))
    return (booked if chance < LISTED_LATE else late), min(late, until)


def fate(booking: Booking, opens: datetime, failed: bool, random: Random) -> Iterator[tuple[datetime, Record]]:
    """Yields the changes after the booking, with their times.

    The carrier accepts or refuses the pickup. Some accepted pickups are cancelled before the window.
    """
    if random.random() < NEVER_ANSWERED:
        return
    seconds = random.uniform(600, 14_400) if random.random() < SLOW_ANSWER else random.uniform(2, 300)
    answered = booking.at + min(timedelta(seconds=seconds), (opens - booking.at) / 2)
    if failed:
        yield answered, {"pickup_status": "Failed"}
        return
    number = "" if random.random() < NO_TRACKING else tracking_number(booking, opens, random)
    yield answered, {"pickup_status": "Created", "tracking_number": number}
    if random.random() < booking.carrier.cancelled:
        at = cancellation(booking.carrier, answered, opens, random)
        stays = random.random() < booking.carrier.stays_created
        yield at, {"cancelled_at": wire_time(at)} | ({} if stays else {"pickup_status": "Cancelled"})


@dataclass(frozen=True, slots=True)
class Booking:
    """The attributes that are fixed at booking time."""

    carrier: Carrier
    country: str
    at: datetime


def window(booking: Booking, random: Random) -> tuple[datetime, datetime | None]:
    """Returns the times at which the pickup's window opens and closes, in UTC.

    If the window is open-ended, the closing time is None. Business hours are in the country's local time.
    """
    zone = ZONES[booking.country]
    hour, *until = random.choice(booking.carrier.windows)
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
    closes = datetime.combine(day, time(until[0]), zone).astimezone(UTC) if until else None
    if random.random() < booking.carrier.odd_minutes:
        late = timedelta(milliseconds=random.randrange(3_600_000))
        return opens + late, closes + late if closes else None
    return opens, closes


def next_working_day(day: date) -> date:
    """Returns the next weekday (Monday to Friday). Public holidays count as working days."""
    return day + timedelta(days=3 if day.weekday() == 4 else 2 if day.weekday() == 5 else 1)


def cancellation(carrier: Carrier, answered: datetime, opens: datetime, random: Random) -> datetime:
    """Returns the time of cancellation: soon after the carrier's response, or within a day before the window.

    A pickup is never cancelled after its window has opened.
    """
    room = opens - answered
    if random.random() < carrier.cancelled_early:
        return answered + min(timedelta(seconds=random.uniform(5, 2_700)), room * random.random())
    before = timedelta(minutes=random.uniform(5, 1_200))
    return opens - (before if before < room else room * random.random())


def tracking_number(booking: Booking, opens: datetime, random: Random) -> str:
    """Returns a random tracking number in one of the carrier's formats."""
    bits = random.getrandbits(64)
    digits, letters = f"{bits:020d}"[::-1], f"{bits:016X}"
    return random.choice(booking.carrier.tracking).format(
        day=opens, booked=booking.at, digits=digits, hex=letters, letters=letters.translate(LETTERS)
    )
