"""Tests which pickups a filter selects, with values worked out by hand."""

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from pipelines.destinations.filter import CLOCKS
from pipelines.warehouse import read
from tests.support.by_hand import VIEWS, cancelled, pickup, run
from tests.support.cases import quick

pytestmark = pytest.mark.duckdb2

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def ids(path, view="pickups", **only):
    return sorted(read(view, path, **only)["pickup_id"])


def window(day, **changes):
    """Returns a pickup whose window ends at 12:00 UTC on that day of March."""
    return pickup(pickup_from=f"2026-03-{day} 09:00Z", pickup_until=f"2026-03-{day} 12:00Z", **changes)


def test_since_is_included_and_until_is_not(published):
    path = published(*(window(day, id=day) for day in (10, 11, 12)))

    assert ids(path, since="2026-03-11 12:00", until="2026-03-12 12:00") == [11]
    assert ids(path, since="2026-03-11 12:00:00.000001") == [12]
    assert ids(path, until="2026-03-11 12:00") == [10]
    assert ids(path, until="2026-03-11") == [10]  # a day means its midnight


@pytest.mark.parametrize(
    ("times", "end"),
    quick(
        [
            ({}, "2026-03-10 12:00"),
            ({"pickup_until": None}, "2026-03-10 09:00"),
            ({"pickup_from": None}, "2026-03-10 12:00"),
            ({"pickup_until": "2026-03-10 08:00Z"}, "2026-03-10 09:00"),
            ({"pickup_from": None, "pickup_until": None}, "2026-03-13 09:00"),
        ],
        only=range(5),
    ),
    ids=["whole window", "open-ended", "no beginning", "ends before it begins", "no window: booking and seven days"],
)
def test_window_ends_when_the_pickup_begins_to_be_mature(published, times, end):
    """A run that observed the list at this very time finds the pickup immature, and one a microsecond later mature."""
    at = datetime.fromisoformat(f"{end}Z")
    before, after = (run(account=name, observed_at=at + timedelta(microseconds=n)) for n, name in enumerate("ab"))
    path = published(pickup(account="a", id=1, **times), pickup(account="b", id=2, **times), runs=[before, after])

    found = read("pickups", path).sort_values("account")
    assert [f"{one:%Y-%m-%d %H:%M}" for one in found["window_ends_at_utc"]] == [end, end]
    assert found["is_mature"].tolist() == [False, True]
    assert ids(path, since=at, until=at + timedelta(microseconds=1)) == [1, 2]


def test_filter_and_view_contain_the_same_expression_for_the_end_of_the_window():
    assert f"{CLOCKS['window']} as window_ends_us" in " ".join(VIEWS["pickups"].split())


def test_by_booking_selects_by_created_at(published):
    path = published(*(window(20, id=day, created_at=f"2026-03-{day:02} 09:00Z") for day in (1, 2, 3)))

    assert ids(path, since="2026-03-02 09:00", until="2026-03-03 09:00", by="booking") == [2]
    assert ids(path, since="2026-03-02 09:00", until="2026-03-03 09:00") == []
    assert ids(path, by="booking") == [1, 2, 3]


NEW_YORK = timezone(timedelta(hours=-5))


@pytest.mark.parametrize(
    "bound",
    quick(
        [
            "2026-03-11",
            date(2026, 3, 11),
            datetime(2026, 3, 11),  # noqa: DTZ001  # naive, as users write it
            datetime(2026, 3, 10, 19, tzinfo=NEW_YORK),
            "2026-03-10T19:00-05:00",
            datetime(2026, 3, 11, tzinfo=UTC),
        ],
        only=(1, 3, 4),
    ),
    ids=str,
)
def test_bound_is_a_text_a_date_or_a_time(published, bound):
    """Two windows end a second before and a second after midnight UTC."""
    late = [
        pickup(id=n, pickup_until=until) for n, until in enumerate(("2026-03-10 23:59:59Z", "2026-03-11 00:00:01Z"))
    ]
    path = published(*late)

    assert (ids(path, until=bound), ids(path, since=bound)) == ([0], [1])


