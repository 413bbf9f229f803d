"""The floor: by hand, with requests, msgspec, Arrow and one DuckDB table with a primary key. Nothing else is done.

python floor.py FOLDER. A second run reads from the top down to the oldest pickup that may still change.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import requests

BATCH_ROWS = 50_000


class Pickup(msgspec.Struct, gc=False):
    id: int
    carrier: str
    pickup_status: str
    created_at: datetime
    country: str | None = None
    tracking_number: str | None = None
    pickup_from: datetime | None = None
    pickup_until: datetime | None = None
    cancelled_at: datetime | None = None
    contract: int | None = None


class Page(msgspec.Struct, gc=False):
    pickups: list[Pickup]
    next: str | None = None


INSTANT = pa.timestamp("us", tz="UTC")
KINDS = {"id": pa.int64(), "contract": pa.int64()}
KINDS |= dict.fromkeys(("created_at", "pickup_from", "pickup_until", "cancelled_at"), INSTANT)
SCHEMA = pa.schema([(name, KINDS.get(name, pa.string())) for name in Pickup.__struct_fields__])
TABLE = """
    create schema if not exists sendcloud;
    create table if not exists sendcloud.pickups (
        id bigint primary key, carrier text, pickup_status text, created_at timestamptz, country text,
        tracking_number text, pickup_from timestamptz, pickup_until timestamptz, cancelled_at timestamptz,
        contract bigint
    )
"""
OLDEST_OPEN = """
    select min(created_at) from sendcloud.pickups
    where pickup_status not in ('Cancelled', 'Failed') and pickup_until > (
        select max(created_at) from sendcloud.pickups
    ) - interval 7 days
"""


def pages(stop_before: datetime | None) -> Iterator[list[Pickup]]:
    url: str | None = f"{os.environ['SOURCES__SENDCLOUD__BASE_URL']}/pickups?limit=500"
    decoder = msgspec.json.Decoder(Page)
    with requests.Session() as session:
        session.auth = ("public", "secret")
        while url:
            page = decoder.decode(session.get(url).content)
            yield page.pickups
            if stop_before and page.pickups[0].created_at < stop_before:
                return
            url = page.next


def batches(stop_before: datetime | None) -> Iterator[pa.Table]:
    rows: list[Pickup] = []
    for page in pages(stop_before):
        rows += page
        if len(rows) >= BATCH_ROWS:
            yield as_table(rows)
            rows = []
    if rows:
        yield as_table(rows)


def as_table(rows: list[Pickup]) -> pa.Table:
    columns = [pa.array([getattr(row, field.name) for row in rows], field.type) for field in SCHEMA]
    return pa.table(columns, schema=SCHEMA)


def main(folder: Path) -> None:
    with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(TABLE)
        (oldest_open,) = connection.execute(OLDEST_OPEN).fetchall()[0]
        for batch in batches(oldest_open and oldest_open - timedelta(hours=1)):
            connection.register("batch", batch)
            connection.execute("insert or replace into sendcloud.pickups select * from batch")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
