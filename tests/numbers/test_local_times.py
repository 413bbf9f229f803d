"""Tests that local times from listed offsets equal those of Python's time zone database."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pipelines.dialects.translate import translate
from tests.support.by_hand import SESSION_ZONES, VIEWS, ZONES, instant, pickup, rows, run

pytestmark = pytest.mark.duckdb2

COUNTRIES = {**ZONES, "US": "UTC", None: "UTC"}
INSTANTS = ("created_at", "pickup_from", "pickup_until")
DAYS = ("1995-03-26", "2019-10-27", "2021-03-28", "2025-10-26", "2026-03-29", "2026-10-25", "2035-06-01")


def times_around(day: str) -> list[datetime]:
    """Returns a time every seven hours in the ten days on either side of the day, and every hour in its first night."""
    midnight = datetime.fromisoformat(day).replace(tzinfo=UTC, second=59)
    return [midnight + timedelta(hours=hour) for hour in (*range(-240, 240, 7), *range(4))]


@pytest.mark.parametrize("session_zone", SESSION_ZONES)
def test_local_times_around_clock_changes_equal_those_of_python(warehouse, session_zone):
    pickups = [
        pickup(country=country, created_at=at, pickup_from=at + timedelta(hours=5), pickup_until=at + timedelta(days=9))
        for country in COUNTRIES
        for day in DAYS
        for at in times_around(day)
    ]
    expected = []
    for one in pickups:
        zone = ZoneInfo(COUNTRIES[one["country"]])
        booked, opens, closes = (one[name].astimezone(zone).replace(tzinfo=None) for name in INSTANTS)
        monday = date.fromordinal(booked.toordinal() - booked.weekday())
        expected.append((one["id"], str(booked.date()), booked.hour, str(monday), str(opens), str(closes)))

    con = warehouse(*pickups, session_zone=session_zone)

    columns = "booked_day_local, booked_hour_local, booked_week_local_start, window_opens_local, window_closes_local"
    assert rows(con, f"pickup_id, {columns}") == expected


@pytest.mark.parametrize("observed_at", ["1970-01-15 00:00Z", "1971-03-01 00:00Z", None])
def test_local_times_do_not_depend_on_the_time_of_the_newest_run(warehouse, observed_at):
    """Countries changed their clocks in other weeks then: Italy on 1970-05-31, and the Netherlands only since 1977."""
    times = [instant("1969-05-20 00:30Z") + timedelta(hours=15 * step) for step in range(1200)]
    pickups = [pickup(country=country, created_at=at) for country in ("IT", "NL", "GB") for at in times]
    expected = [(one["id"], one["created_at"].astimezone(ZoneInfo(ZONES[one["country"]])).hour) for one in pickups]

    con = warehouse(*pickups, runs=[run(observed_at=observed_at)] if observed_at else [])

    assert rows(con, "pickup_id, booked_hour_local") == expected


@pytest.mark.parametrize("dialect", ["postgres", "spark"])
def test_other_dialects_convert_every_time_themselves(dialect):
    assert "offset" in VIEWS["pickups"]
    assert "offset" not in translate(VIEWS["pickups"], dialect).lower()