def test_accounts_limit_every_view_and_the_other_filters_only_views_of_pickups(published):
    """The account `c` has a failed run and no pickups. With dpd, one of two is cancelled in `a`, and none in `b`."""
    path = published(
        pickup(account="a"),
        cancelled(account="a"),
        pickup(account="b"),
        pickup(account="b", carrier="ups"),
        runs=[run(account=name) for name in "ab"] + [run(account="c", outcome="failed")],
    )

    def rate(**only):
        rows = read("carrier_cancellations", path, **only).query(
            "is_every_account and carrier == 'dpd' and country == 'all'"
        )
        return rows[["mature_cancelled", "rated"]].to_numpy().tolist()

    assert (rate(), rate(accounts=["a"]), rate(accounts=["b"])) == ([[1, 3]], [[1, 2]], [[0, 1]])
    assert rate(accounts=["c"]) == []
    assert sorted(read("runs", path, accounts=["b", "c"])["account"]) == ["b", "c"]
    assert sorted(read("runs", path, carriers=["ups"], until="2020-01-01")["account"]) == ["a", "b", "c"]


def test_countries_are_those_of_the_view_and_unknown_is_none(published):
    path = published(
        *(pickup(id=n, country=country) for n, country in enumerate(["NL", "nl", "", None, "DE", "UNKNOWN"]))
    )

    assert ids(path, countries=["nl"]) == [0, 1]
    assert ids(path, countries=["unknown"]) == [2, 3]
    assert ids(path, countries=["UNKNOWN", "DE"]) == [4, 5]


def test_every_part_of_a_filter_applies_at_once(published):
    wanted = {"account": "a", "carrier": "ups", "country": "DE"}
    others = [wanted | other for other in ({"account": "b"}, {"carrier": "dpd"}, {"country": "NL"})]
    path = published(*(window(10, id=n, **row) for n, row in enumerate([wanted, *others])), window(11, **wanted))
    only = {"accounts": ["a"], "carriers": ["ups"], "countries": ["DE"], "until": "2026-03-11"}

    assert ids(path, **only) == [0]
    assert read("carrier_windows", path, **only)["pickups"].tolist() == [1, 1]  # of the account, and of all accounts


def test_names_that_look_like_sql_are_values(published):
    hostile = "a' or 'a' = 'a"
    path = published(pickup(id=1, account=hostile, carrier="sendcloud.pickups"), pickup(id=2))

    assert ids(path, accounts=[hostile]) == ids(path, carriers=["sendcloud.pickups"]) == [1]


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ({"accounts": ["shop", "nobody"]}, "unknown account 'nobody'; available accounts: shop, without pickups"),
        ({"carriers": ["DPD"]}, "unknown carrier 'DPD'; available carriers: dpd, ups"),
        ({"countries": ["FR"]}, "unknown country 'FR'; available countries: NL, unknown"),
        ({"accounts": "shop"}, "accounts must be a list: ['shop']"),
        ({"countries": []}, "countries is an empty list, so there is nothing to read; None means all countries"),
        ({"since": "yesterday"}, "since: 'yesterday' is not a day such as 2026-01-01"),
        ({"until": 20260101}, "until: 20260101 is not a day such as 2026-01-01"),
        (
            {"since": "2026-03-02", "until": date(2026, 3, 2)},
            "since (2026-03-02 00:00 UTC) must be before until (2026-03-",
        ),
        ({"by": "created_at"}, "by is 'created_at'; it must be 'booking' or 'window'"),
    ],
    ids=str,
)
def test_filter_that_cannot_be_applied_says_why(published, only, message):
    path = published(pickup(), pickup(carrier="ups", country=""), runs=[run(), run(account="without pickups")])

    with pytest.raises(ValueError) as refused:  # noqa: PT011  # the message is compared below
        read("pickups", path, **only)
    assert str(refused.value).startswith(message)
