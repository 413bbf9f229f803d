"""The numbers of scale.md: python tests/bench/scale.py works them out from scale.json; with --measure, measures first.

--measure adds what scale.json lacks; to measure everything anew, delete it. It needs the engines' environment
(make test-engines makes it) for PostgreSQL; without --measure, any that has scipy does.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import scale_points
from scale_cells import Cell, cells
from scale_model import Costs, fitted
from scale_tries import Foretold, foretold

PAPER = Path(__file__).parent / "scale.md"
PICTURE = Path(__file__).parent / "scale.png"
PLACES = {"duckdb": "DuckDB", "postgres": "PostgreSQL"}
Columns = Mapping[str, Callable[[Cell], str]]


def duration(seconds: float) -> str:
    """In the unit that a person would take."""
    for size, unit in ((86400 * 2, "days"), (3600 * 2, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / {'days': 86400, 'h': 3600, 'min': 60}[unit]:.{0 if unit == 'min' else 1}f} {unit}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """Bytes, by powers of ten."""
    for unit, of in (("TB", 1e12), ("GB", 1e9)):
        if count >= of:
            return f"{count / of:.1f} {unit}"
    return f"{count / 1e6:.0f} MB"


def percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "< 1%"


COLUMNS: Columns = {
    "accounts": lambda cell: f"{cell.accounts:,}",
    "pickups": lambda cell: f"{cell.pickups:,}",
    "largest account": lambda cell: f"{cell.largest:,.0f}",
    "pace, 500 a page": lambda cell: percent(cell.pace_500),
    "pace, 100 a page": lambda cell: percent(cell.pace_100),
    "one process": lambda cell: percent(cell.one_process),
    "bites first": lambda cell: cell.bites_first,
    "requests/min": lambda cell: f"{cell.requests_a_minute:,.1f}",
    "processes": lambda cell: f"{cell.processes:,}",
    "machines": lambda cell: f"{cell.machines:,}",
    "age median / p95": lambda cell: f"{duration(cell.median_s)} / {duration(cell.p95_s)}",
    "after a year": lambda cell: size(cell.stored_bytes),
    "first load: largest / all": lambda cell: f"{duration(cell.first_largest_s)} / {duration(cell.first_all_s)}",
}
OF_A_SERVER: Columns = {
    "server's cores": lambda cell: f"{cell.server_cores:,}",
}


def _lines(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows))


def table(found: Sequence[Cell], place: str) -> str:
    """A line for each cell."""
    columns = {**COLUMNS, **(OF_A_SERVER if place == "postgres" else {})}
    return _lines([*columns], [[shown(cell) for shown in columns.values()] for cell in found])


def constants(told: Mapping[str, Any]) -> str:
    """What was fitted, a line for each constant."""
    models = {place: fitted(told, place) for place in PLACES}
    rows = [
        [name.replace("_", " "), *(_small(getattr(part, name)) for part in _parts(models))] for name in Costs._fields
    ]
    return _lines(["CPU seconds", "DuckDB, process", "PostgreSQL, process", "PostgreSQL, server"], rows)


def _parts(models: Mapping[str, Any]) -> list[Costs]:
    return [models["duckdb"].process, models["postgres"].process, models["postgres"].server]


def _small(seconds: float) -> str:
    return f"{seconds * 1e6:.2f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.0f} ms"


def tries(told: Mapping[str, Any]) -> str:
    """Every measured figure beside what the model says, and by how much that is off."""
    return _lines(["place", "run", "", "measured", "computed", "off", "fitted"], [_try(one) for one in foretold(told)])


def _try(one: Foretold) -> list[str]:
    off, shown = one.computed / one.measured - 1, "{:,.2f}" if one.measured < 100 else "{:,.0f}"
    figures = [shown.format(one.measured), shown.format(one.computed), f"{off:+.0%}"]
    return [PLACES.get(one.place, one.place), one.run, one.what, *figures, "yes" if one.is_fitted else "no"]


def written(told: Mapping[str, Any]) -> dict[str, str]:
    """The parts of scale.md that are worked out, by their marks, but for the tables of places."""
    low, high = min(told["load_averages"]), max(told["load_averages"])
    where = f"{told['date']} on {told['machine']}, {told['versions']}"
    taken = f"Taken {where}; its load average was {low:.1f} to {high:.1f} meanwhile."
    return {"taken": taken, "constants": constants(told), "tries": tries(told)}


def put(paper: str, parts: Mapping[str, str]) -> str:
    """The paper with each part between its marks."""
    for mark, part in parts.items():
        between = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
        paper = between.sub(lambda found, part=part: f"{found[1]}\n{part}\n\n{found[2]}", paper)
    return paper


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--picture", action="store_true", help="draw scale.png anew as well")
    options = parser.parse_args()
    if options.measure:
        from scale_measure import measure_all

        measure_all()
    told = scale_points.read()
    found = {place: cells(told, place) for place in PLACES}
    parts = written(told) | {place: table(own, place) for place, own in found.items()}
    PAPER.write_text(put(PAPER.read_text(), parts))
    for part in parts.values():
        print(part, end="\n\n", file=sys.stdout)
    if options.picture:
        from scale_picture import draw

        draw(found["duckdb"], PICTURE)


if __name__ == "__main__":
    main()
