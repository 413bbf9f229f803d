"""Keeps columns of `analytics.pickups` in `sendcloud.pickups`, so that views do not derive them again (DuckDB only).

The local day and hours of a pickup depend only on the pickup itself. Deriving them takes a seventh of the CPU time of
all views over ten million pickups, and a quarter of that of `rates`. Keeping them adds 2 % to the file (2026-11-30).
Only `sql/views/pickups.sql` defines them: runs execute its CTEs over the rows that they load, and the view then reads
the columns instead of its own expressions. Tables without the columns give the same numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import pyarrow as pa
    from dlt.extract import DltResource

_PICKUPS = Path(__file__).parent / "sql" / "views" / "pickups.sql"
KEPT_COLUMNS: Mapping[str, Literal["date", "bigint"]] = {
    "booked_day_local": "date",
    "booked_hour_local": "bigint",
    "window_opens_hour_local": "bigint",
    "window_opens_isodow_local": "bigint",
}
# These texts occur once in pickups.sql, and so do the parts that the patterns find.
_EXPRESSIONS = {
    "booked_day_local": "cast(booked_local as date)",
    "booked_hour_local": "extract(hour from booked_local)",
    "window_opens_hour_local": "extract(hour from window_opens_local)",
    "window_opens_isodow_local": "extract(isodow from window_opens_local)",
}
_LAST_SENT = "pickups._dlt_load_id as last_load_id"
_COUNTRY = re.compile(r"^ +(\S.* as country),$", re.MULTILINE)
_LOCAL_TIMES = re.compile(r"^dated as \(.*^localised as \(.*?^\),$", re.MULTILINE | re.DOTALL)


class RowConnection(Protocol):
    """A connection to DuckDB that can read Arrow tables."""

    def register(self, name: str, rows: Any, /) -> Any:
        """Makes the rows available to statements as a table."""

    def sql(self, query: str, /) -> Any:
        """Returns the result, with `to_arrow_table()`."""


def reading_kept_columns(query: str) -> str:
    """Returns the view's query for tables that have the kept columns. Only `analytics.pickups` changes."""
    kept = "".join(f",\n        pickups.{name} as kept_{name}" for name in KEPT_COLUMNS)
    query = query.replace(_LAST_SENT, _LAST_SENT + kept)
    for name, expression in _EXPRESSIONS.items():
        query = query.replace(f"{expression} as {name}", f"kept_{name} as {name}")
    return query


def deriving_kept_columns(source: str, passed: Mapping[str, str]) -> str:
    """Returns a query that derives the kept columns as `analytics.pickups` does.

    Args:
        source: the table to read under the name `pickups`, with a condition if necessary.
        passed: other columns to return before the kept ones, from name to expression.
    """
    query = _PICKUPS.read_text(encoding="utf-8")
    (country,), (local_times,) = _COUNTRY.findall(query), _LOCAL_TIMES.findall(query)
    sent = ", ".join(f"{expression} as {name}" for name, expression in passed.items())
    kept = ", ".join([*passed, *(f"{expression} as {name}" for name, expression in _EXPRESSIONS.items())])
    cleaned = f"select {sent}, {country}, created_at, pickup_from, pickup_until from {source}"  # noqa: S608  # constants
    rest = f"{local_times}\nkept as (select {kept} from localised)\nfrom kept"  # noqa: S608  # as above
    return f"with cleaned as ({cleaned}),\n{rest}"


def digest_of_rules() -> str:
    """Returns a digest of `analytics.pickups`. If it changes, the kept columns of all rows must be derived again.

    An older version derives them by its own rules, but leaves the views of a newer version in place. If a release
    changes the rules or keeps another column, it must therefore increase LAYOUT_VERSION (warehouse_mark.py).
    """
    query = _PICKUPS.read_text(encoding="utf-8") + str(_EXPRESSIONS)
    words = " ".join(re.sub("--.*", "", query).split())
    return sha256(words.encode()).hexdigest()[:8]


def keep_columns(pickups: DltResource, open_session: Callable[[], AbstractContextManager[RowConnection]]) -> None:
    """Makes dlt load the rows of the resource with the kept columns."""

    def add_columns(rows: pa.Table) -> pa.Table:
        with open_session() as session:
            return with_kept_columns(session, rows)

    pickups.add_map(add_columns).apply_hints(columns={name: {"data_type": kind} for name, kind in KEPT_COLUMNS.items()})


def with_kept_columns(connection: RowConnection, rows: pa.Table) -> pa.Table:
    """Returns the rows with the kept columns as further columns.

    Args:
        connection: a connection to DuckDB.
        rows: rows with the columns that the API sent. The ids are in any order.
    """
    connection.register("rows_to_keep", rows)
    derived = connection.sql(deriving_kept_columns("rows_to_keep as pickups", {"id": "pickups.id"})).to_arrow_table()
    if not derived["id"].equals(rows["id"]):
        raise AssertionError("DuckDB returned the rows in another order")
    for name in KEPT_COLUMNS:
        rows = rows.append_column(name, derived[name])
    return rows
