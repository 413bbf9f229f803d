"""Times to acceptance, stuck pickups and moved windows from the status history, by values worked out by hand.

The account's first run observed a default pickup on 2026-03-06 at 08:00 UTC, an hour before it was booked. The last run
is that of by_hand.py, on 2026-04-01 at 00:00 UTC.
"""

from datetime import timedelta

import pytest

from tests.support.by_hand import FUTURE, close, instant, mark_first_states, only, pickup, rows, run, state

pytestmark = pytest.mark.duckdb2

BOOKED = instant("2026-03-06 09:00Z")
EARLIER = pickup(id=1, carrier="first", created_at="2026-03-05 09:00Z")
FIRST = state(EARLIER, "2026-03-06 08:00Z")
OF_CARRIERS = "is_every_account and not is_every_carrier and carrier <> 'first'"


@pytest.fixture(params=["true", "false", "id % 2 = 0", "observed_at > timestamptz '2026-03-06 10:00:00Z'"])
def warehouse(warehouse, request):
    """Returns a function that creates a warehouse in which all, none or some of the states are marked as first or not.

    Rows from older versions are not marked.
    """

    def make(*pickups, **named):
        con = warehouse(*pickups, **named)
        mark_first_states(con, request.param)
        return con

    return make


def after(hours):
    return BOOKED + timedelta(hours=hours)


def accepted(hours, seen_at=0.25, **changes):
    """Returns a pickup and its states: announcing from a quarter of an hour after its booking, accepted after hours."""
    one = pickup(**changes)
    return one, [state(one, after(seen_at), "Announcing"), state(one, after(hours))]


def in_states(*states, **changes):
    """Returns a pickup and its states: hours after its booking and statuses."""
    one = pickup(pickup_status=states[-1][1], **changes)
    return one, [state(one, after(hours), status) for hours, status in states]


def with_history(warehouse, *observed, runs=None):
    pickups, histories = zip(*observed, strict=True)
    return warehouse(EARLIER, *pickups, history=[FIRST, *(one for states in histories for one in states)], runs=runs)


# acceptance_times


def test_time_to_acceptance_is_from_the_booking_to_the_first_observation_of_an_accepted_status(warehouse):
    """Accepted after 1, 2, 4 and 8 hours: the median is halfway from 2 to 4. p90 is 7/10, p99 97/100 of 4 to 8."""
    con = with_history(warehouse, *map(accepted, (1, 2, 4, 8)))

    columns = "median_hours_to_acceptance, p90_hours_to_acceptance, p99_hours_to_acceptance, accepted, watched, pickups"
    assert only(con, columns, "acceptance_times", OF_CARRIERS) == (close(3), close(6.8), close(7.88), 4, 4, 4)


def test_times_count_in_whole_minutes(warehouse):
    """119.99 minutes count as 119, and so do 119: the median of 1, 119, 119 and 300 minutes is 119."""
    con = with_history(warehouse, *map(accepted, (1.999 / 60, 119.99 / 60, 119 / 60, 5), [0.01] * 4))

    columns = "median_hours_to_acceptance, p99_hours_to_acceptance"
    assert only(con, columns, "acceptance_times", OF_CARRIERS) == (close(119 / 60), close((119 + 0.97 * 181) / 60))


def test_pickup_accepted_at_its_first_observation_counts_with_the_time_to_it(warehouse):
    con = with_history(warehouse, in_states((0.5, "CREATED")), accepted(1.5), in_states((-0.1, "Created")))

    columns = "accepted, accepted_at_first_observation, accepted_at_first_observation_share, median_hours_to_acceptance"
    assert only(con, columns, "acceptance_times", OF_CARRIERS) == (3, 2, close(2 / 3), close(0.5))


def test_only_the_first_accepted_status_counts_whatever_follows(warehouse):
    con = with_history(
        warehouse,
        in_states((0.25, "ANNOUNCING"), (2, "Created"), (5, "Failed")),
        in_states((0.25, "Announcing"), (2, "Cancellation_requested"), (5, "Cancelled")),
        in_states((0.25, "Announcing"), (2, "On its way"), (5, "Created")),
    )

    assert only(con, "accepted, p99_hours_to_acceptance", "acceptance_times", OF_CARRIERS) == (3, close(2))


def test_pickups_that_were_not_accepted_are_counted_by_state(warehouse):
    con = with_history(
        warehouse,
        in_states((0.25, "Announcing"), (2, "Failed")),
        *(in_states((0.25, "Announcing"), (2, "Cancelled")) for _ in range(2)),
        *(in_states((0.25, "Announcing")) for _ in range(3)),
    )

    columns = "watched, accepted, failed, cancelled, pending, median_hours_to_acceptance"
    columns += ", accepted_at_first_observation_share"
    assert only(con, columns, "acceptance_times", OF_CARRIERS) == (6, 0, 1, 2, 3, None, None)


