"""Tests that every column of every view is described in the database."""

import pytest

from pipelines.analytics.column_comments import column_descriptions, comment_on_columns, describe_views
from pipelines.analytics.views import views_are_current
from pipelines.dialects import DUCKDB
from tests.support.by_hand import pickup

pytestmark = pytest.mark.duckdb2

COMMENTS = "select view_name, comment from duckdb_views() where schema_name = 'analytics'"
FOUND = "select table_name, column_name, comment from duckdb_columns() where schema_name = 'analytics'"


def test_every_column_of_every_view_has_a_description_and_no_other_has(warehouse):
    columns = {(view, column) for view, column, _ in warehouse(pickup()).execute(FOUND).fetchall()}

    assert {(view, column) for view, texts in column_descriptions().items() for column in texts} == columns


def test_descriptions_become_the_columns_comments(warehouse):
    con = warehouse(pickup())
    describe_views(con)

    described = column_descriptions()
    assert [row for row in con.execute(FOUND).fetchall() if row[2] != described[row[0]][row[1]]] == []


def test_a_view_counts_as_current_only_after_its_columns_are_described(warehouse):
    con = warehouse(pickup())
    assert not views_are_current(dict(con.execute(COMMENTS).fetchall()), DUCKDB)

    describe_views(con)

    assert views_are_current(dict(con.execute(COMMENTS).fetchall()), DUCKDB)
    assert con.execute(f"from ({FOUND}) where comment is null").fetchall() == []


def test_only_the_given_columns_are_described_and_unknown_ones_are_left_out(warehouse):
    con = warehouse(pickup())
    comment_on_columns(con, [("pickups", "carrier"), ("pickups", "a column of an older version")])

    found = {(view, column) for view, column, comment in con.execute(FOUND).fetchall() if comment}
    assert found == {("pickups", "carrier")}


def test_descriptions_are_sentences():
    assert [text for texts in column_descriptions().values() for text in texts.values() if not text.endswith(".")] == []
