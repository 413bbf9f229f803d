"""Describes the columns of the views inside the database, where SQL clients and BI tools show them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

from pipelines.analytics.views import SqlConnection

DESCRIPTIONS = Path(__file__).parent / "columns.toml"


def column_descriptions() -> dict[str, dict[str, str]]:
    """Returns the description of each column, by view and column."""
    with DESCRIPTIONS.open("rb") as file:
        return tomllib.load(file)


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
