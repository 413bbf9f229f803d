"""Updates the columns that a DuckDB warehouse keeps for the views, which `analytics/kept_columns.py` describes.

Runs load rows with these columns, so there is normally nothing to update. Other destinations lack the columns.
"""

from __future__ import annotations

from pipelines.analytics.kept_columns import KEPT_COLUMNS, deriving_kept_columns, digest_of_rules
from pipelines.destinations.base import Session
from pipelines.destinations.warehouse_mark import kept_digest, note_kept_digest
from pipelines.json_logs import print_or_log
from pipelines.wording.numbers import count

ROWS_AT_ONCE = 250_000  # updating ten million rows at once would take 2.2 GB of memory (duckdb 1.5.5, 2026-11-30)
_STORED = {"place": "pickups.rowid"} | {f"kept_{name}": f"pickups.{name}" for name in KEPT_COLUMNS}
_IS_DIFFERENT = " or ".join(f"{name} is distinct from kept_{name}" for name in KEPT_COLUMNS)
_IS_MISSING = "booked_day_local is null"
_LACKS_VALUES = f"select exists (from sendcloud.pickups where {_IS_MISSING})"  # 1 ms for ten million rows (2026-11-30)
_PART = "sendcloud.pickups as pickups where pickups.rowid >= ? and pickups.rowid < ? and {condition}"
_UPDATE = f"""
    update sendcloud.pickups as pickups set {", ".join(f"{name} = derived.{name}" for name in KEPT_COLUMNS)}
    from (select * from ({{derived}}) where {_IS_DIFFERENT}) as derived
    where derived.place = pickups.rowid
"""  # noqa: S608  # the names are constants


def fill_kept_columns(session: Session) -> None:
    """Derives the kept columns of rows that lack them, or of all rows if the rules have changed.

    Rows lack them if an older version of this package loaded them. Call this function before the run's transaction: it
    updates a large table in several transactions. After a crash, the next run does the rest before it creates views.
    """
    if not has_kept_columns(session):
        return
    digest = digest_of_rules()
    if kept_digest(session) != digest:
        _update(session, "true")
        note_kept_digest(session, digest)
    elif session.execute(_LACKS_VALUES).fetchall() == [(True,)]:
        _update(session, f"pickups.{_IS_MISSING}")


def compare_kept_columns(session: Session, account: str) -> None:
    """Derives the kept columns of all of the account's pickups again, and corrects those that differ.

    A sweep calls this function. The columns differ if another program has changed a row, or if DuckDB's time zones have
    changed.
    """
    if not has_kept_columns(session):
        return
    if corrected := _update(session, "pickups.account = ?", account):
        wrong = f"the local day or hours of {count(corrected, 'pickup')} were wrong"
        print_or_log("warning", f"Account {account}: {wrong}. This run corrects them.")


def has_kept_columns(session: Session) -> bool:
    """Returns whether `sendcloud.pickups` exists and has the kept columns."""
    return KEPT_COLUMNS.keys() <= set(session.columns("pickups"))


def _update(session: Session, condition: str, *values: str) -> int:
    """Derives the kept columns of the rows that satisfy the condition. Returns how many rows were different."""
    statement = _UPDATE.format(derived=deriving_kept_columns(_PART.format(condition=condition), _STORED))
    ((last,),) = session.execute("select coalesce(max(rowid), -1) from sendcloud.pickups").fetchall()
    # A checkpoint between two parts can move rows to lower rowids (2026-11-30), so the last part comes first.
    parts = reversed(range(0, last + 1, ROWS_AT_ONCE))
    updated = [session.execute(statement, [start, start + ROWS_AT_ONCE, *values]).fetchall() for start in parts]
    return sum(rows for ((rows,),) in updated)
