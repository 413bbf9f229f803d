"""Tests that the SQL queries in the docs run, and that they find what the pages say."""

import re
from pathlib import Path

import pytest

from tests.support.by_hand import cancelled, pickup, state

DOCS = Path(__file__).parents[2] / "docs"
OF_OTHER_PROGRAMS = re.compile(r"\bgrant\b|\$__")  # PostgreSQL's own statements, and Grafana's macros
BLOCK = re.compile(r"```sql\n(.*?)```", re.DOTALL)
QUERIES = {
    f"{path.stem} {number}": query
    for path in sorted(DOCS.rglob("*.md"))
    for number, query in enumerate(BLOCK.findall(path.read_text(encoding="utf-8")), start=1)
    if not OF_OTHER_PROGRAMS.search(query)
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_every_query_in_the_docs_runs(warehouse, query):
    assert warehouse(pickup()).execute(query).fetchall() is not None


@pytest.mark.parametrize("page", ["changes-and-history 1", "why-not-twenty-lines 1"])
@pytest.mark.parametrize(("created", "is_cancelled"), [("Created", "Cancelled"), ("CREATED", "CANCELLED")])
def test_query_for_later_cancellations_finds_them_in_both_versions(warehouse, page, created, is_cancelled):
    later, at_once = cancelled(id=901, pickup_status=is_cancelled), cancelled(id=902, pickup_status=is_cancelled)
    history = [
        state(later, "2026-03-07 00:00Z", created, cancelled_at=None),
        state(later, "2026-03-09 00:00Z"),
        state(at_once, "2026-03-09 00:00Z"),
    ]

    (found,) = warehouse(later, at_once, history=history).execute(QUERIES[page]).fetchall()

    assert 901 in found
