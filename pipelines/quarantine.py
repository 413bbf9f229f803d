"""`sendcloud.pickups_quarantine` over time: when a record was first seen, and when its pickup came in another form.

The source knows a record that can't be loaded by its hash only, and remembers it for a week; the table knows the rest.
"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from pipelines.store import Connection, Store
from pipelines.turns import Turn
from sources.sendcloud.rows import INSTANT, QUARANTINE_SCHEMA

# dlt leaves columns alone that it doesn't know, and a row that it merges again has them empty: unreadable once more
_COLUMN = "alter table sendcloud.pickups_quarantine add column if not exists resolved_at timestamptz"
_RESOLVE = """
    update sendcloud.pickups_quarantine as refused
    set resolved_at = (select observed_at from now_seen)
    from listed
    where refused.resolved_at is null
        and listed.account = refused.account
        and json_extract_string(refused.record, '$.id') = listed.id::text
"""
# by text, as above: what is no whole number tells of no pickup; of several forms that one run met none is the newest
_SUPERSEDE = """
    update sendcloud.pickups_quarantine as refused
    set resolved_at = newest.seen_at
    from (
        select account, json_extract_string(record, '$.id') as id, max(last_seen_at) as seen_at
        from sendcloud.pickups_quarantine
        group by account, json_extract_string(record, '$.id')
        having count(*) > 1
    ) as newest
    where refused.resolved_at is null
        and refused.account = newest.account
        and json_extract_string(refused.record, '$.id') = newest.id
        and newest.id similar to '[1-9][0-9]*'
        and refused.last_seen_at < newest.seen_at
"""
_FIRST = "refused.first_seen_at"
_LATEST = ", ".join(f"refused.{name}" for name in QUARANTINE_SCHEMA.names)
_FIRST_SEEN = f"""
    select {_LATEST.replace(_FIRST, f"coalesce(stored.first_seen_at, {_FIRST}) as first_seen_at")}
    from refused
    left join sendcloud.pickups_quarantine as stored
        on stored.account = refused.account and stored.record_hash = refused.record_hash
"""  # noqa: S608  # column names of our own schema


def prepare(connection: Connection) -> None:
    """Adds the column that the source doesn't know, where there is a table."""
    if connection.has_table("pickups_quarantine"):
        connection.execute(_COLUMN)


def resolve(connection: Connection, observed_at: datetime) -> None:
    """Marks the records whose pickup is among the rows of `listed`: it was readable at that instant (API's clock)."""
    if not connection.has_table("pickups_quarantine"):
        return
    prepare(connection)
    connection.register("now_seen", pa.table({"observed_at": pa.array([observed_at], INSTANT)}))
    connection.execute(_RESOLVE)


def supersede(connection: Connection) -> None:
    """Marks the records whose pickup was refused anew in another form, as another version of the API sends it: the
    newer form's row stands for it. Worked out from the table, so that a run which died leaves it to the next.
    """
    if connection.has_table("pickups_quarantine"):
        connection.execute(_SUPERSEDE)


class FirstSeen:
    """A dlt step, `resource.add_map(FirstSeen(…))`: a record met again keeps when it was first seen."""

    def __init__(self, store: Store, account: str, turn: Turn) -> None:
        self._store = store
        self._account = account
        self._turn = turn

    def __call__(self, refused: pa.Table) -> pa.Table:
        if not refused.num_rows:
            return refused
        with self._turn, self._store.opened() as session:
            connection = session.of(self._account)
            if not connection.has_table("pickups_quarantine"):
                return refused
            connection.register("refused", refused)
            return connection.sql(_FIRST_SEEN).to_arrow_table().cast(QUARANTINE_SCHEMA)
