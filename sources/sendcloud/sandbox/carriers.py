"""Defines nine carriers: their countries, their pickup windows, and their rates of cancelled and refused pickups.

The countries come from the published v2 schemas. The shifts for Correos come from the help centre. Shares and rates are
invented, but differ enough to expose any analysis that confuses two carriers. A value that appears twice in a list is
drawn twice as often.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

Hours = tuple[int, ...]
"""The local hours at which a window opens and closes. An open-ended window has no closing hour."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """The characteristics of a carrier's pickups."""

    code: str
    share: float
    """Share of all pickups."""
    countries: tuple[str, ...]
    windows: tuple[Hours, ...]
    lead_days: tuple[int, ...]
    """Number of working days between booking and pickup."""
    cancelled: float
    """Share of accepted pickups that are cancelled."""
    cancelled_early: float
    """Share of cancellations that happen within an hour of the carrier's response.

    The other cancellations happen shortly before the window.
    """
    failed: float
    """Share of pickups that the carrier refuses."""
    tracking: tuple[str, ...]
    """Formats of tracking numbers.

    `day` is the start of the window and `booked` is the time of the booking. The other fields are random.
    """
    contracts: tuple[int, ...] = ()
    """Contract numbers. If a carrier has no contracts, the contract field is not sent."""
    saturdays: float = 0.0
    odd_minutes: float = 0.0
    """Share of windows that open at a random fraction of an hour, as in the published FedEx and UPS lists."""
    stays_created: float = 0.0
    """Share of cancelled pickups that keep the status Created (as published for DPD and Poste)."""


_DATA = tomllib.loads(Path(__file__).with_name("carriers.toml").read_text(encoding="utf-8"))
ZONES: Final = {country: ZoneInfo(name) for country, name in _DATA["zones"].items()}
CARRIERS: Final = msgspec.convert(_DATA["carriers"], tuple[Carrier, ...])
