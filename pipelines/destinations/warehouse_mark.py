"""Reads and writes the warehouse's mark, which is the only row of `sendcloud.pickups_warehouse`.

The mark proves that the schema is ours, identifies the warehouse, and records the layout of its tables. A published
file is a copy of the warehouse, so it has the same mark. Versions before 0.2 wrote no mark; `ownership.py` recognizes
their tables, and the next run adds the mark.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

from pipelines.destinations.base import ANALYTICS, Session
from pipelines.errors import NewerLayout
from pipelines.receipt import program_version

MARK_TABLE = "pickups_warehouse"
# Increase this number if an older version of this program would misread the tables, or write wrong rows into them.
# Every version must keep the two columns of _LAYOUT, which older versions read.
LAYOUT_VERSION = 1
_LAYOUT = f"select layout_version, program_version from sendcloud.{MARK_TABLE}"  # noqa: S608  # the name is a constant


@dataclass(frozen=True)
class WarehouseMark:
    """The mark of one warehouse. Its fields are the columns of the table.

    Attributes:
        warehouse_id: distinguishes this warehouse from all others.
        layout_version: see LAYOUT_VERSION.
        program_version: the version of this package that last wrote the mark.
        created_at: when the first run with a mark began, according to this machine's clock.
        analytics_schema: the schema with the views.
        warehouse_path: the DuckDB file that runs write, or None on a server.
        published_path: the DuckDB file that people read, or None on a server.
        published_file: identifies the version of that file that the last run published, or None on a server.
        kept_columns: the digest of the rules for the kept columns (analytics/kept_columns.py), or None on a server.
    """

    warehouse_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    layout_version: int = LAYOUT_VERSION
    program_version: str = field(default_factory=program_version)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    analytics_schema: str = ANALYTICS
    warehouse_path: str | None = None
    published_path: str | None = None
    published_file: str | None = None
    kept_columns: str | None = None


_COLUMNS = [column.name for column in fields(WarehouseMark)]
_CREATE = f"""
    create table if not exists sendcloud.{MARK_TABLE} (
        warehouse_id text not null, layout_version bigint not null, program_version text not null,
        created_at timestamptz not null, analytics_schema text not null, warehouse_path text, published_path text,
        published_file text, kept_columns text
    )
"""
_INSERT = f"insert into sendcloud.{MARK_TABLE} ({', '.join(_COLUMNS)}) values (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  # as above


def read_mark(session: Session, where: str) -> WarehouseMark | None:
    """Returns the warehouse's mark, or None if there is no mark yet.

    Args:
        session: a session over the warehouse or a published copy of it.
        where: the warehouse, for messages.

    Raises:
        NewerLayout: a newer version of this program wrote the tables.
    """
    columns = session.columns(MARK_TABLE)
    if not {"layout_version", "program_version"} <= set(columns):
        return None  # the table is missing or belongs to somebody else; the ownership check reports the second case
    known = [name for name in _COLUMNS if name in columns]
    for layout, program in session.execute(_LAYOUT).fetchall():
        if layout > LAYOUT_VERSION:
            raise NewerLayout(where, layout, LAYOUT_VERSION, program)
        # without an Arrow table, because importing Arrow takes `pickups status` 18 ms (2026-11-30)
        (facts,) = session.execute(f"select {', '.join(known)} from sendcloud.{MARK_TABLE}").fetchall()  # noqa: S608  # the names are constants
        return WarehouseMark(**dict(zip(known, facts, strict=True)))
    return None


def updated(found: WarehouseMark | None, here: dict[str, Any]) -> WarehouseMark:
    """Returns the mark with the current values, or a new mark if there is none."""
    now = {"layout_version": LAYOUT_VERSION, "program_version": program_version(), **here}
    return replace(found or WarehouseMark(), **now)


def write_mark(session: Session, where: str, here: dict[str, Any], lock: Callable[[], object] = lambda: None) -> None:
    """Creates the mark, or updates it if one of its values has changed.

    Call this function before a run loads anything, because a crashed first run must not leave tables without a mark.

    Args:
        session: a session over the warehouse.
        where: the warehouse, for messages.
        here: the values of `analytics_schema` and, for a file, of `warehouse_path` and `published_path`.
        lock: keeps runs on other machines from writing the mark until the transaction ends.
    """
    found = read_mark(session, where)
    if updated(found, here) == found:
        return
    session.execute("begin")
    lock()
    mark = updated(read_mark(session, where), here)
    session.execute("create schema if not exists sendcloud")
    store_mark(session, mark)
    session.execute("commit")


def store_mark(session: Session, mark: WarehouseMark) -> None:
    """Stores the mark in the schema `sendcloud`, which must exist. An existing mark is replaced."""
    session.execute(_CREATE)
    for name in set(_COLUMNS) - set(session.columns(MARK_TABLE)):  # an older version created the table
        session.execute(f"alter table sendcloud.{MARK_TABLE} add column {name} text")
    session.execute(f"delete from sendcloud.{MARK_TABLE}")  # noqa: S608  # as above
    session.execute(_INSERT, astuple(mark))


def note_published_file(session: Session, identity: str) -> None:
    """Stores the identity of the published file, so that the next run can recognize the file without opening it."""
    session.execute(f"update sendcloud.{MARK_TABLE} set published_file = ?", [identity])  # noqa: S608  # as above


def kept_digest(session: Session) -> str | None:
    """Returns the digest of the rules by which the kept columns were derived, or None if the mark has none."""
    found = session.execute(f"select kept_columns from sendcloud.{MARK_TABLE}").fetchall()  # noqa: S608  # as above
    return str(found[0][0]) if found and found[0][0] else None


def note_kept_digest(session: Session, digest: str) -> None:
    """Stores the digest of the rules by which the kept columns of all rows have been derived."""
    session.execute(f"update sendcloud.{MARK_TABLE} set kept_columns = ?", [digest])  # noqa: S608  # as above


def mark_from_json(text: str, where: str) -> WarehouseMark | None:
    """Returns a lake's mark, or None if the text is incomplete because a run crashed while writing it.

    Raises:
        NewerLayout: a newer version of this program wrote the lake.
    """
    try:
        facts = json.loads(text)
        layout, program = int(facts["layout_version"]), str(facts["program_version"])
        facts["created_at"] = datetime.fromisoformat(facts["created_at"])
    except (ValueError, KeyError, TypeError):
        return None
    if layout > LAYOUT_VERSION:
        raise NewerLayout(where, layout, LAYOUT_VERSION, program)
    return WarehouseMark(**{name: value for name, value in facts.items() if name in _COLUMNS})


def mark_as_json(mark: WarehouseMark) -> str:
    """Returns the text that `mark_from_json` reads."""
    return json.dumps(asdict(mark), default=datetime.isoformat, indent=2) + "\n"
