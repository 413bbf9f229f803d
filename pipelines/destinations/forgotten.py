"""Masks pickups for `pickups forget`, and deletes pickups that are older than `[retention]` allows.

The API continues to list these pickups. A forgotten pickup keeps its row, id and states, so that no count changes and
no sweep mistakes it for a new pickup. Whenever the pickup is read again, its personal data is masked again.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from pipelines.destinations.account_rows import check_all_again
from pipelines.destinations.base import Session

_ID = re.compile(r"[1-9][0-9]{0,17}")
MASK = "forgotten"  # replaces a forgotten tracking number
FORGOTTEN_TABLE = "pickups_forgotten"
_CREATE_TABLE = """
    create table if not exists sendcloud.pickups_forgotten (
        account text not null, id bigint not null, forgotten_at timestamptz not null
    )
"""
_PICKUPS = "select id from sendcloud.pickups where account = $account and tracking_number = $number"
_NOTE = "insert into sendcloud.pickups_forgotten select $account, unnest($ids), $now"
# the rows of each table that contain the tracking number
_MATCHES = {
    "pickups": "account = $account and (tracking_number = $number or strpos(coalesce(extra::text, ''), $number) > 0)",
    "pickups_quarantine": "account = $account and strpos(record::text, $number) > 0",
}
_QUARANTINED = f"sendcloud.pickups_quarantine where {_MATCHES['pickups_quarantine']}"
_QUARANTINED_IDS = f"select json_extract_string(record, '$.id') from {_QUARANTINED}"  # noqa: S608  # a constant
_MASK_PICKUPS = f"update sendcloud.pickups set tracking_number = $mask, extra = null where {_MATCHES['pickups']}"  # noqa: S608  # as above
_IS_EXPIRED = "greatest(created_at, coalesce(pickup_until, pickup_from, created_at)) < $before"
_EXPIRED_IDS = f"select id from sendcloud.pickups where account = $account and {_IS_EXPIRED}"  # noqa: S608  # a constant
_TABLES_WITH_IDS = ("pickup_status_history", "pickups_unlisted", "pickups_swept")


def count_matches(session: Session, account: str, number: str) -> dict[str, int]:
    """For each table that contains this tracking number, returns how many of the account's rows have the number."""
    facts = {"account": account, "number": number}
    found = {}
    for table in filter(session.has_table, _MATCHES):
        count = f"select count(*) from sendcloud.{table} where {_MATCHES[table]}"  # noqa: S608  # constants
        ((found[table],),) = session.execute(count, facts).fetchall()
    return {table: rows for table, rows in found.items() if rows}


def forget_number(session: Session, account: str, number: str) -> None:
    """Masks the tracking number in the open transaction, and records the pickups so that later runs mask them too."""
    facts = {"account": account, "number": number}
    session.execute(_CREATE_TABLE)
    found = session.execute(_PICKUPS, facts).fetchall()
    if session.has_table("pickups_quarantine"):
        found += session.execute(_QUARANTINED_IDS, facts).fetchall()
        session.execute(f"delete from {_QUARANTINED}", facts)  # noqa: S608  # a constant
    session.execute(_MASK_PICKUPS, facts | {"mask": MASK})
    check_all_again(session)
    ids = {int(id_) for (id_,) in found if _ID.fullmatch(str(id_))} - {*forgotten_ids(session, account)}
    if ids:
        session.execute(_NOTE, {"account": account, "ids": sorted(ids), "now": datetime.now(UTC)})


def forgotten_ids(session: Session, account: str) -> list[int]:
    """Returns the ids of the account's forgotten pickups."""
    if not session.has_table(FORGOTTEN_TABLE):
        return []
    found: list[tuple[Any, ...]] = session.execute(_FORGOTTEN_IDS, [account]).fetchall()
    return [id_ for (id_,) in found]


_FORGOTTEN_IDS = "select id from sendcloud.pickups_forgotten where account = ?"


def has_expired_pickups(session: Session, account: str, before: datetime) -> bool:
    """Returns whether the account has pickups whose booking time and window end are both before `before`."""
    facts = {"account": account, "before": before}
    return session.has_table("pickups") and bool(session.execute(f"{_EXPIRED_IDS} limit 1", facts).fetchall())


def delete_expired_pickups(session: Session, account: str, before: datetime) -> None:
    """Deletes expired pickups, their states, and old rejected records in the open transaction."""
    facts = {"account": account, "before": before}
    for table in filter(session.has_table, _TABLES_WITH_IDS):
        session.execute(f"delete from sendcloud.{table} where account = $account and id in ({_EXPIRED_IDS})", facts)  # noqa: S608  # constants
    if session.has_table("pickups_quarantine"):
        old = "delete from sendcloud.pickups_quarantine where account = $account and first_seen_at < $before"
        session.execute(old, facts)
    session.execute(f"delete from sendcloud.pickups where account = $account and {_IS_EXPIRED}", facts)  # noqa: S608  # a constant
    check_all_again(session)
