"""The paper on scale (tests/bench/scale.md): its model foretells what was measured, and its tables are the script's."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.slow

BENCH = Path(__file__).parents[1] / "bench"
PAPER = (BENCH / "scale.md").read_text()


@pytest.fixture(autouse=True)
def scale(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, which finds its parts beside it."""
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("scale")


@pytest.fixture
def told(scale: ModuleType) -> Any:
    return scale.scale_points.read()


def test_the_simulation_comes_within_a_fifth_of_everything_that_was_measured(scale: ModuleType, told: Any) -> None:
    off = {
        (one.place, one.run, one.what): round(one.computed / one.measured - 1, 2)
        for one in scale.foretold(told)
        if abs(one.computed / one.measured - 1) > 0.2
    }
    assert off == {}


def test_runs_over_several_accounts_are_foretold_that_nothing_was_fitted_to(scale: ModuleType, told: Any) -> None:
    foretold = {(one.place, one.run, one.what) for one in scale.foretold(told) if not one.is_fitted}

    for accounts in (4, 16):
        for kind in ("first", "nothing", "later"):
            assert ("duckdb", f"{kind}, {accounts} of 10,000", "CPU s") in foretold


def test_what_the_paper_says_of_model_and_measurements_is_what_the_script_works_out(
    scale: ModuleType, told: Any
) -> None:
    assert scale.put(PAPER, scale.written(told)) == PAPER
    for mark in (*scale.written(told), *scale.PLACES):
        assert PAPER.count(f"<!-- {mark} -->\n") == 1


@pytest.mark.parametrize("place", ["duckdb", "postgres"])
def test_the_tables_of_the_paper_are_those_that_the_script_works_out(scale: ModuleType, told: Any, place: str) -> None:
    """All of 1 and 100 accounts, and the largest cell: each of ten thousand accounts takes seconds."""
    between = PAPER.split(f"<!-- {place} -->\n")[1].split(f"<!-- /{place} -->")[0].strip().splitlines()
    every = importlib.import_module("scale_cells").EVERY
    quick = [cell for cell in every if cell[0] <= 100 or cell == every[-1]]

    head, rule, *rows = scale.table(scale.cells(told, place, quick), place).splitlines()
    assert between[:2] == [head, rule]
    assert len(between) == 2 + len(every)
    assert rows == [between[2 + every.index(cell)] for cell in quick]


def test_a_server_is_asked_first_come_first_served() -> None:
    line = importlib.import_module("scale_simulate").Line(2)

    assert [line.serve(now, seconds) for now, seconds in ((0, 5), (0, 1), (0, 1), (3, 4))] == [5, 1, 2, 7]
    assert line.busy == 11


def test_the_pace_lets_so_many_through_in_any_minute() -> None:
    seconds = importlib.import_module("scale_model").seconds_at_pace

    # 100 at once, 100 a minute later, the last in the third minute; or 0.2 s behind one another
    assert [seconds(100, 100, 0), seconds(101, 100, 0), seconds(201, 100, 0)] == [0, 60, 120]
    assert seconds(200, 400, 0.2) == pytest.approx(40)
