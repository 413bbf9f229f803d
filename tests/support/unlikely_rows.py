"""Creates rows that no API would send, to find differences between engines that normal accounts do not show."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random

import duckdb

from tests.support.by_hand import fill, mark_first_states, pickup, run, state
from tests.support.engines import Row

EXTRAS = (
    None,
    "{}",
    '{"contract":"57"}',
    '{"contract_id":1e400,"time_slots":[{"start_at":"soon"}]}',
    '{"colour":"\\"contract\\":","contract":null,"depot":{"country":7}}',
    '{"cancelled_at":false,"country":7,"pickup_from":"","pickup_until":[],"tracking_number":1.10}',
    '{"a.country":1,"contract_number":2}',
)


def unlikely(seed: int, pickups: int = 600) -> duckdb.DuckDBPyConnection:
    """Returns an in-memory database with rows that no API would send.

    The rows combine every status with every kind of time, including no time and times in other centuries. Some rows are
    duplicates, and one has no key. It is unknown which of account b's states came first, as in rows of old versions.
    """
    random = Random(seed)
    rows = [_unlikely_pickup(random) for _ in range(pickups)]
    for place, row in enumerate(rows):
        row["extra"] = EXTRAS[place % len(EXTRAS)]
    without = dict.fromkeys(("account", "carrier", "pickup_status", "created_at"))
    runs = [
        run(
            account=random.choice("abd"),
            observed_at=_some_time(random),
            outcome=random.choice(["succeeded", "failed"]),
            rows_in_table=random.randrange(3),
            checks_failed=random.choice([None, "{}", '{"unique_key": 3}']),
            rows_read=random.choice([0, 99, 100]),
            quarantined=random.choice([1, 2, None]),
        )
        for _ in range(8)
    ]
    history = [one for row in rows for one in _unlikely_states(random, row)]
    con = fill(duckdb.connect(), [*rows, *rows[:3], pickup(**without)], runs, history=history)
    mark_first_states(con, "account <> 'b'")
    return con


def _unlikely_states(random: Random, row: Row) -> list[Row]:
    """Returns up to three states, some of them at the same time or before the booking."""
    return [
        state(
            row,
            row["created_at"] + timedelta(hours=random.choice([-1, 0, 1, 25, random.random() * 24])),
            random.choice([None, "Announcing", "ANNOUNCING", "Failed", "Created", "ñ of ß"]),
            pickup_from=random.choice([row["pickup_from"], _some_time(random, or_none=True)]),
        )
        for _ in range(random.randrange(4))
    ]


def _unlikely_pickup(random: Random) -> Row:
    names = {name: _some_time(random, or_none=True, odd=True) for name in ("pickup_from", "pickup_until")}
    return pickup(
        **names,
        created_at=_some_time(random),
        cancelled_at=_some_time(random, or_none=True),
        account=random.choice("abc"),
        carrier=random.choice(["dpd", "ups", "Ünï"]),
        country=random.choice([None, "", "NL", "nl", "ES", "GB", "PT", "XX", " DE"]),
        tracking_number=random.choice([None, "", "1"]),
        pickup_status=random.choice(
            ["Created", "CANCELLED", "failed", "Announcing", "CANCELLATION_REQUESTED", "Cancellation failed", "ñ of ß"]
        ),
        contract=random.choice([None, 0, 1, -5]),
        time_slots=_some_slots(random) if random.random() < 0.3 else None,
        api_version=random.choice([None, "v2", "v3"]),
    )


def _some_time(random: Random, *, or_none: bool = False, odd: bool = False) -> datetime | None:
    """Returns a time around the night when the clocks go forward. Many of the times are equal."""
    if or_none and random.random() < 0.3:
        return None
    if odd and random.random() < 0.05:
        return datetime(random.choice([1, 1890, 1950, 2100, 9999]), 7, 1, tzinfo=UTC)
    hours = random.choice([0, 1, 24, random.randrange(400), random.random() * 400])
    return datetime(2026, 3, 25, tzinfo=UTC) + timedelta(hours=hours, microseconds=random.choice([0, 1, 999_999]))


def _some_slots(random: Random) -> str:
    def slot() -> Row:
        times = {name: _some_time(random, or_none=name == "end_at") for name in ("end_at", "start_at")}
        return {name: time and time.isoformat() for name, time in times.items() if time or random.random() < 0.5}

    return json.dumps([slot() for _ in range(random.randrange(5))], separators=(",", ":"))
