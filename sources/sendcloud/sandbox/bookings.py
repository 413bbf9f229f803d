"""Seeded bookings: each drawn with its whole future, so that a world need only be looked at later to be further on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import Final

from .carriers import CARRIERS, ZONES, Carrier
from .habits import Booking, cancellation, tracking_number, window
from .timeline import Pickup, Record, wire_time

FIRST_ID: Final = 290_000

# Oddities that the published examples show, and how often: shares of all pickups unless said otherwise.
TWIN: Final = 0.004  # created_at equal to the booking before, to the microsecond
WHOLE_SECOND: Final = 0.02  # created_at without a fraction
LISTED_LATE: Final = 0.01  # shown some minutes after created_at, though the id is older than what was shown before
NUMBERED_LATE: Final = 0.01  # the id is given out some minutes after created_at: ids and times disagree in order
LATE_MINUTES: Final = 50.0  # at most; a reader that goes back an hour misses none
PAST_WINDOW: Final = 0.05  # of the failed: the window lies a year before the booking
UNTIL_BEFORE_FROM: Final = 0.001
NO_TRACKING: Final = 0.003  # accepted, and still no tracking number
NULL_CONTRACT: Final = 0.01  # of those with a contract
NEVER_ANSWERED: Final = 0.002  # stays Announcing for good
SLOW_ANSWER: Final = 0.03  # the carrier takes hours to accept, not seconds

WEEKEND: Final = 0.08  # of the bookings that a working day sees
AFTER_HOURS: Final = 0.05  # booked outside 8 to 18 local time
YEAR: Final = timedelta(days=365)


def seeded(count: int, *, random: Random, since: datetime, until: datetime, carriers: int) -> Iterator[Pickup]:
    """That many pickups booked after `since`, up to `until`, by growing id; all are listed by `until`."""
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
    """That many moments of booking, in no order."""
    shares = list(accumulate(carrier.share for carrier in carriers))
    booking: Booking | None = None
    for _ in range(count):
        if booking is None or random.random() >= TWIN:
            carrier = random.choices(carriers, cum_weights=shares)[0]
            country = random.choice(carrier.countries)
            booking = Booking(carrier, country, moment(random, country, since, until))
        yield booking


def moment(random: Random, country: str, since: datetime, until: datetime) -> datetime:
    """An instant in the interval at which someone would book: mostly a working day, in local office hours."""
    span = until - since
    for _ in range(40):  # a span of one night has no office hours: then any instant will do
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
    """The moment at which the booking gets its number, and the pickup with all that will happen to it."""
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
    """When a booking gets its number, and when it is first listed: nearly always at once."""
    chance = random.random()
    if chance >= LISTED_LATE + NUMBERED_LATE:
        return booked, booked
    late = booked + timedelta(minutes=random.uniform(1, LATE_MINUTES))
    return (booked if chance < LISTED_LATE else late), min(late, until)


def fate(booking: Booking, opens: datetime, failed: bool, random: Random) -> Iterator[tuple[datetime, Record]]:
    """What happens after booking: accepted or refused, and of the accepted some are cancelled before the window."""
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
