"""Describes the views and their columns inside the database, where SQL clients and BI tools show them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

from pipelines.analytics.views import SqlConnection, comment_on_view, view_comments
from pipelines.dialects import DUCKDB

DESCRIPTIONS = Path(__file__).parent / "columns.toml"


def column_descriptions() -> dict[str, dict[str, str]]:
    """Returns the description of each column, by view and column."""
    with DESCRIPTIONS.open("rb") as file:
        return tomllib.load(file)


def describe_views(connection: SqlConnection) -> None:
    """Describes all views in a DuckDB database, and their columns, in one transaction for each view.

    Until a transaction ends, DuckDB keeps a copy of the view for each comment. In a single transaction, the comments
    take 0.1 s and 40 MB; this way, they take half the time (duckdb 1.5.5, 2026-11-30). The comment on the view comes
    last. If a run is killed before it, the views don't count as current, and the next run creates them again.
    """
    described = column_descriptions()
    for view, comment in view_comments(DUCKDB).items():
        connection.execute("begin")
        comment_on_columns(connection, [(view, column) for column in described[view]])
        comment_on_view(connection, view, comment)
        connection.execute("commit")


def comment_on_columns(connection: SqlConnection, columns: Iterable[tuple[str, str]] | None = None) -> None:
    """Stores the descriptions as comments on the columns.

    Args:
        connection: a connection to the database. Its views exist.
        columns: the views and columns to describe. By default, all of them. Columns without a description are left out.
    """
    described = {
        (view, column): text for view, texts in column_descriptions().items() for column, text in texts.items()
    }
    chosen = described if columns is None else [column for column in columns if column in described]
    statements = [
        f"comment on column analytics.{view}.{column} is '{described[view, column].replace(chr(39), chr(39) * 2)}'"
        for view, column in chosen
    ]
    if statements:
        connection.execute("; ".join(statements))
