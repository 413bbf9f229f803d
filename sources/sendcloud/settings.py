"""Defines the constants of the source, and validates the settings before any request is sent."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Any

from .api.v2 import V2
from .api.version import Version
from .api.versions import VERSIONS
from .errors import SettingsError
from .http.origins import origin_of

if TYPE_CHECKING:
    import dlt

BASE_URL = V2.base_url


ACCOUNT_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")  # the account label appears in keys, paths and messages


BATCH_ROWS = 200_000  # rows per Arrow table passed to dlt; tables of 50,000 rows took 6 % longer (2026-11)


# dlt 1.31 drops rows older than last_value - lag, but old pickups may still change. A lag of 95 years keeps every row.
NEVER_DROP_SECONDS = 3e9


def version_of(name: str) -> Version:
    """Returns the API version with this name. Raises SettingsError if the name is unknown."""
    if name not in VERSIONS:
        raise SettingsError.of("api_version", f"is {name!r}", f"Use {' or '.join(VERSIONS)}.")
    return VERSIONS[name]


def address_of(base_url: str, version: Version) -> str:
    """Returns `base_url` with a trailing `/v2` replaced by the name of the version.

    An address that ends in `/v3` is never changed. Raises SettingsError if the version is v2 and the address ends in
    `/v3`, because the source does not guess which of the two settings is wrong.
    """
    root, _, last = base_url.strip().rstrip("/").rpartition("/")
    if last not in VERSIONS or last == version.name:
        return base_url
    if last != V2.name:
        remedy = f"Set api_version = {last!r}, or remove base_url."
        raise SettingsError.of("base_url", f"is a {last} address, but api_version is {version.name}", remedy)
    return f"{root}/{version.name}"


def _check_account(account: str) -> None:
    if not ACCOUNT_NAME.fullmatch(account):
        raise SettingsError.of("account", f"is {account!r}", "Use 1 to 40 letters, digits, '_' or '-'.")


_SPAN, _COUNT = (0, 36_500, "Use a number from 0 to 36500."), (1, inf, "Use a whole number of at least 1.")


def _check_range(first: float, last: float, remedy: str, **settings: float) -> None:
    """Raises SettingsError if a setting is not a number from `first` to `last`."""
    for name, value in settings.items():
        if not first <= value <= last:
            raise SettingsError.of(name, f"is {value}", remedy)


def _check_address_section(**addresses: str) -> None:
    """Raises SettingsError if dlt took an address from outside `[sources.sendcloud]`.

    dlt also searches the parent sections. Without this check, the keys would be sent to a BASE_URL that was set in the
    environment for another program (tested with dlt 1.31, 2026-11).
    """
    import dlt  # commands that only need a constant of this module do not need dlt

    for name, address in addresses.items():
        strays: list[object] = [dlt.config.get(key) for key in (name, f"sources.{name}")]
        if address in strays and dlt.config.get(f"sources.sendcloud.{name}") != address:
            remedy = f"To use this address, set it in [sources.sendcloud] or as SOURCES__SENDCLOUD__{name.upper()}."
            there = origin_of(address) or "an invalid address"
            raise SettingsError.of(name, f"is set outside this section, so no key was sent to {there}", remedy)


def _check_lag(created_at: dlt.sources.incremental[datetime]) -> None:
    """Raises SettingsError if an incremental passed by the caller would drop changes to old pickups."""
    if created_at.end_value is None and (created_at.lag or 0) < NEVER_DROP_SECONDS:
        problem = f"has a lag of {created_at.lag}, so dlt would drop every change to an older pickup"
        remedy = 'Pass dlt.sources.incremental("created_at", lag=NEVER_DROP_SECONDS, …) from sources.sendcloud.'
        raise SettingsError.of("pickups.created_at", problem, remedy)


def _to_utc(value: Any) -> datetime | None:
    """Returns a bound of the incremental in UTC, or None if there is no bound.

    Raises SettingsError for text and for times without a UTC offset, because dlt would compare the value with
    timestamps and fail later (tested with dlt 1.31).
    """
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        problem = f"is bounded by {value!r}, which is not a time with a UTC offset"
        remedy = "Write the time in config.toml without quotes (2026-01-31T00:00:00Z), or pass an aware datetime."
        raise SettingsError.of("pickups.created_at", problem, remedy)
    return value.astimezone(UTC)
