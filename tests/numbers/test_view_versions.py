"""Tests how views are created, and when existing ones count as current: by their digest, or as a later version's."""

from __future__ import annotations

import duckdb
import pytest

from pipelines.analytics import views
from pipelines.dialects import DUCKDB
from tests.support.by_hand import TABLES

DIGEST = views._current_digest(DUCKDB)


@pytest.mark.parametrize(
    ("installed", "there", "digest", "is_current"),
    [
        ("1.0.0", "1.0.0", DIGEST, True),
        ("1.0.0", "1.0.0", "0123abcd", False),
        ("1.0.0", "0.2.0", "0123abcd", False),
        ("1.0.0", "10.0.0", "0123abcd", True),
        ("1.0.0rc1", "0.2.0", "0123abcd", False),
        ("1.0.0rc1", "1.0.0", "0123abcd", True),
        ("1.0.0", "1.0.0rc1", "0123abcd", False),
        ("1.0.0rc1", "1.0.0rc2", "0123abcd", True),
        ("1.0.0rc1", "1.0.0rc1.dev3", "0123abcd", False),
    ],
)
def test_views_of_a_later_version_are_current_and_a_candidate_comes_before_its_release(
    monkeypatch: pytest.MonkeyPatch, installed: str, there: str, digest: str, is_current: bool
) -> None:
    monkeypatch.setattr(views, "version", lambda _name: installed)
    comments = {path.stem: f"One row per pickup. ({there}, {digest})" for path in views.view_files()}

    assert views.views_are_current(comments, DUCKDB) is is_current


def test_views_without_a_version_are_not_current() -> None:
    assert not views.views_are_current({path.stem: "One row per pickup." for path in views.view_files()}, DUCKDB)


def test_no_placeholder_is_left_and_every_view_is_the_one_that_its_file_defines() -> None:
    in_order, ours = duckdb.connect(), duckdb.connect()
    for connection in (in_order, ours):
        connection.execute(TABLES)
    in_order.execute("create schema analytics")
    for path in views.view_files():
        query = views.query_of(path).replace("'", "''")
        in_order.execute(f"create view analytics.{path.stem} as from system.main.query('{query}')")

    views.create_views(ours)

    assert _definitions(ours) == _definitions(in_order)


def test_a_persons_macro_that_is_called_query_changes_no_view() -> None:
    connection = duckdb.connect()
    connection.execute(TABLES)
    views.create_views(connection)
    for name in ("macro main.query", "macro analytics.query", "temp macro query"):
        connection.execute(f"create {name}(text) as table select 7 as seven")

    assert connection.execute("select pickup_id from analytics.pickups").fetchall() == []


def _definitions(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, ...]]:
    found = "select view_name, sql from duckdb_views() where schema_name = 'analytics' order by view_name"
    kinds = (
        "select table_name, column_name, data_type from duckdb_columns() where schema_name = 'analytics' order by all"
    )
    return connection.execute(found).fetchall() + connection.execute(kinds).fetchall()