def test_pickup_is_watched_if_booked_after_the_first_run_and_observed_within_24_hours(warehouse):
    second = timedelta(seconds=1)
    con = with_history(
        warehouse,
        in_states((24, "Created"), carrier="within"),
        in_states((24.01, "Created"), carrier="too late"),
        in_states((0, "Created"), carrier="at the first run", created_at="2026-03-06 08:00Z"),
        in_states((0, "Created"), carrier="before", created_at=instant("2026-03-06 08:00Z") - second),
        (pickup(carrier="no history"), []),
    )

    columns = "carrier, pickups, watched, accepted, accepted_at_first_observation"
    assert rows(con, columns, "acceptance_times", OF_CARRIERS) == [
        ("at the first run", 1, 1, 1, 1),
        ("before", 1, 0, 0, 0),
        ("no history", 1, 0, 0, 0),
        ("too late", 1, 0, 0, 0),
        ("within", 1, 1, 1, 1),
    ]


def test_pickup_booked_while_the_run_that_observed_it_was_reading_has_a_time_of_0(warehouse):
    con = with_history(warehouse, in_states((-0.1, "Created")))

    assert only(con, "accepted, p99_hours_to_acceptance", "acceptance_times", OF_CARRIERS) == (1, 0)


def test_times_are_given_for_all_carriers_and_for_each_account_too(warehouse):
    """The account `other` had its first run when it observed its only pickup, so that pickup isn't watched."""
    con = with_history(
        warehouse, accepted(1), accepted(3, carrier="ups"), accepted(5, account="other"), runs=[run(), run("other")]
    )

    columns = "account, carrier, is_every_carrier, pickups, accepted, median_hours_to_acceptance"
    assert rows(con, columns, "acceptance_times", "is_every_account and carrier <> 'first'") == [
        ("all", "all", True, 4, 2, close(2)),
        ("all", "dpd", False, 2, 1, close(1)),
        ("all", "ups", False, 1, 1, close(3)),
    ]
    assert rows(con, columns, "acceptance_times", "account = 'other'") == [
        ("other", "all", True, 1, 0, None),
        ("other", "dpd", False, 1, 0, None),
    ]


def test_pickup_without_a_carrier_makes_no_second_row_for_all_carriers(warehouse):
    con = with_history(warehouse, accepted(1), accepted(3, carrier=None))

    found = rows(
        con, "carrier, is_every_carrier, accepted", "acceptance_times", "is_every_account and carrier <> 'first'"
    )

    assert found == [("all", True, 2), ("dpd", False, 1), ("unknown", False, 1)]


def test_without_pickups_there_are_no_times(warehouse):
    assert rows(warehouse(), "carrier", "acceptance_times") == []


# stuck_pickups

WAITING = "pickup_id, hours_waiting, p99_hours_to_acceptance, p99_covers, is_longer_than_p99"
AS_OF = instant("2026-04-01 00:00Z")


def waiting(hours, **changes):
    """Returns a pickup that has been announcing for that many hours, with a window in the future."""
    one = pickup(**{**FUTURE, "pickup_status": "Announcing", "created_at": AS_OF - timedelta(hours=hours)} | changes)
    return one, [state(one, one["created_at"])]


def test_pickup_is_stuck_if_it_waits_longer_than_99_percent_of_the_carriers_acceptances_took(warehouse):
    """Of 101 acceptances, the p99 is the second longest. It took 5 hours."""
    con = with_history(
        warehouse,
        *(accepted(hours) for hours in [1] * 99 + [5, 9]),
        waiting(5, id=900101),
        waiting(5.01, id=900102),
        waiting(7, id=900103, tracking_number="T1"),
    )

    assert rows(con, WAITING, "stuck_pickups") == [
        (900102, close(5.01), close(5), "carrier", True),
        (900103, close(7), close(5), "carrier", True),
    ]
    columns = "account, carrier, country, contract_id, tracking_number, has_window_opened, has_window_ended, as_of_utc"
    assert only(con, columns, "stuck_pickups", "pickup_id = 900103") == (
        "shop", "dpd", "NL", 57, "T1", False, False, "2026-04-01 00:00:00",
    )  # fmt: skip


def test_carrier_with_fewer_than_100_acceptances_is_compared_with_all_carriers(warehouse):
    """ups has 99 acceptances within 1 hour, and dpd 101 within 3 hours. Of all 200, 99 % took up to 3 hours."""
    con = with_history(
        warehouse,
        *many_accepted(99, 1, carrier="ups"),
        *many_accepted(101, 3),
        waiting(2, id=900101, carrier="ups"),
        waiting(4, id=900102, carrier="ups"),
        waiting(4, id=900103),
    )

    assert rows(con, WAITING, "stuck_pickups") == [
        (900102, close(4), close(3), "all carriers", True),
        (900103, close(4), close(3), "carrier", True),
    ]


