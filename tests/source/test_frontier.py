"""Tests which pages a run must read, and when it may stop.

All instants are days counted from 1 January 2026. The expected values were worked out by hand.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from sources.sendcloud.reading.frontier import Memory, Rules, compute_frontier, next_memory, open_rows
from sources.sendcloud.reading.order import OrderCheck, is_before
from sources.sendcloud.records.tables import ROW_SCHEMA
from tests.support.installation import as_row

RULES = Rules(overlap=timedelta(hours=1), settle=timedelta(days=7), max_lookback=timedelta(days=180))


def january(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 1, 1, hour, tzinfo=UTC) + timedelta(days=day - 1)


def wire(instant: datetime | None) -> str | None:
    return instant and instant.isoformat()


def pickup(
    id_: int, booked: datetime, opens: datetime | None = None, closes: datetime | None = None, status: str = "Created"
) -> dict[str, Any]:
    return {
        "id": id_,
        "carrier": "dpd",
        "pickup_status": status,
        "created_at": wire(booked),
        "pickup_from": wire(opens),
        "pickup_until": wire(closes),
    }


def table(*pickups: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([as_row(p) for p in pickups], schema=ROW_SCHEMA)


def booked_on(*days: int) -> pa.Table:
    return table(*(pickup(n, january(day)) for n, day in enumerate(days, start=1)))


@pytest.mark.parametrize(
    ("listed", "settled_on"),
    [
        (pickup(1, january(1), january(3), january(4)), january(11)),
        (pickup(1, january(1), january(3)), january(10)),  # open-ended: it settles seven days after it opens
        (pickup(1, january(1)), january(15)),  # no window: it is assumed to end on the 8th
        (pickup(1, january(1), january(5), january(3)), january(12)),  # inverted: the later of the two times counts
        (pickup(1, january(9), january(1), january(2)), january(16)),  # window before booking: the booking time counts
        (pickup(1, january(1), january(3), january(4), status="Announcing"), january(11)),
        (pickup(1, january(1), january(3), january(4), status="TELEPORTED"), january(11)),
        (pickup(1, january(1), january(3), january(4)) | {"cancelled_at": wire(january(2))}, january(11)),
    ],
    ids=["window", "open-ended", "no window", "inverted", "window before booking", "announcing", "unknown", "conflict"],
)
def test_a_pickup_is_open_until_it_settles(listed: dict[str, Any], settled_on: datetime) -> None:
    just_before = settled_on - timedelta(microseconds=1)

    assert open_rows(table(listed), just_before, RULES.settle).num_rows == 1
    assert open_rows(table(listed), settled_on, RULES.settle).num_rows == 0


@pytest.mark.parametrize("status", ["Cancelled", "Failed", "CANCELLED", "FAILED"])
def test_a_pickup_with_a_final_status_is_settled_at_once(status: str) -> None:
    assert open_rows(table(pickup(1, january(1), january(9), status=status)), january(1), RULES.settle).num_rows == 0


def test_with_an_empty_memory_the_run_reads_the_whole_list() -> None:
    assert compute_frontier({}, RULES) is None


@pytest.mark.parametrize(
    ("memory", "frontier"),
    [
        (Memory(newest_listed_at=january(20), oldest_open_at=None), january(19, 23)),
        (Memory(newest_listed_at=january(20), oldest_open_at=january(3)), january(2, 23)),
        (Memory(newest_listed_at=january(300), oldest_open_at=january(3)), january(119, 23)),  # 300 - 180
    ],
    ids=["nothing open", "one open", "open for longer than the lookback"],
)
def test_the_frontier_is_the_oldest_open_pickup_within_the_lookback_minus_the_overlap(
    memory: Memory, frontier: datetime
) -> None:
    assert compute_frontier(memory, RULES) == frontier


def proves_newest_first(reference: datetime | None, *pages: pa.Table) -> bool:
    order = OrderCheck(reference, RULES)
    for page in pages:
        order.add_page(page)
    return order.newest_first


# Ten rows that are older than all other rows. The order check needs at least ten rows as evidence.
EARLIER_ROWS = table(*(pickup(number, january(1) - timedelta(days=number)) for number in range(1, 11)))


@pytest.mark.parametrize(
    ("pages", "newest_first"),
    [
        ([booked_on(9, 8, 7), booked_on(6, 5)], True),
        ([booked_on(9, 8, 7), booked_on(), booked_on(6, 5)], True),
        ([booked_on(9, 9, 9)], True),
        ([booked_on(7, 8, 9)], False),
        ([booked_on(9, 8, 5), booked_on(6, 4)], False),  # rises from the first page to the second
        ([booked_on(8, 7), booked_on(6)], False),  # the previous run's newest row (day 9) is not on the first page
        ([booked_on(9, 3), booked_on(4, 2), booked_on(1)], False),  # one unsorted page makes the result false for good
    ],
)
def test_the_order_check_covers_all_pages(pages: list[pa.Table], newest_first: bool) -> None:
    assert proves_newest_first(january(9), *pages, EARLIER_ROWS) is newest_first


def test_fewer_than_ten_sorted_rows_prove_no_order_because_a_shuffled_list_may_start_so() -> None:
    assert not proves_newest_first(january(9), booked_on(9, 8, 7), booked_on(6, 5, 4, 3, 2, 1))
    assert proves_newest_first(january(9), booked_on(9, 8, 7), booked_on(6, 5, 4, 3, 2, 1, 1))


def test_the_order_check_tolerates_unsorted_rows_within_the_overlap() -> None:
    late = table(pickup(1, january(9)), pickup(2, january(8, 22)), pickup(3, january(8, 23)))
    too_late = table(pickup(1, january(9)), pickup(2, january(8, 21)), pickup(3, january(8, 23)))

    assert proves_newest_first(january(9), late, EARLIER_ROWS)
    assert not proves_newest_first(january(9), too_late, EARLIER_ROWS)
    # the first page may start up to the overlap before the reference
    assert proves_newest_first(january(9, 1), late, EARLIER_ROWS)


def test_without_a_reference_the_rows_must_descend_to_prove_the_order() -> None:
    assert proves_newest_first(None, booked_on(*[9] * 9, 8))
    assert not proves_newest_first(None, booked_on(*[9] * 10))
    assert not proves_newest_first(None, booked_on(*[8] * 9, 9))


def test_a_page_is_before_an_instant_only_if_all_its_rows_are() -> None:
    assert is_before(booked_on(3, 2), january(4))
    assert not is_before(booked_on(5, 2), january(4))
    assert not is_before(booked_on(4), january(4))
    assert not is_before(booked_on(), january(4))


def update_memory(
    memory: Memory, rows: pa.Table, now: datetime, *, read_to_end: bool = False, unread: tuple[datetime, ...] = ()
) -> tuple[Memory, int]:
    return next_memory(memory, rows, unread=unread, read_to_end=read_to_end, now=now, rules=RULES)


def test_the_memory_holds_the_newest_row_and_the_oldest_open_pickup() -> None:
    rows = table(
        pickup(3, january(20), january(22)),
        pickup(2, january(10), january(18)),
        pickup(1, january(5), january(6), status="Cancelled"),
    )
    memory, open_pickups = update_memory({}, rows, january(21))

    assert (memory["newest_listed_at"], memory["oldest_open_at"], open_pickups) == (january(20), january(10), 2)


def test_after_an_early_stop_an_older_newest_row_does_not_replace_the_reference() -> None:
    before = Memory(newest_listed_at=january(20))

    assert update_memory(before, booked_on(19), january(21))[0]["newest_listed_at"] == january(20)


def test_after_a_complete_read_the_newest_row_becomes_the_reference() -> None:
    before = Memory(newest_listed_at=january(20))

    assert update_memory(before, booked_on(19), january(21), read_to_end=True)[0]["newest_listed_at"] == january(19)


def test_a_complete_read_of_an_empty_list_clears_the_frontier() -> None:
    memory, open_pickups = update_memory(
        Memory(newest_listed_at=january(20)), booked_on(), january(21), read_to_end=True
    )

    assert compute_frontier(memory, RULES) is None
    assert open_pickups == 0


def test_a_pickup_open_beyond_the_lookback_is_counted_until_it_settles() -> None:
    decade = pickup(1, january(1), january(3650))
    memory, open_near = update_memory({}, table(pickup(2, january(300)), decade), january(300), read_to_end=True)
    assert (memory["beyond_lookback"], open_near) == ({"1": january(3657)}, 1)
    assert memory["oldest_open_at"] == january(300)

    later, _ = update_memory(memory, booked_on(), january(3656))
    assert list(later["beyond_lookback"]) == ["1"]

    settled, _ = update_memory(later, booked_on(), january(3658))
    assert settled["beyond_lookback"] == {}


def test_a_quarantined_record_holds_back_the_frontier_like_an_open_pickup() -> None:
    settled = table(pickup(1, january(20), status="Failed"))

    memory, open_pickups = update_memory({}, settled, january(21), unread=(january(4), january(8)))

    assert (memory["oldest_open_at"], open_pickups) == (january(4), 0)
    assert compute_frontier(memory, RULES) == january(3, 23)


def test_a_booking_in_the_future_does_not_become_the_newest_row() -> None:
    """Otherwise, every real pickup would lie beyond the lookback, and no run would find a change to it."""
    rows = table(pickup(3, january(30_000)), pickup(2, january(20), january(22)), pickup(1, january(10), january(18)))

    memory, _ = update_memory({}, rows, january(21))

    assert (memory["newest_listed_at"], memory["oldest_open_at"]) == (january(20), january(10))


def test_a_window_that_ends_on_the_last_day_of_the_year_9999_settles_at_the_end_of_time() -> None:
    endless = pickup(1, january(1), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))

    memory, _ = update_memory({}, table(pickup(2, january(300)), endless), january(300))

    assert memory["beyond_lookback"] == {"1": datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)}


def test_a_history_package_adds_to_the_memory() -> None:
    before = Memory(newest_listed_at=january(200), oldest_open_at=january(150), beyond_lookback={"9": january(900)})
    rows = table(pickup(2, january(100), january(300)), pickup(1, january(15), january(300)))

    memory, open_near = next_memory(before, rows, unread=(), now=january(201), rules=RULES, further_back=True)

    assert memory["newest_listed_at"] == january(200)
    assert memory["oldest_open_at"] == january(100)
    assert memory["beyond_lookback"] == {"9": january(900), "1": january(307)}
    assert open_near == 1


def test_a_history_package_without_open_pickups_keeps_the_oldest_open_pickup_in_the_memory() -> None:
    before = Memory(newest_listed_at=january(200), oldest_open_at=january(150))

    memory, _ = next_memory(before, booked_on(10, 5), unread=(), now=january(201), rules=RULES, further_back=True)

    assert memory["oldest_open_at"] == january(150)
