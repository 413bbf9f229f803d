"""Measures how often the statements about numbers hold in simulated worlds whose true rates are known.

For each kind of world, the table contains the share of the 95 % intervals that contain the truth, and the share of the
worlds in which a view claims a difference that doesn't exist. In the last two rows, the claims are right.

Run `make soak` or `python -m tests.soak.intervals --worlds 400`. The result is a table in Markdown.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator

import duckdb
import numpy as np

from tests.soak.simulation import KINDS, LARGE, POWER, Kind, shop
from tests.soak.statements import BANDS, CHANGES, EXPECTED, NET, RATES, UPCOMING, Found, ask, connect, fill

HEADER = """
| world | worlds | rate | difference of a carrier | of a band | change | like with like | net rate | upcoming
| a carrier stands out | a band stands out | a change is told | a carrier stands out, like with like |
"""
Statements = dict[str, Found]


def databases(kind: Kind, worlds: int, seed: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yields databases with the worlds of a kind.

    Each world with a single shop is an account of its own, so that a database holds many of them.
    """
    random, is_every = np.random.default_rng(seed), kind.shops > 1
    with connect() as connection:
        for _ in range(number_of(kind, worlds) // at_once(kind)):
            count = kind.shops if is_every else at_once(kind)
            shops = [shop(kind, f"shop {number}", random) for number in range(count)]
            fill(connection, shops, is_every=is_every)
            yield connection


def at_once(kind: Kind) -> int:
    return 1 if kind.shops > 1 else 5 if kind in LARGE else 50


def number_of(kind: Kind, worlds: int) -> int:
    """Returns how many worlds of the kind are simulated. Those that take longer are fewer."""
    fewer = 4 if kind.shops > 1 else 10 if kind in LARGE else 1
    return max(worlds // fewer // at_once(kind), 1) * at_once(kind)


def statements_in(kind: Kind, worlds: int, seed: int) -> Statements:
    """Returns what the views stated about that many worlds of a kind."""
    is_every, found = kind.shops > 1, defaultdict[str, Found](Found)
    queries = {"rate": RATES, "band": BANDS, "change": CHANGES, "expected": EXPECTED, "net": NET, "upcoming": UPCOMING}
    for connection in databases(kind, worlds, seed):
        for name, query in queries.items():
            if kind.only in (None, name):
                lead = {"lead": "" if kind.is_mixed else "lead time"} if name == "band" else {}
                found[name] += ask(connection, query, is_every=is_every, **lead)
    return found


def row_of(kind: Kind, worlds: int, found: Statements) -> str:
    """Returns the row of the table. Carriers that differ don't stand out by mistake, so their claims are left out."""
    rate, band, change = found["rate"], found["band"], found["change"]
    shares = [
        (rate.covered, rate.intervals),
        (rate.differences_covered, rate.differences),
        (band.differences_covered, band.differences),
        *((one.covered, one.intervals) for one in (change, found["expected"], found["net"], found["upcoming"])),
        (0, 0) if kind.is_mixed else (rate.claims, rate.families),
        *((one.claims, one.families) for one in (band, change, found["expected"])),
    ]
    texts = [f"{part / n:.1%}".replace("%", " %") if n else "" for part, n in shares]
    if kind in POWER:  # the intervals are judged as if nothing differed
        texts = ["" if column < 7 else text for column, text in enumerate(texts)]
    return " | ".join([f"| {kind.name}", str(number_of(kind, worlds)), *texts]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="a part of the world's name")
    options = parser.parse_args()
    header = HEADER.replace("\n", " ").strip()
    print(header, "|---" * header.count("| ") + "|", sep="\n")
    for number, kind in enumerate([*KINDS, *LARGE, *POWER]):
        if options.only in kind.name:
            found = statements_in(kind, options.worlds, options.seed + number)
            print(row_of(kind, options.worlds, found), flush=True)


if __name__ == "__main__":
    main()
