"""What a sweep finds out: rows that changed where no ordinary run would have looked, and rows no longer listed.

A sweep may take several runs (one that dies is gone on with by the next), so what it has seen is kept in a table until
it is over. It is noted when rows are listed, before their load: noted twice does no harm, and a run that died between
its last load and the result leaves the result to the next.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa

from sources.sendcloud import Reading
from sources.sendcloud.rows import INSTANT

FIRST_FEW = 5


class Found(NamedTuple):
    """What the sweep under way, or just over, has found so far."""

    rows_missed: int  # new or different, and no ordinary run would have read them
    first_missed: list[int]  # the lowest ids among them
    rows_unlisted: int | None  # in the table and no longer listed; None as long as the sweep isn't over


_TABLES = """
    create schema if not exists sendcloud;
    create table if not exists sendcloud.pickups_swept (
        account text not null, id bigint not null, sweep_began_at timestamptz not null, was_missed boolean not null
    );
    create table if not exists sendcloud.pickups_unlisted (
        account text not null, id bigint not null, unlisted_since timestamptz not null
    );
"""
_LISTED_AGAIN = """
    delete from sendcloud.pickups_unlisted as gone
    using listed where listed.account = gone.account and listed.id = gone.id
"""
_NOTE = """
    delete from sendcloud.pickups_swept as swept
    using about where swept.account = about.account and swept.sweep_began_at <> about.began_at and not was_missed;
    update sendcloud.pickups_swept as swept set sweep_began_at = about.began_at  -- found, and not told yet
    from about where swept.account = about.account and swept.sweep_began_at <> about.began_at;
    insert into sendcloud.pickups_swept
    select listed.account, listed.id, about.began_at,
           found.id is not null and coalesce(listed.created_at < about.outside, false)
    from about
    cross join listed
    left join found on found.id = listed.id
"""
_SEEN = """
    from sendcloud.pickups_swept as swept
    join about on swept.account = about.account and swept.sweep_began_at = about.began_at
"""
# a record that is listed but can't be read is in quarantine, not gone
_RESULT = f"""
    drop table if exists not_listed;
    create temp table not_listed as
    select pickups.account, pickups.id, about.began_at as unlisted_since
    from about
    join sendcloud.pickups on pickups.account = about.account
    where (about.since is null or pickups.created_at >= about.since)
        and pickups.id not in (select swept.id {_SEEN})
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
"""  # noqa: S608  # a text of our own


def prepare(connection: Any) -> None:
    """Makes the two tables where they are missing."""
    connection.execute(_TABLES)


def note(connection: Any, reading: Reading, outside: datetime | None) -> None:
    """That the rows of `listed` were listed, and that those in `found` were new or different.

    For a sweep under way, or one whose result is yet to be drawn. Rows booked before `outside` are those that no
    ordinary run would have read. A row that is listed again is no longer among the unlisted, sweep or not.
    """
    prepare(connection)
    connection.execute(_LISTED_AGAIN)
    if reading.sweep_began_at and (_is_under_way(reading) or _missed(connection, reading)[1]):
        _about(connection, reading, outside)
        connection.execute(_NOTE)


def result(connection: Any, reading: Reading, *, is_over: bool) -> Found | None:
    """What the sweep has found so far; when it is over, also what is no longer listed, and its table is emptied.

    None when there is no sweep, or its result was drawn before. What lies before a start date isn't read, so it isn't
    missed either.
    """
    if not reading.sweep_began_at:
        return None
    missed, rows_seen = _missed(connection, reading)
    if not (_is_under_way(reading) or rows_seen):
        return None
    if is_over:
        connection.execute(_RESULT)
    unlisted = "select count(*) from sendcloud.pickups_unlisted join about using (account)"
    gone = connection.execute(unlisted).fetchall()[0][0] if is_over else None
    return Found(len(missed), missed[:FIRST_FEW], gone)


def _is_under_way(reading: Reading) -> bool:
    return reading.sweep in ("complete", "incomplete")


def _missed(connection: Any, reading: Reading) -> tuple[list[int], int]:
    """The ids missed, in order, and how many rows the sweep has seen."""
    _about(connection, reading, None)
    missed = connection.execute(f"select distinct swept.id {_SEEN} where swept.was_missed order by 1").fetchall()
    seen: int = connection.execute(f"select count(*) {_SEEN}").fetchall()[0][0]
    return [id_ for (id_,) in missed], seen


def _about(connection: Any, reading: Reading, outside: datetime | None) -> None:
    """A one-row relation of what the statements ask about: nothing from outside is put into SQL as text."""
    facts = {"began_at": reading.sweep_began_at, "since": reading.since, "outside": outside}
    columns = {name: pa.array([value], INSTANT) for name, value in facts.items()}
    connection.register("about", pa.table({"account": [reading.account], **columns}))