def many_accepted(n, hours, **changes):
    return [accepted(hours, **changes) for _ in range(n)]


def test_with_fewer_than_100_acceptances_in_all_only_a_window_that_ended_is_stuck(warehouse):
    over = {"pickup_from": "2026-03-31 09:00Z", "pickup_until": "2026-03-31 12:00Z"}
    con = with_history(
        warehouse,
        *many_accepted(99, 1),
        waiting(100, id=900101),
        waiting(100, id=900102, **over),
        waiting(100, id=900103, **over | {"pickup_until": "2026-04-01 01:00Z"}),
        waiting(169, id=900104, pickup_from=None, pickup_until=None),
    )

    columns = f"{WAITING}, has_window_opened, has_window_ended"
    assert rows(con, columns, "stuck_pickups") == [
        (900102, close(100), None, None, False, True, True),
        (900104, close(169), None, None, False, False, True),
    ]


def test_open_window_is_told_apart_from_one_that_ended(warehouse):
    opened = {"pickup_from": AS_OF, "pickup_until": AS_OF + timedelta(hours=1)}
    con = with_history(warehouse, *many_accepted(100, 1), waiting(30, **opened))

    assert only(con, "has_window_opened, has_window_ended", "stuck_pickups") == (True, False)


@pytest.mark.parametrize("status", ["Created", "Failed", "Cancelled"])
def test_pickup_that_is_no_longer_announcing_is_not_stuck(warehouse, status):
    con = with_history(warehouse, *many_accepted(100, 1), waiting(300, pickup_status=status))

    assert rows(con, "pickup_id", "stuck_pickups") == []


# moved_windows


def moved(opens, until="2026-03-10 12:00Z", **changes):
    """Returns a pickup whose window was the default one at first, and its states."""
    one = pickup(pickup_from=opens, pickup_until=until, **changes)
    return one, [state(pickup(**changes) | {"id": one["id"]}, after(1)), state(one, after(24))]


def test_moved_windows_are_counted_with_the_hours_between_the_openings(warehouse):
    """Of 6 windows, 5 were moved: 24 hours later, 3 later, 1 earlier, and only the end, twice. The median is 1."""
    con = with_history(
        warehouse,
        moved("2026-03-11 09:00Z", "2026-03-11 12:00Z"),
        moved("2026-03-10 12:00Z", "2026-03-10 15:00Z"),
        moved("2026-03-10 08:00Z"),
        *(moved("2026-03-10 09:00Z", "2026-03-10 14:00Z") for _ in range(2)),
        in_states((1, "Announcing"), (2, "Created")),
    )

    columns = "watched, moved, moved_share, moved_later, moved_earlier, median_shift_hours"
    assert only(con, columns, "moved_windows", "is_every_account and carrier = 'dpd'") == (
        6, 5, close(5 / 6), 2, 1, close(1),
    )  # fmt: skip


def test_window_that_was_missing_at_first_was_not_moved(warehouse):
    one = pickup()
    nothing = {"pickup_from": None, "pickup_until": None}
    con = with_history(warehouse, (one, [state(one, after(1), **nothing), state(one, after(2))]))

    assert only(con, "watched, moved, median_shift_hours", "moved_windows", OF_DPD) == (1, 0, None)


OF_DPD = "is_every_account and carrier = 'dpd'"


def test_pickup_first_observed_after_its_window_opened_is_not_watched(warehouse):
    one = pickup()
    late = [state(one, "2026-03-10 09:00Z"), state(one, "2026-03-11 09:00Z", pickup_from="2026-03-12 09:00Z")]
    con = with_history(warehouse, (one, late), in_states((1, "Created")))

    assert only(con, "watched, moved", "moved_windows", OF_DPD) == (1, 0)


def test_window_moved_back_opens_at_the_same_time_again(warehouse):
    one = pickup()
    there = {"pickup_from": "2026-03-11 09:00Z", "pickup_until": "2026-03-11 12:00Z"}
    con = with_history(warehouse, (one, [state(one, after(1)), state(one, after(2), **there), state(one, after(3))]))

    columns = "watched, moved, moved_later, moved_earlier, median_shift_hours"
    assert only(con, columns, "moved_windows", OF_DPD) == (1, 1, 0, 0, close(0))


def test_windows_are_counted_for_each_account_too(warehouse):
    con = with_history(
        warehouse, moved("2026-03-10 08:00Z"), in_states((1, "Created"), account="other"), runs=[run(), run("other")]
    )

    assert rows(
        con, "account, watched, moved", "moved_windows", "account in ('other', 'shop') and carrier = 'dpd'"
    ) == [
        ("other", 1, 0),
        ("shop", 1, 1),
    ]
    assert only(con, "watched, moved", "moved_windows", OF_DPD) == (2, 1)
