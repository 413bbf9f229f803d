"""The tables' shapes, and records as rows of them: Arrow, for rows as dicts cost 15 to 36 times as much."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

INSTANT = pa.timestamp("us", tz="UTC")
ROW_SCHEMA = pa.schema(
    [
        pa.field("account", pa.string(), nullable=False),
        pa.field("id", pa.int64(), nullable=False),
        pa.field("carrier", pa.string(), nullable=False),
        pa.field("country", pa.string()),
        pa.field("tracking_number", pa.string()),
        pa.field("pickup_from", INSTANT),
        pa.field("pickup_until", INSTANT),
        pa.field("pickup_status", pa.string(), nullable=False),
        pa.field("created_at", INSTANT, nullable=False),
        pa.field("cancelled_at", INSTANT),
        pa.field("contract", pa.int64()),
        pa.field("extra", pa.string()),
    ]
)
# years 1 to 9999, all that Python knows
START_OF_TIME_US, END_OF_TIME_US = -62_135_596_800_000_000, 253_402_300_799_999_999
QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field("account", pa.string(), nullable=False),
        pa.field("record_hash", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("record", pa.string(), nullable=False),
        pa.field("first_seen_at", INSTANT, nullable=False),
        pa.field("last_seen_at", INSTANT, nullable=False),
    ]
)
# dlt's incremental drops rows older than its newest value less 95 years (NEVER_DROP_SECONDS): none within these bounds
BOOKED_FROM, BOOKED_UNTIL = datetime(1970, 1, 1, tzinfo=UTC), datetime(2065, 1, 1, tzinfo=UTC)
INSTANTS = ("created_at", "pickup_from", "pickup_until", "cancelled_at")


class Rejected(NamedTuple):
    """A record that can't be loaded: its stable hash, why, itself as JSON text, and when it was booked if readable."""

    record_hash: str
    reason: str
    record: str
    created_at: datetime | None = None


def as_table(pickups: Sequence[Any], extras: Sequence[str | None], account: str) -> pa.Table:
    """The pickups (records.Pickup) as rows of ROW_SCHEMA, in the order given; instants become UTC with microseconds.

    Raises OverflowError for an instant before year 1 or after 9999 in UTC: Arrow holds it, nobody could read it.
    """
    columns = {
        "account": [account] * len(pickups),
        "tracking_number": [None if p.tracking_number is None else str(p.tracking_number) for p in pickups],
        "extra": extras,
    }
    for field in set(ROW_SCHEMA.names) - columns.keys():
        columns[field] = [getattr(p, field) for p in pickups]
    rows = pa.table([pa.array(columns[field.name], field.type) for field in ROW_SCHEMA], schema=ROW_SCHEMA)
    for field in INSTANTS:
        bounds = pc.min_max(rows[field].cast(pa.int64())).as_py()
        if bounds["min"] is not None and not START_OF_TIME_US <= bounds["min"] <= bounds["max"] <= END_OF_TIME_US:
            raise OverflowError(field)
    booked = pc.min_max(rows["created_at"]).as_py()
    if booked["min"] and not BOOKED_FROM <= booked["min"] <= booked["max"] < BOOKED_UNTIL:
        raise OverflowError("created_at")
    return rows


def latest_sightings(tables: Sequence[pa.Table]) -> pa.Table:
    """One row an id, the one seen last: a list that shifts between two pages repeats rows.

    Needed before any merge: dlt's upsert keeps repeats of one batch, its delete-insert keeps any of them.
    """
    rows = pa.concat_tables([ROW_SCHEMA.empty_table(), *tables])
    last = dict(zip(rows["id"].to_pylist(), range(rows.num_rows), strict=True))
    return rows if len(last) == rows.num_rows else rows.take(sorted(last.values()))


def as_quarantine(
    rejected: dict[str, Rejected], account: str, first_seen: dict[str, datetime], now: datetime
) -> pa.Table:
    """Rows of QUARANTINE_SCHEMA, one for each record refused, by its hash; times are UTC instants."""
    rows = [
        {
            "account": account,
            "record_hash": record_hash,
            "reason": reject.reason,
            "record": reject.record,
            "first_seen_at": first_seen.get(record_hash, now),
            "last_seen_at": now,
        }
        for record_hash, reject in rejected.items()
    ]
    return pa.Table.from_pylist(rows, schema=QUARANTINE_SCHEMA)
