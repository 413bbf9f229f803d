"""What is measured for scale.md: which runs, over which accounts; and what a point is, as scale.json keeps it."""

from __future__ import annotations

import json
from pathlib import Path
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
    rounds: int = 3
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
    Group(1_000, place="postgres", rounds=5),
    Group(10_000, place="postgres", rounds=5),
    Group(100_000, place="postgres", grown=(1_000_000,), rounds=5),
    Group(10_000, accounts=8, place="postgres", rounds=5),
    Group(1_000_000, kinds=("first", "nothing")),
    Group(100_000, rows_a_page=100, kinds=("first", "nothing")),
    Group(50_000, accounts=4, per_minute=50, kinds=("first",), rounds=1),
    Group(100_000, delay_seconds=0.2, kinds=("first",), rounds=1),
    Group(10_000, accounts=4, place="postgres", rounds=5, is_fitted=False),
]


class Point(NamedTuple):
    """Medians of a whole process, interpreter and imports included; counts are of all accounts together."""

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
    load_average: float | None  # of the machine at the end of it, where it was noted
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
    """scale.json, its points as Points."""
    told = json.loads(POINTS.read_text())
    return told | {"points": [Point(**point) for point in told["points"]]}
