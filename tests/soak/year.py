"""Simulates a run every 15 minutes for more than a year.

The warehouse, its bookkeeping and dlt's folder must stop growing.

Run `make soak` or `python -m tests.soak.year --days 500 --runs-a-day 4`.

35,000 real runs would take four hours, so each day has only a few runs. Each of them stands for about 24 runs: its
records (receipt, load and state) are copied as often. All records are dated by the world's clock, which moves on.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import datetime, timedelta
from typing import NamedTuple

import duckdb

from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.soak.idle import counts
from tests.soak.kills import an_installation
from tests.support.installation import Installation
from tests.support.invariants import differences
from tests.support.worlds import NOW

PICKUPS_A_DAY = 12
RUNS_A_DAY = 96  # the runs that the real runs of a day stand for
DAYS_KEPT = {"pickup_runs": 366, "_dlt_loads": 30, "_dlt_pipeline_state": 30}
DAYS_BETWEEN_LOOKS = 30
# for each table: its time columns, and the expressions that make a copy a different row. The load ids of copies sort
# before the real load id, so the real load remains the last load.
NOTED = {
    "pickup_runs": (
        ["started_at", "finished_at"],
        "md5(run_id || n) as run_id, seconds_read + random() / 9 as seconds_read",
    ),
    "_dlt_loads": (["inserted_at"], "'0' || load_id || '-' || n as load_id"),
    "_dlt_pipeline_state": (["created_at"], "'0' || _dlt_load_id || '-' || n as _dlt_load_id"),
    "_dlt_version": (["inserted_at"], ""),
}


class Look(NamedTuple):
    """Holds the number of rows and the sizes at the end of a day."""

    day: int
    rows: dict[str, int]
    file_bytes: int
    folder_bytes: int

    def __str__(self) -> str:
        rows = ", ".join(f"{self.rows[f'sendcloud.{name}']:,} {name}" for name in ("pickups", *NOTED, RECORDED))
        return f"day {self.day}: warehouse {self.file_bytes / 1e6:.1f} MB, dlt's folder {self.folder_bytes:,} B; {rows}"


RECORDED = "pickup_states_recorded"


def look(installation: Installation, day: int) -> Look:
    folder = installation.folder / "data" / ".dlt-pipelines"
    folder_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Look(day, counts(installation), installation.warehouse.stat().st_size, folder_bytes)


def stand_for(installation: Installation, many: int, clock: datetime) -> None:
    """Copies the records of the last run as if that many runs had written them, dated by the world's clock."""
    with duckdb.connect(str(installation.warehouse)) as connection:
        for table, (clocks, another) in NOTED.items():
            is_new = f"{clocks[0]} > $clock"
            if another:
                connection.execute(
                    f"insert into sendcloud.{table} select noted.* replace ({another}) "
                    f"from sendcloud.{table} as noted, range(1, {many}) as numbers(n) where {is_new}",
                    {"clock": clock},
                )
            dated = ", ".join(f"{column} = $clock" for column in clocks)
            connection.execute(f"update sendcloud.{table} set {dated} where {is_new}", {"clock": clock})


def live(installation: Installation, world: World, api: Sandbox, days: int, runs_a_day: int) -> list[Look]:
    looks = []
    for day in range(1, days + 1):
        for _ in range(runs_a_day):
            world.advance(hours=24 / runs_a_day)
            receipt = installation.run(api)
            assert receipt.outcome == "succeeded", receipt
            stand_for(installation, RUNS_A_DAY // runs_a_day, world.clock)
        if day % DAYS_BETWEEN_LOOKS == 0 or day == days:
            looks.append(look(installation, day))
            print(f"  {looks[-1]}", file=sys.stderr, flush=True)
    return looks


def findings(looks: list[Look]) -> list[str]:
    """Returns one sentence for everything that still grows."""
    last, grown_up = looks[-1], next(one for one in looks if one.day > DAYS_KEPT["pickup_runs"])
    pickups, found = last.rows["sendcloud.pickups"], []
    for table, rows in last.rows.items():
        name = table.removeprefix("sendcloud.")
        at_most = RUNS_A_DAY * (DAYS_KEPT[name] + 2) if name in DAYS_KEPT else 3 * pickups
        at_most = 20 if name.endswith("_dlt_version") else at_most
        if rows > at_most:
            found.append(f"{table}: {rows:,} rows, but at most {at_most:,} are expected")
    if last.file_bytes > 1.2 * grown_up.file_bytes + 2**20:
        found.append(f"the warehouse still grows: {grown_up.file_bytes:,} bytes, then {last.file_bytes:,}")
    if last.folder_bytes > 2 * looks[0].folder_bytes + 2**20:
        found.append(f"dlt's folder still grows: {looks[0].folder_bytes:,} bytes, then {last.folder_bytes:,}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=500)
    parser.add_argument("--runs-a-day", type=int, default=4)
    options = parser.parse_args()
    if options.days <= DAYS_KEPT["pickup_runs"] + DAYS_BETWEEN_LOOKS:
        parser.error("receipts are kept for 366 days; use --days 400 or more")
    os.environ |= {"RUNTIME__REQUEST_BACKOFF_FACTOR": "0", "RUNTIME__DLTHUB_TELEMETRY": "false"}
    began = time.monotonic()
    world = World.seeded(PICKUPS_A_DAY * options.days, seed=1, until=NOW, days=options.days)
    world.clock = NOW - timedelta(days=options.days)
    with serve(world) as api, an_installation() as installation:
        looks = live(installation, world, api, options.days, options.runs_a_day)
        installation.run(api)
        found = findings(looks) + differences(installation, world)
    runs = options.days * options.runs_a_day
    print(
        f"{options.days} days, {runs:,} runs that stand for {options.days * RUNS_A_DAY:,}, in "
        f"{time.monotonic() - began:.0f} s. {looks[-1]}. Differences: {len(found)}",
        *found,
        sep="\n",
    )
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
