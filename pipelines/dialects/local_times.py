"""Removes the listed offsets from analytics.pickups, because only DuckDB converts to local time slowly."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

Node = Any  # sqlglot doesn't declare the types of a node's parts


def converted(node: Node) -> Node:
    """Returns the conversion to local time instead of the listed offset. analytics.pickups contains both."""
    return node.expressions[-1] if any(column.name == "offsets_us" for column in node.find_all(exp.Column)) else node


def without_offsets(node: Node) -> Node | None:
    """Returns None for a join with the offsets and for a CTE that lists them, and otherwise the node itself."""
    name = node.alias if isinstance(node, exp.CTE) else node.this.name
    return None if name.startswith("offset") else node
