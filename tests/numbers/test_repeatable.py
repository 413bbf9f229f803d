"""Tests that a view returns the same rows to the last bit, for any order of rows and any number of threads."""

from __future__ import annotations

import duckdb
import pytest

from tests.support.by_hand import OVER_PICKUPS, fill

pytestmark = pytest.mark.duckdb2

# 6,000 pickups of 12 accounts in half a year, whose counts make fractions that doubles can't hold exactly.
PICKUPS = """
    insert into sendcloud.pickups by name
    select
        'shop ' || hash(id * 7) % 12 as account,
        id,
        'carrier ' || (hash(id * 3) % 4 + hash(id * 7) % 3) as carrier,
        ['NL', 'BE', 'DE', null, 'GB'][cast(hash(id * 5) % 5 as int) + 1] as country,
        created_at + to_hours(cast(4 + hash(id * 29) % 140 as bigint)) as pickup_from,
        created_at + to_hours(cast(6 + hash(id * 29) % 140 + hash(id * 11) % 8 as bigint)) as pickup_until,
        case hash(id * 17) % 7 when 0 then 'Cancelled' when 1 then 'Failed' when 2 then 'Announcing' else 'Created' end
            as pickup_status,
        created_at,
        case when hash(id * 17) % 7 = 0 then created_at + to_minutes(cast(hash(id * 19) % 3000 as bigint)) end
            as cancelled_at,
        hash(id * 23) % 3 as contract,
        'v2' as api_version
    from (
        select id, timestamptz '2026-01-01 00:00:00Z' + to_minutes(id * 43) as created_at from range(6000) as ids(id)
    )
    order by {order}
"""
RUNS = """
    insert into sendcloud.pickup_runs by name
    select
        'run ' || account as run_id,
        account,
        timestamptz '2026-06-28 00:00:00Z' as started_at,
        started_at as finished_at,
        started_at as observed_at,
        'succeeded' as outcome,
        '{}' as checks_failed
    from (select distinct account from sendcloud.pickups)
"""
HISTORY = """
    insert into sendcloud.pickup_status_history by name
    select account, id, 'Announcing' as pickup_status, pickup_from, pickup_until, created_at as observed_at
    from sendcloud.pickups
    union all by name
    select
        account,
        id,
        pickup_status,
        cancelled_at,
        pickup_from + to_hours(cast(hash(id) % 2 as bigint)) as pickup_from,
        pickup_until,
        created_at + to_minutes(cast(1 + hash(id * 31) % 600 as bigint)) as observed_at
    from sendcloud.pickups
"""


def world(order: str, threads: int) -> duckdb.DuckDBPyConnection:
    """Returns a warehouse whose rows are inserted in that order and read by that many threads."""
    con = fill(duckdb.connect(), [], runs=[])
    for statement in (PICKUPS.format(order=order), RUNS, HISTORY):
        con.execute(statement)
    con.execute(f"set threads = {threads}; set preserve_insertion_order = {threads == 1}")
    con.execute("pragma verify_parallelism")  # otherwise, one thread reads a table of this size
    return con


@pytest.fixture(scope="module")
def worlds():
    made = [world("id", 1), world("hash(id)", 2), world("hash(id * 13)", 4)]
    yield made
    for con in made:
        con.close()


@pytest.mark.parametrize("view", OVER_PICKUPS)
def test_rows_of_a_view_are_the_same_to_the_last_bit_in_every_query(worlds, view):
    digest = f"select count(*), bit_xor(hash(whole)) from analytics.{view} as whole"
    first, *others = [con.execute(digest).fetchone() for con in worlds]

    assert first[0] > 0
    assert all(other == first for other in others)
