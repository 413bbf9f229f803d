"""Updates `sendcloud.pickups_quarantine` when the API lists a rejected pickup again in another form.

The source identifies a rejected record only by its hash and remembers the hash for a week by default. All other facts
about the record are stored in the table.
"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from pipelines.destinations.base import Session
from sources.sendcloud.records.tables import INSTANT

# dlt ignores columns that it does not know. If dlt merges a row again, the column becomes null. This is correct,
# because the record has been rejected again.
_ADD_RESOLVED_COLUMN = "alter table sendcloud.pickups_quarantine add column if not exists resolved_at timestamptz"
_MARK_RESOLVED = """
    update sendcloud.pickups_quarantine as refused
    set resolved_at = (select observed_at from now_seen)
    from listed
    where refused.resolved_at is null
        and listed.account = refused.account
        and json_extract_string(refused.record, '$.id') = listed.id::text
"""
# Ids are compared as text, as in the statement above. Text that is not a whole number does not identify a pickup. If a
# single run encountered several forms of a record, none of these forms counts as the newest.
_MARK_SUPERSEDED = """
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


def add_resolved_column(connection: Session) -> None:
    """Adds the `resolved_at` column if the table exists. The source does not provide this column."""
    if connection.has_table("pickups_quarantine"):
        connection.execute(_ADD_RESOLVED_COLUMN)


def mark_resolved(connection: Session, observed_at: datetime) -> None:
    """Marks a record as resolved if its pickup is in the registered table `listed`, which contains readable pickups.

    Args:
        connection: a session that can access the account's tables.
        observed_at: the time to record, in UTC, taken from the API's clock.
    """
    if not connection.has_table("pickups_quarantine"):
        return
    add_resolved_column(connection)
    connection.register("now_seen", pa.table({"observed_at": pa.array([observed_at], INSTANT)}))
    connection.execute(_MARK_RESOLVED)


def mark_superseded(connection: Session) -> None:
    """Marks a record as resolved if a later form of it, for example from another API version, was also rejected.

    The row with the newest form remains unresolved and represents the pickup. The result depends only on the table, so
    the next run completes the work of a crashed run.
    """
    if connection.has_table("pickups_quarantine"):
        connection.execute(_MARK_SUPERSEDED)
