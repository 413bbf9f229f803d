"""Tests that the conditions in docs/reference/rows-to-pickups.md select the pickups that the views count."""

import re
from pathlib import Path

import pytest

from tests.support.by_hand import FUTURE, cancelled, pickup, run

pytestmark = pytest.mark.duckdb2

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "rows-to-pickups.md").read_text()
ROWS = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(.+?)` \| (?:`(.+)`)? ?\|$", PAGE, re.M)
SCOPE = {
    "account": lambda row: "true" if row["is_every_account"] else f"account = '{row['account']}'",
    "carrier": lambda row: f"carrier = '{row['carrier']}'",
    "country": lambda row: {"all": "true", "unknown": "country is null"}.get(
        row["country"], f"country = '{row['country']}'"
    ),
    "booked_week_local_start": lambda _row: "true",
}


@pytest.fixture
def con(warehouse):
    """Returns a warehouse in which each condition selects some pickups and not others, in two accounts."""
    pickups = [
        *(cancelled(account=account, country=country) for account in ("a", "b") for country in ("NL", None)),
        cancelled(account="a", created_at="2026-03-01 09:00Z", cancelled_at="2026-03-02 09:00Z", carrier="ups"),
        cancelled(account="a", cancelled_at="2026-03-10 08:00Z"),
        cancelled(account="a", created_at="2026-03-10 01:00Z", cancelled_at="2026-03-10 08:00Z"),
        cancelled(account="b", pickup_status="Created"),
        cancelled(account="b", **FUTURE),
        pickup(account="a", created_at="2026-03-08 10:00Z"),
        pickup(account="a", pickup_status="Failed"),
        pickup(account="b", pickup_status="Announcing"),
        pickup(account="a", pickup_until=None),
        pickup(account="a", created_at="2026-03-11 09:00Z"),
        pickup(account="b", **FUTURE),
    ]
    return warehouse(*pickups, runs=[run("a"), run("b")])


def test_page_names_every_count_that_it_promises():
    assert len(ROWS) == len(re.findall(r"^\| `", PAGE, re.M)) == 17


@pytest.mark.parametrize(("view", "column", "condition", "_options"), ROWS, ids=[f"{v} {c}" for v, c, *_ in ROWS])
def test_condition_selects_as_many_pickups_as_the_row_counts(con, view, column, condition, _options):
    rows = con.execute(f"select * from analytics.{view}").fetchdf().to_dict("records")
    for row in rows:
        where = [make(row) for name, make in SCOPE.items() if name in row]
        if "booked_week_local_start" in row:
            condition_of_row = condition.replace("WEEK", f"date '{row['booked_week_local_start']:%Y-%m-%d}'")
        else:
            condition_of_row = condition
        selected = f"select count(*) from analytics.pickups where {' and '.join([*where, condition_of_row])}"
        assert con.execute(selected).fetchone() == (row[column],)
    assert {row[column] > 0 for row in rows if row["is_every_account"]} >= {True}
