"""Makes a thousand runs that find nothing, and checks that they add nothing except their receipts.

A schedule of one run every 15 minutes makes a thousand runs in ten days.

Run `make soak` or `python -m tests.soak.idle --runs 1000`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from statistics import median

from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.soak.kills import an_installation
from tests.support.installation import Installation, rows_of
from tests.support.invariants import leftovers
from tests.support.worlds import NOW

PICKUPS = 5_000
BYTES_A_RECEIPT = 2_048
AT_MOST_SLOWER = 1.25
TABLES = """
    select schema_name || '.' || table_name as name
    from duckdb_tables()
    where schema_name not in ('main', 'information_schema')
    order by name
"""


def counts(installation: Installation) -> dict[str, int]:
    """Returns the number of rows in every table of the warehouse, including dlt's own tables."""
    names = [row["name"] for row in rows_of(installation.warehouse, TABLES)]
    return {name: rows_of(installation.warehouse, f"select count(*) as n from {name}")[0]["n"] for name in names}


def runs(installation: Installation, api: Sandbox, number: int) -> list[float]:
    """Makes that many runs and returns the seconds that each run took."""
    took = []
    for place in range(1, number + 1):
        began = time.perf_counter()
        receipt = installation.run(api)
        took.append(time.perf_counter() - began)
        assert (receipt.rows_new, receipt.rows_changed, receipt.outcome) == (0, 0, "succeeded"), receipt
        if place % 100 == 0:
            print(f"  {place} of {number} runs, {took[-1]:.2f} s", file=sys.stderr, flush=True)
    return took


def findings(before: dict[str, int], after: dict[str, int], grown_bytes: int, took: list[float]) -> list[str]:
    """Returns one sentence for each unexpected result."""
    expected = {**before, "sendcloud.pickup_runs": before["sendcloud.pickup_runs"] + len(took)}
    found = [
        f"{name}: {after.get(name)} rows instead of {rows}"
        for name, rows in expected.items()
        if after.get(name) != rows
    ]
    found += [f"unexpected new table: {name}" for name in after.keys() - before.keys()]
    if grown_bytes > BYTES_A_RECEIPT * len(took) + 2**20:
        found.append(f"the warehouse grew by {grown_bytes:,} bytes")
    tenth = max(len(took) // 10, 1)
    first, last = median(took[:tenth]), median(took[-tenth:])
    if last > AT_MOST_SLOWER * first:
        found.append(f"the last runs took {last:.2f} s, the first runs {first:.2f} s")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000)
    options = parser.parse_args()
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false"}
    world = World.seeded(PICKUPS, seed=1, until=NOW)
    with serve(world) as api, an_installation() as installation:
        for _ in range(10):  # the first run creates the tables, and the others warm up this process
            installation.run(api)
        before, size = counts(installation), installation.warehouse.stat().st_size
        took = runs(installation, api, options.runs)
        grown = installation.warehouse.stat().st_size - size
        found = findings(before, counts(installation), grown, took) + leftovers(installation)
    tenth = max(len(took) // 10, 1)
    print(
        f"{len(took)} runs found nothing. A run took {median(took[:tenth]):.2f} s at the beginning and "
        f"{median(took[-tenth:]):.2f} s at the end. The warehouse grew by {grown:,} bytes. Differences: {len(found)}",
        *found,
        sep="\n",
    )
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
