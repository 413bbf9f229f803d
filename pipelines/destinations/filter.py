"""Selects pickups by carrier and booking time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import NamedTuple

Since = str | date | None  # datetime is a subclass of date


class UnknownCarrier(ValueError):
    """Raised when a filter names a carrier that no pickup has. The message lists the available carriers."""


class PickupFilter(NamedTuple):
    """Selects the pickups of some carriers that were booked at or after a given time.

    Attributes:
        carriers: the carriers to include. None includes all carriers.
        since: the earliest booking time to include. None includes all booking times.
    """

    carriers: Sequence[str] | None = None
    since: datetime | None = None

    @classmethod
    def parse(cls, carriers: Sequence[str] | None, since: Since) -> PickupFilter:
        """Returns a filter for the user's input.

        Args:
            carriers: the carriers to include, or None for all carriers.
            since: an ISO 8601 string, a date or a datetime. A date means midnight. The default time zone is UTC.

        Raises:
            ValueError: `since` is not a date, or `carriers` is empty or not a list.
        """
        if isinstance(carriers, str):
            raise ValueError(f"carriers must be a list: [{carriers!r}]")
        if carriers is not None and not carriers:
            raise ValueError("carriers is an empty list, so there is nothing to read; None means all carriers")
        if isinstance(since, str):
            since = datetime.fromisoformat(since)
        if since is not None and not isinstance(since, datetime):
            since = datetime.combine(since, time())
        return cls(carriers, since.replace(tzinfo=since.tzinfo or UTC) if since else None)


ALL_PICKUPS = PickupFilter()


def check_carriers(only: PickupFilter, known: Sequence[str]) -> None:
    """Raises UnknownCarrier if the filter names a carrier that is not in `known`."""
    if unknown := sorted(set(only.carriers or []) - set(known)):
        raise UnknownCarrier(f"unknown carrier {unknown[0]!r}; available carriers: {', '.join(known)}")
