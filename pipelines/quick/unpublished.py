"""Finds quick runs that are not in the published file yet, because the file was recent enough (`max_age_minutes`).

`pickups show` and `status` call this module, so it imports the rest of the package only if there is such a run.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from pipelines.config.plain_settings import plain_settings
from pipelines.quick import RECORD_SUFFIX

FIELD = b'"unpublished_at":"'


def nothing_new_until() -> datetime | None:
    """Returns the time (UTC) until which unpublished runs found nothing new, or None if all runs are published."""
    return min(unpublished_runs().values(), default=None)


def unpublished_runs() -> dict[str, datetime]:
    """Returns when the last unpublished run of each account ended (UTC). Each of these runs found nothing new.

    Returns none if the files have changed since then, if a setting is unusual, or if the user can't read the record.
    """
    plain = plain_settings()
    warehouse = plain.warehouse_file() if plain else None
    with suppress(OSError):
        if warehouse and FIELD in warehouse.with_suffix(RECORD_SUFFIX).read_bytes():
            return _unpublished(warehouse)
    return {}


def _unpublished(warehouse: Path) -> dict[str, datetime]:
    from pipelines.quick.record import read_record, record_path
    from pipelines.quick.repeat_run import is_untouched

    record = read_record(record_path(warehouse))
    if not record or not is_untouched(record):
        return {}
    return {one.account: one.unpublished_at for one in record.accounts if one.unpublished_at}
