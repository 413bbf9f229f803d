"""Computes the result of a sweep: changed rows that no ordinary run would have read, and unlisted rows.

A sweep may span several runs: if a sweep is interrupted, the next run resumes it. The rows that the sweep has seen are
therefore stored in a table until the sweep is complete. Rows are recorded when the API lists them, before they are
loaded. Recording a row twice does no harm. If a run crashes after its last load, the next run computes the result.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import pyarrow as pa

from pipelines.destinations.base import Session
from sources.sendcloud import ReadStats
from sources.sendcloud.records.tables import INSTANT

MAX_MISSED_IDS = 5


class SweepResult(NamedTuple):
    """The result of a complete sweep, or the interim result of a sweep that is under way.

    Attributes:
        rows_missed: the number of new or changed rows that no ordinary run would have read.
        missed_ids: the lowest ids of these rows, at most MAX_MISSED_IDS.
        rows_unlisted: the number of rows in the table that the API no longer lists, or None until the sweep is
            complete.
    """

    rows_missed: int
    missed_ids: list[int]
    rows_unlisted: int | None


_CREATE_TABLES = """
    create schema if not exists sendcloud;
    create table if not exists sendcloud.pickups_swept (
        account text not null, id bigint not null, sweep_began_at timestamptz not null, was_missed boolean not null
    );
    create table if not exists sendcloud.pickups_unlisted (
        account text not null, id bigint not null, unlisted_since timestamptz not null
    );
"""
_RELIST = """
    delete from sendcloud.pickups_unlisted as gone
    using listed where listed.account = gone.account and listed.id = gone.id
"""
_NOTE_ROWS = """
    delete from sendcloud.pickups_swept as swept
    using about where swept.account = about.account and swept.sweep_began_at <> about.began_at and not was_missed;
    -- missed rows of an earlier sweep stay, because its result was never reported
    update sendcloud.pickups_swept as swept set sweep_began_at = about.began_at
    from about where swept.account = about.account and swept.sweep_began_at <> about.began_at;
    insert into sendcloud.pickups_swept
    select listed.account, listed.id, about.began_at,
           found.id is not null and coalesce(listed.created_at < about.outside, false)
    from about
    cross join listed
    left join found on found.id = listed.id
"""
_SWEPT_ROWS = """
    from sendcloud.pickups_swept as swept
    join about on swept.account = about.account and swept.sweep_began_at = about.began_at
"""
# a listed record that can't be loaded is in quarantine and still counts as listed
_FIND_UNLISTED = f"""
    create temp table if not exists not_listed (account text, id bigint, unlisted_since timestamptz);
    delete from not_listed;
    insert into not_listed
    select pickups.account, pickups.id, about.began_at as unlisted_since
    from about
    join sendcloud.pickups on pickups.account = about.account
    where (about.since is null or pickups.created_at >= about.since)
        and pickups.id not in (select swept.id {_SWEPT_ROWS})
        and not exists (
            select 1 from sendcloud.pickups_quarantine as refused
            where refused.account = pickups.account and refused.last_seen_at >= about.began_at
                and json_extract_string(refused.record, '$.id') = pickups.id::text
        );
    delete from sendcloud.pickups_unlisted as gone using about
    where gone.account = about.account and gone.id not in (select id from not_listed);
    insert into sendcloud.pickups_unlisted
    select * from not_listed anti join sendcloud.pickups_unlisted as known using (account, id);
    delete from sendcloud.pickups_swept as swept using about where swept.account = about.account;
"""  # noqa: S608  # the inserted text is a constant


def create_tables(connection: Session) -> None:
    """Creates the two tables if they do not exist."""
    connection.execute(_CREATE_TABLES)


def note_listed_rows(connection: Session, stats: ReadStats, outside: datetime | None) -> None:
    """Records the rows that a sweep has seen, and whether an ordinary run would have missed each row.

    The session must have two registered tables: `listed` with the listed rows, and `found` with the ids of new and
    changed rows. Rows are recorded while a sweep is under way, and until its result has been computed. Even without a
    sweep, a row that is listed again is removed from `sendcloud.pickups_unlisted`.

    Args:
        connection: a session that can access the account's tables.
        stats: the account's read statistics.
        outside: the booking time (UTC) before which no ordinary run would have read a row. If `outside` is None, no row
            counts as missed.
    """
    create_tables(connection)
    connection.execute(_RELIST)
    if stats.sweep_began_at and (_is_under_way(stats) or _missed_ids(connection, stats)[1]):
        _register_sweep(connection, stats, outside)
        connection.execute(_NOTE_ROWS)


def sweep_result(connection: Session, stats: ReadStats, *, is_over: bool) -> SweepResult | None:
    """Returns the sweep's result so far, or None if there is no sweep or its result has already been computed.

    If the sweep is complete, the function also updates `sendcloud.pickups_unlisted` and deletes the recorded rows. Rows
    booked before the start date are not read, so they never count as unlisted.

    Args:
        connection: a session that can access the account's tables.
        stats: the account's read statistics.
        is_over: whether the sweep is complete.
    """
    if not stats.sweep_began_at:
        return None
    missed, rows_seen = _missed_ids(connection, stats)
    if not (_is_under_way(stats) or rows_seen):
        return None
    if is_over:
        connection.execute(_FIND_UNLISTED)
    unlisted = "select count(*) from sendcloud.pickups_unlisted join about using (account)"
    gone = connection.execute(unlisted).fetchall()[0][0] if is_over else None
    return SweepResult(len(missed), missed[:MAX_MISSED_IDS], gone)


def _is_under_way(stats: ReadStats) -> bool:
    return stats.sweep in ("complete", "incomplete")


def _missed_ids(connection: Session, stats: ReadStats) -> tuple[list[int], int]:
    """Returns the ids of missed rows, in ascending order, and the number of rows that the sweep has seen."""
    _register_sweep(connection, stats, None)
    missed = connection.execute(f"select distinct swept.id {_SWEPT_ROWS} where swept.was_missed order by 1").fetchall()
    seen: int = connection.execute(f"select count(*) {_SWEPT_ROWS}").fetchall()[0][0]
    return [id_ for (id_,) in missed], seen


def _register_sweep(connection: Session, stats: ReadStats, outside: datetime | None) -> None:
    """Registers facts about the sweep as a one-row table, `about`, so that no external text is inserted into SQL."""
    facts = {"began_at": stats.sweep_began_at, "since": stats.since, "outside": outside}
    columns = {name: pa.array([value], INSTANT) for name, value in facts.items()}
    connection.register("about", pa.table({"account": [stats.account], **columns}))
