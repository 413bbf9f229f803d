"""Asks the views about simulated worlds, and compares what they state with what is true."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from pipelines.analytics.views import SQL, query_of
from tests.soak.simulation import BETWEEN_SHOPS, DAYS, RATE, REBOOKED, Columns

VIEWS = (
    "booking_days",
    "booking_bands",
    "rate_moments",
    "rate_intervals",
    "carrier_expected",
    "rebookings",
    "carrier_net_cancellations",
    "cancellation_changes",
    "upcoming_pickups",
)
BEGAN = "timestamp '2026-01-05'"  # a Monday
AS_OF_HOURS = DAYS * 24 + 6
PICKUPS = f"""
    create or replace table analytics.pickups as
    select
        account, row_number() over () as pickup_id, carrier, country, contract::bigint as contract_id, chance,
        {BEGAN} + to_microseconds((created * 3.6e9)::bigint) as created_at_utc,
        {BEGAN} + to_hours(opens::bigint) as pickup_from_utc,
        {BEGAN} + to_hours((opens + hours)::bigint) as window_ends_at_utc,
        {BEGAN} + to_hours($as_of::bigint) as as_of_utc,
        opens + hours < $as_of as is_mature,
        coalesce(cancelled <= $as_of, false) as is_cancelled, not is_cancelled as is_kept,
        false as is_failed, false as is_pending, false as is_window_before_booking, true as has_local_time,
        opens - created as lead_time_hours, hours::double as window_hours,
        case when is_cancelled then {BEGAN} + to_microseconds((cancelled * 3.6e9)::bigint) end as cancelled_at_utc,
        case when is_cancelled then cancelled - created end as hours_to_cancel,
        case when is_cancelled then opens - cancelled end as cancellation_notice_hours,
        created_at_utc::date as booked_day_local, hour(created_at_utc) as booked_hour_local,
        pickup_from_utc as window_opens_local, hour(pickup_from_utc) as window_opens_hour_local,
        not is_mature and cancelled > $as_of as will_be_cancelled,
        case when $is_every then 'all' else account end as scope
    from (select * replace (nullif(cancelled, 'nan') as cancelled) from booked)
    where created < $as_of
"""

# Each query returns a row for each statement: the world, whether its interval and that of the difference contain the
# truth, the family within which Holm's correction applies, and whether the statement claims a difference. Intervals
# with fewer than 20 clusters are left out. So are forecasts for a single pickup, whose only bounds are 0 and 1.
RATES = """
    with truths as (
        select scope, carrier, s / n as truth, truth - (sum(s) over shop - s) / (sum(n) over shop - n) as apart
        from (
            select scope, carrier, sum(chance) as s, count(*) as n
            from analytics.pickups where is_mature group by all
        )
        window shop as (partition by scope)
    )
    select
        account, truth between rate_low and rate_high, apart between difference_low and difference_high,
        '', stands_out <> 'no'
    from analytics.rate_intervals as rates join truths on scope = account and truths.carrier = rates.carrier
    where breakdown = 'carrier' and outcome = 'cancelled' and is_every_account = $is_every and clusters >= 20
"""
BANDS = """
    select account, null, difference_low <= 0 and 0 <= difference_high, measure, stands_out <> 'no'
    from analytics.rate_intervals
    where breakdown = 'band' and measure in ('contract', 'booking hour', $lead) and is_every_account = $is_every
        and clusters >= 20
"""
CHANGES = """
    select account, difference_low <= 0 and 0 <= difference_high, null, '', is_more_than_chance
    from analytics.cancellation_changes where is_every_account = $is_every and clusters >= 20
"""
EXPECTED = """
    select account, ratio_low <= 1 and 1 <= ratio_high, null, '', stands_out <> 'no'
    from analytics.carrier_expected where is_every_account = $is_every and score is not null and clusters >= 20
"""
# A share b of the cancellations is rebooked, but not those of bookings that replace others. If the share r is
# cancelled, the rest of the rate is r * (1 - b + b * r). Unlike shops have the mean of this rest, whose square of r
# is larger by the variance between them.
NET = f"""
    with truths as (
        select
            scope, carrier, if($is_every, {RATE}, avg(chance)) as r, if($is_every, {BETWEEN_SHOPS}, 0) as between_shops
        from analytics.pickups where is_mature group by all
    )
    select
        account,
        r * (1 - {REBOOKED}) + {REBOOKED} * (r * r + between_shops)
            between net_cancellation_rate_low and net_cancellation_rate_high,
        null, '', null
    from analytics.carrier_net_cancellations as net join truths on scope = account and truths.carrier = net.carrier
    where country = 'all' and is_every_account = $is_every and clusters >= 20
"""
UPCOMING = """
    with truths as (
        select
            scope, carrier, pickup_from_utc::date as day, window_opens_hour_local as hour,
            count(*) filter (where will_be_cancelled) as k
        from analytics.pickups where pickup_from_utc > as_of_utc and not is_cancelled group by all
    )
    select account, k between expected_cancellations_low and expected_cancellations_high, null, '', null
    from analytics.upcoming_pickups as upcoming join truths on scope = account and truths.carrier = upcoming.carrier
        and day = window_opens_day_local and hour = window_opens_hour_local
    where is_every_account = $is_every and expected_cancellations is not null and pickups >= 2
"""


class Found(NamedTuple):
    """Counts a statement's intervals, those of them that contain the truth, its families, and those with a claim."""

    intervals: int = 0
    covered: int = 0
    differences: int = 0
    differences_covered: int = 0
    families: int = 0
    claims: int = 0

    def __add__(self, other: Found) -> Found:  # type: ignore[override]
        return Found(*(a + b for a, b in zip(self, other, strict=True)))


def connect() -> duckdb.DuckDBPyConnection:
    """Returns a connection to a database with the views over a table of pickups, which is empty."""
    connection = duckdb.connect()
    connection.execute("set threads = 1; create schema analytics")
    return connection


def fill(connection: duckdb.DuckDBPyConnection, shops: Sequence[Columns], *, is_every: bool) -> None:
    """Replaces the pickups by those of the shops, as a run observed them on the last day."""
    connection.register("booked", pa.table({name: np.concatenate([one[name] for one in shops]) for name in shops[0]}))
    connection.execute(PICKUPS, {"as_of": AS_OF_HOURS, "is_every": is_every})
    if not connection.execute("from duckdb_views() where schema_name = 'analytics'").fetchall():
        for view in VIEWS:
            connection.execute(f"create view analytics.{view} as {query_of(SQL / 'views' / f'{view}.sql')}")


def ask(connection: duckdb.DuckDBPyConnection, query: str, *, is_every: bool, **more: str) -> Found:
    """Returns what the statement of the query said about the worlds in the database."""
    rows = connection.execute(query, {"is_every": is_every} | more).fetchall()
    judged, compared = ([row[column] for row in rows if row[column] is not None] for column in (1, 2))
    families = {(row[0], row[3]) for row in rows if row[4] is not None}
    claims = {(row[0], row[3]) for row in rows if row[4]}
    return Found(len(judged), sum(judged), len(compared), sum(compared), len(families), len(claims))
