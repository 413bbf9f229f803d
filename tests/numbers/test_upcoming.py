"""The pickups to come and their expected cancellations, by values worked out by hand.

The run in by_hand.py observed the list on 2026-04-01 at 00:00 UTC. The default mature pickup was booked 96 hours ahead.
"""

from datetime import datetime, timedelta

import pytest

from pipelines.warehouse import read
from tests.support.by_hand import cancelled, close, instant, many, only, pickup, rows, run

pytestmark = pytest.mark.duckdb2

AS_OF = instant("2026-04-01 00:00Z")
OPENED = instant("2026-03-10 09:00Z")  # when the window of a default pickup opened
VIEW = "upcoming_pickups"


def ahead(hours=33, **changes):
    """Returns a pickup whose window opens that many hours after as_of. 33 hours count as 32."""
    opens = AS_OF + timedelta(hours=hours)
    return pickup(pickup_from=opens, pickup_until=opens + timedelta(hours=3), **changes)


def gone(hours_before, **changes):
    """Returns a mature pickup that was cancelled that many hours before its window opened."""
    return cancelled(cancelled_at=OPENED - timedelta(hours=hours_before), **changes)


def expected(con, where="is_every_account"):
    return only(con, "expected_cancellations, without_estimate", VIEW, where)


def test_upcoming_pickups_are_counted_by_local_day_and_hour(warehouse):
    """The clocks have gone forward, so 22:30 UTC on 1 April is 00:30 on 2 April in Amsterdam, and 23:30 in London."""
    con = warehouse(
        ahead(22.5),
        ahead(22.75, pickup_status="Announcing"),
        ahead(22.5, country="GB"),
        ahead(22.5, country="XX"),
    )

    columns = "carrier, window_opens_day_local, window_opens_hour_local, has_local_time, pickups, pending, as_of_utc"
    as_of = "2026-04-01 00:00:00"
    assert rows(con, columns, VIEW) == [
        ("dpd", "2026-04-01", 22, False, 1, 0, as_of),
        ("dpd", "2026-04-01", 23, True, 1, 0, as_of),
        ("dpd", "2026-04-02", 0, True, 2, 1, as_of),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"pickup_status": "Cancelled"},
        {"cancelled_at": "2026-03-31 09:00Z"},
        {"pickup_status": "Failed"},
        {"hours": 0},
        {"hours": -1},
    ],
    ids=str,
)
def test_pickup_that_is_cancelled_failed_or_open_already_is_not_upcoming(warehouse, changes):
    assert rows(warehouse(ahead(**changes)), "pickups", VIEW) == []


def test_pickup_without_a_window_is_not_upcoming(warehouse):
    assert rows(warehouse(pickup(pickup_from=None, pickup_until=None)), "pickups", VIEW) == []


def test_expected_cancellations_are_the_share_cancelled_later_of_pickups_alive_as_many_hours_ahead(warehouse):
    """32 hours before their windows, 40 pickups were alive. 8 of them were cancelled later, two after the opening.

    4 pickups were cancelled earlier, and 5 were booked later.
    """
    con = warehouse(
        *many(pickup, 32),
        *many(gone, 5, hours_before=32),
        gone(24),
        *many(gone, 2, hours_before=-1),
        *many(gone, 4, hours_before=33),
        *many(pickup, 5, created_at="2026-03-09 02:00Z"),
        *many(ahead, 10),
    )

    assert expected(con) == (close(10 * 8 / 40), 0)


def test_failed_pickups_and_cancellations_without_a_time_do_not_count(warehouse):
    con = warehouse(
        *many(pickup, 24),
        *many(gone, 6, hours_before=24),
        *many(pickup, 7, pickup_status="Failed"),
        *many(pickup, 7, pickup_status="Cancelled"),
        ahead(),
    )

    assert expected(con) == (close(6 / 30), 0)


