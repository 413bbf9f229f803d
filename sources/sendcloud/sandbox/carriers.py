"""Defines nine carriers: their countries, their pickup windows, and their rates of cancelled and refused pickups.

The countries come from the published v2 schemas. The shifts for Correos come from the help centre. Shares and rates are
invented, but differ enough to expose any analysis that confuses two carriers. A value that appears twice in a tuple is
drawn twice as often.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

ZONES: Final = {
    "NL": ZoneInfo("Europe/Amsterdam"),
    "BE": ZoneInfo("Europe/Brussels"),
    "DE": ZoneInfo("Europe/Berlin"),
    "ES": ZoneInfo("Europe/Madrid"),
    "FR": ZoneInfo("Europe/Paris"),
    "IT": ZoneInfo("Europe/Rome"),
    "AT": ZoneInfo("Europe/Vienna"),
    "PT": ZoneInfo("Europe/Lisbon"),
    "GB": ZoneInfo("Europe/London"),
}

Hours = tuple[int, int | None]
"""The local hours at which a window opens and closes. For an open-ended window, the closing hour is None."""


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
    contracts: tuple[int, ...]
    """Contract numbers. If the tuple is empty, the field is not sent."""
    tracking: tuple[str, ...]
    """Formats of tracking numbers.

    `day` is the start of the window and `booked` is the time of the booking. The other fields are random.
    """
    saturdays: float = 0.0
    odd_minutes: float = 0.0
    """Share of windows that open at a random fraction of an hour, as in the published FedEx and UPS lists."""
    stays_created: float = 0.0
    """Share of cancelled pickups that keep the status Created (as published for DPD and Poste)."""


DHL_EXPRESS = Carrier(
    code="dhl_express",
    share=0.22,
    countries=("NL", "NL", "NL", "NL", "DE", "DE", "FR", "ES", "IT", "AT"),
    windows=((12, 17), (12, 17), (12, 17), (9, 17), (14, 18), (13, 15), (10, None)),
    lead_days=(0, 1, 1, 1, 1, 2, 2, 2, 5),
    cancelled=0.06,
    cancelled_early=0.6,
    failed=0.015,
    contracts=(),
    tracking=("PRG{day:%y%m%d}{digits:.6}",),
)
FEDEX = Carrier(
    code="fedex",
    share=0.09,
    countries=("AT", "BE", "DE", "DE", "ES", "ES", "FR", "FR", "GB", "IT", "NL", "NL"),
    windows=((11, 13), (14, 16), (9, 17), (13, 17), (12, None)),
    lead_days=(1, 1, 1, 2, 3),
    cancelled=0.14,
    cancelled_early=0.3,
    failed=0.04,
    contracts=(),
    tracking=("791043498{booked:%Y%m%d}{digits:.4}",),
    odd_minutes=0.3,
)
CORREOS_EXPRESS = Carrier(
    code="correos_express",
    share=0.10,
    countries=("ES",),
    windows=((10, 14), (10, 14), (15, 19), (12, 15)),
    lead_days=(1, 1, 1, 2, 2),
    cancelled=0.03,
    cancelled_early=0.8,
    failed=0.02,
    contracts=(57, 57, 58),
    tracking=("1001{digits:.5}",),
    saturdays=0.02,
)
CORREOS = Carrier(
    code="correos",
    share=0.12,
    countries=("ES",),
    windows=((10, 14), (10, 14), (10, 14), (15, 19), (15, 19)),
    lead_days=(1, 1, 1, 2, 3),
    cancelled=0.05,
    cancelled_early=0.7,
    failed=0.03,
    contracts=(1, 1, 3),
    tracking=("SR{booked:%Y%m%d}{digits:.5}EG",),
)
DHL = Carrier(
    code="dhl",
    share=0.16,
    countries=("NL", "NL", "NL", "NL", "BE"),
    windows=((12, 15), (12, 15), (9, 17), (13, 17), (12, None)),
    lead_days=(1, 1, 1, 1, 2, 3),
    cancelled=0.08,
    cancelled_early=0.5,
    failed=0.01,
    contracts=(8,),
    tracking=("05931316-{hex:.8}",),
)
DPD = Carrier(
    code="dpd",
    share=0.10,
    countries=("DE",),
    windows=((12, 15), (12, 16), (9, 17), (10, None)),
    lead_days=(1, 1, 2, 2, 4),
    cancelled=0.11,
    cancelled_early=0.4,
    failed=0.02,
    contracts=(14, 14, 15),
    tracking=("0998505{digits:.7}",),
    saturdays=0.03,
    stays_created=0.2,
)
POSTE_IT_DELIVERY = Carrier(
    code="poste_it_delivery",
    share=0.06,
    countries=("IT",),
    windows=((8, 13), (13, 18), (12, 15), (9, None)),
    lead_days=(1, 3, 3, 4, 5),
    cancelled=0.18,
    cancelled_early=0.2,
    failed=0.06,
    contracts=(6,),
    tracking=("0998505{digits:.7}",),
    stays_created=0.2,
)
UPS = Carrier(
    code="ups",
    share=0.10,
    countries=("DE", "DE", "DE", "NL", "BE", "ES", "ES", "FR", "IT", "AT", "GB"),
    windows=((8, 16), (8, 16), (14, 16), (13, 17), (10, 15)),
    lead_days=(0, 1, 1, 1, 1, 2),
    cancelled=0.22,
    cancelled_early=0.45,
    failed=0.025,
    contracts=(33, 34),
    tracking=("29{letters:.9}",),
    odd_minutes=0.2,
)
DHL_PARCEL_IBERIA = Carrier(
    code="dhl_parcel_iberia",
    share=0.05,
    countries=("ES", "ES", "ES", "PT"),
    windows=((12, 15), (12, 15), (10, 14), (15, 17)),
    lead_days=(1, 2, 4, 5),
    cancelled=0.045,
    cancelled_early=0.5,
    failed=0.03,
    contracts=(6, 7),
    tracking=("0998505{digits:.7}", "0998505{digits:.7}", "0998505{digits:.7}", "{digits:.4}.0"),
)

CARRIERS: Final = (
    DHL_EXPRESS,
    FEDEX,
    CORREOS_EXPRESS,
    CORREOS,
    DHL,
    DPD,
    POSTE_IT_DELIVERY,
    UPS,
    DHL_PARCEL_IBERIA,
)
