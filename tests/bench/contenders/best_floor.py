"""The limit: http.client, pyarrow.json on a thread of its own, no key. Nobody would ship it. First loads only.

python best_floor.py FOLDER
"""

from __future__ import annotations

import io
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.json as pj
from pages_only import bodies

PAGES_A_BATCH = 100
INSTANT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("carrier", pa.string()),
        ("tracking_number", pa.string()),
        ("pickup_from", INSTANT),
        ("pickup_until", INSTANT),
        ("country", pa.string()),
        ("pickup_status", pa.string()),
        ("created_at", INSTANT),
        ("cancelled_at", INSTANT),
        ("contract", pa.int64()),
    ]
)


def as_table(some: list[bytes]) -> pa.Table:
    """The records of some pages as newline-delimited JSON, which is what pyarrow.json reads."""
    lines = b"\n".join(body[body.index(b"[") + 1 : body.rindex(b"]")].replace(b"},{", b"}\n{") for body in some)
    return pj.read_json(
        io.BytesIO(lines),
        read_options=pj.ReadOptions(block_size=64 << 20),
        parse_options=pj.ParseOptions(explicit_schema=SCHEMA),
    )


def main(folder: Path) -> None:
    with duckdb.connect(str(folder / "warehouse.duckdb")) as connection, ThreadPoolExecutor(1) as pool:
        connection.execute("create schema sendcloud")
        connection.register("none", SCHEMA.empty_table())
        connection.execute("create table sendcloud.pickups as select * from none")

        def load(some: list[bytes]) -> None:
            connection.register("batch", as_table(some))
            connection.execute("insert into sendcloud.pickups select * from batch")

        some: list[bytes] = []
        loading: list[Future[None]] = []
        for body in bodies():
            some.append(body)
            if len(some) == PAGES_A_BATCH:
                loading.append(pool.submit(load, some))
                some = []
        loading.append(pool.submit(load, some)) if some else None
        for future in loading:
            future.result()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
