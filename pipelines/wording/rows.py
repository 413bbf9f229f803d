"""Defines what the functions of this package take and return, and sums rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
Rows = Sequence[Row]
Texts = list[str]  # the finding first; an empty text says nothing

SIDES = ("higher", "lower")  # what the views say of a group that stands out
ENOUGH_TO_COMPARE = 30


def sums(rows: Rows, *columns: str) -> list[float]:
    """Returns the sum of each column. An unknown number counts as 0."""
    return [sum(row[column] or 0 for row in rows) for column in columns]
