"""What is measured for scale.md: which runs, over which accounts; and what a point is, as scale.json keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

POINTS = Path(__file__).parent / "scale.json"
UNHURRIED = 1_000_000  # requests a minute: the pace is not what is measured


class Group(NamedTuple):
    """Runs over one set of accounts: a first load, runs that find nothing, and one that finds 1 % new, 1 % changed.

    `grown`: all but the first once more, after the table was brought to so many rows by older, settled pickups.
    """

    listed: int  # pickups of each account
    accounts: int = 1
    place: str = "duckdb"
    rows_a_page: int = 500
    per_minute: int = UNHURRIED
    delay_seconds: float = 0.0
    grown: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ("first", "nothing", "later")
    is_fitted: bool = True  # else the model must foretell it

    @property
    def shape(self) -> tuple[object, ...]:
        """What tells its points from those of another."""
        return (self.place, self.accounts, self.listed, self.rows_a_page, self.per_minute, self.delay_seconds)


GROUPS = [
    Group(1_000),
    Group(10_000, grown=(1_000_000, 10_000_000)),
    Group(100_000),
    Group(10_000, accounts=8),
    Group(10_000, accounts=4, is_fitted=False),
    Group(10_000, accounts=16, is_fitted=False),
    Group(1_000, place="postgres"),
    Group(10_000, place="postgres"),
    Group(100_000, place="postgres", grown=(1_000_000,)),
    Group(10_000, accounts=8, place="postgres"),
    Group(1_000_000, kinds=("first", "nothing")),
    Group(100_000, rows_a_page=100, kinds=("first", "nothing")),
    Group(50_000, accounts=4, per_minute=50, kinds=("first",)),
    Group(100_000, delay_seconds=0.2, kinds=("first",)),
    Group(10_000, accounts=4, place="postgres"),
]


class Point(NamedTuple):
    """Of a whole process, interpreter and imports included: a run, or, as `read` gives them, the medians of all runs of
    its kind. Counts are of all accounts together.
    """

    place: str
    kind: str
    accounts: int
    listed: int
    table: int  # rows in it before the run, of all accounts
    rows_a_page: int
    per_minute: int
    delay_seconds: float
    is_fitted: bool
    requests: int
    rows_read: int
    rows_loaded: int
    cpu_s: float
    wall_s: float
    server_cpu_s: float
    peak_mb: float
    load_average: float  # of the machine at the end of it
    stored_bytes: int  # by DuckDB: the file that runs write; people's is a copy of it

    @property
    def shape(self) -> tuple[object, ...]:
        return (self.place, self.accounts, self.listed, self.rows_a_page, self.per_minute, self.delay_seconds)

    @property
    def name(self) -> str:
        of = f"{self.accounts} of {self.listed:,}" if self.accounts > 1 else f"{self.listed:,}"
        grown = f", {self.table:,} in the table" if self.kind != "first" and self.table != self.given else ""
        page = f", pages of {self.rows_a_page}" if self.rows_a_page != 500 else ""
        pace = f", {self.per_minute} a minute" if self.per_minute != UNHURRIED else ""
        delay = f", {self.delay_seconds * 1000:.0f} ms a request" if self.delay_seconds else ""
        return f"{self.kind}, {of}{grown}{page}{pace}{delay}"

    @property
    def given(self) -> int:
        return self.accounts * self.listed


def read() -> dict[str, Any]:
    """scale.json, the runs of each kind as one Point."""
    told = json.loads(POINTS.read_text())
    alike: dict[object, list[Point]] = {}
    for found in told["runs"]:
        run = Point(**found)
        alike.setdefault((run.shape, run.kind, run.table), []).append(run)
    return {**told["about"], "points": [_middle(runs) for runs in alike.values()]}


def write(told: dict[str, Any]) -> None:
    """The same file, a run a line."""
    about = {name: value for name, value in told.items() if name != "runs"}
    runs = ",\n".join(json.dumps(run) for run in told["runs"])
    POINTS.write_text(f'{{"about": {json.dumps(about, indent=1)},\n"runs": [\n{runs}\n]}}\n')


def _middle(runs: list[Point]) -> Point:
    measured = ("cpu_s", "wall_s", "server_cpu_s", "stored_bytes")
    middle = {name: round(median(getattr(run, name) for run in runs), 3) for name in measured}
    return runs[0]._replace(
        **middle, peak_mb=max(run.peak_mb for run in runs), load_average=max(run.load_average for run in runs)
    )
