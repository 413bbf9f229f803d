"""Tests the local times of analytics.pickups, which are computed without looking up the time zone in most cases."""

from __future__ import annotations

import duckdb
import pytest

from pipelines.analytics.views import query_of, view_files
from pipelines.dialects.translate import translate
from tests.support.by_hand import ZONES, fill

COUNTRIES = {**ZONES, "PL": "UTC"}  # the zone of PL isn't configured
# Every hour around the days on which the clocks may change and around new year, and noon of every other day. The first
# and the last years are those in which the day of the year doesn't decide.
INSTANTS = """
    with hours as (
        select unnest(generate_series(timestamptz '1995-01-01', timestamptz '2032-01-01', interval 1 hour)) as moment
    )
    select moment from hours
    where (month(moment) in (3, 10) and day(moment) >= 23)
        or (month(moment) in (4, 11) and day(moment) <= 2)
        or (month(moment) in (1, 12) and day(moment) in (1, 31))
        or hour(moment) = 12
"""
INSERT = """
    insert into sendcloud.pickups (account, id, carrier, country, pickup_status, created_at, pickup_from, pickup_until)
    select 'default', row_number() over (), 'dhl', ?, 'Created', moment, moment, moment + interval 90 minutes
    from instants
"""
DIFFERENT = """
    select created_at, window_opens_local, window_closes_local, booked_day_local, booked_hour_local
    from sendcloud.pickups as raw join analytics.pickups on pickup_id = id
    where window_opens_local is distinct from created_at at time zone $zone
        or window_closes_local is distinct from pickup_until at time zone $zone
        or booked_day_local is distinct from cast(created_at at time zone $zone as date)
        or booked_hour_local is distinct from hour(created_at at time zone $zone)
"""


@pytest.fixture(scope="module")
def instants():
    with duckdb.connect() as connection:
        fill(connection, [])
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"create table instants as {INSTANTS}")
        yield connection


@pytest.mark.parametrize("country", COUNTRIES)
def test_local_times_are_those_of_the_time_zone(instants, country):
    instants.execute("delete from sendcloud.pickups")
    instants.execute(INSERT, [country])

    assert instants.execute("select count(*) > 30000 from analytics.pickups").fetchall() == [(True,)]
    assert instants.execute(DIFFERENT, {"zone": COUNTRIES[country]}).fetchall() == []


def test_missing_window_has_no_local_time(instants):
    instants.execute("delete from sendcloud.pickups")
    instants.execute(INSERT, ["NL"])
    instants.execute("update sendcloud.pickups set pickup_from = null, pickup_until = null")

    found = "select count(window_opens_local), count(window_closes_local) from analytics.pickups"
    assert instants.execute(found).fetchall() == [(0, 0)]


@pytest.mark.parametrize("dialect", ["postgres", "spark"])
def test_other_engines_look_up_the_time_zone(dialect):
    (pickups,) = [path for path in view_files() if path.stem == "pickups"]

    local = translate(query_of(pickups), dialect).split("localised AS")[1].split("FROM offsets")[0]

    assert "Europe/Lisbon" in local
    assert "offset" not in local