def test_probability_of_a_small_carrier_or_account_is_shrunken_towards_the_wider_one(warehouse):
    """Of all 100 pickups, 10 were cancelled later: 10 %. For dpd, (10 + 20 x 10 %) / (80 + 20) = 12 %.

    shop, dpd: (10 + 20 x 12 %) / (40 + 20). other, dpd: (0 + 20 x 12 %) / (40 + 20).
    For ups, (0 + 20 x 10 %) / (20 + 20) = 5 %. shop, ups: (0 + 20 x 5 %) / (20 + 20). gls has no pickups: 10 %.
    """
    con = warehouse(
        *many(pickup, 30),
        *many(gone, 10, hours_before=24),
        *many(pickup, 40, account="other"),
        *many(pickup, 20, carrier="ups"),
        *(
            ahead(account=account, carrier=carrier)
            for account in ("shop", "other")
            for carrier in ("dpd", "ups", "gls")
        ),
        runs=[run(), run("other")],
    )

    columns = "account, carrier, expected_cancellations"
    assert rows(con, columns, VIEW, "account in ('shop', 'other') and not is_every_account") == [
        ("other", "dpd", close(2.4 / 60)),
        ("other", "gls", close(0.1)),
        ("other", "ups", close(0.05)),
        ("shop", "dpd", close(12.4 / 60)),
        ("shop", "gls", close(0.1)),
        ("shop", "ups", close(0.025)),
    ]
    assert rows(con, "carrier, pickups, expected_cancellations", VIEW) == [
        ("dpd", 2, close(14.8 / 60)),
        ("gls", 2, close(0.2)),
        ("ups", 2, close(0.075)),
    ]


def test_with_fewer_than_30_pickups_nothing_is_expected(warehouse):
    con = warehouse(*many(pickup, 20), *many(pickup, 9, carrier="ups"), ahead())

    assert expected(con) == (None, 1)


def test_pickup_without_an_estimate_is_left_out_of_the_sum_of_its_row(warehouse):
    """At 09:00 and 09:30 UTC on 5 April, 105 and 105.5 hours ahead, both count as 96 hours. Two accounts differ."""
    con = warehouse(
        *many(pickup, 15),
        *many(gone, 15, hours_before=1),
        ahead(105),
        ahead(105, account="late"),
        runs=[run(), run("late", observed_at=AS_OF - timedelta(hours=24))],
    )

    columns = "pickups, expected_cancellations, without_estimate, as_of_utc"
    assert only(con, columns, VIEW) == (2, close(0.5), 1, "2026-03-31 00:00:00")


@pytest.mark.parametrize(
    ("hours_ahead", "counts_as"),
    [
        (0.4, 0),
        (0.5, 1),
        (11.4, 11),
        (11.5, 12),
        (13.9, 12),
        (14, 16),
        (45.9, 44),
        (46, 48),
        (53.9, 48),
        (54, 60),
        (89.9, 84),
        (90, 96),
        (107.9, 96),
        (108, 120),
        (731.9, 720),
    ],
)
def test_hours_ahead_are_rounded(warehouse, hours_ahead, counts_as):
    """Mature pickups booked exactly that many hours ahead give an estimate. If booked a minute later, they do not."""
    booked = OPENED - timedelta(hours=counts_as)
    con = warehouse(*many(pickup, 30, created_at=booked), ahead(hours_ahead))
    assert expected(con) == (0, 0)

    con = warehouse(*many(pickup, 30, created_at=booked + timedelta(minutes=1)), ahead(hours_ahead))
    assert expected(con) == (None, 1)


def test_windows_that_open_in_more_than_30_days_have_no_estimate(warehouse):
    con = warehouse(*many(pickup, 30, created_at="2025-03-10 09:00Z"), ahead(732))

    assert expected(con) == (None, 1)


def test_filter_limits_the_upcoming_pickups_and_those_that_they_are_compared_with(published):
    """With `until`, later windows are left out. With `since`, so are the mature pickups that ended earlier."""
    path = published(*many(pickup, 15), *many(gone, 15, hours_before=1), ahead(), ahead(57))

    def found(**only):
        view = read(VIEW, path, **only).query("is_every_account")
        return view[["pickups", "without_estimate"]].to_numpy().tolist()

    assert found() == [[1, 0], [1, 0]]
    assert found(until="2026-04-03") == [[1, 0]]
    assert found(until=datetime(2026, 4, 1)) == []  # noqa: DTZ001  # as users write it
    assert found(since="2026-04-01") == [[1, 1], [1, 1]]
