"""Tests the parts of the report with values worked out by hand: selections, words, pictures and the health line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.destinations.duckdb.session import open_published
from pipelines.destinations.filter import PickupFilter
from pipelines.report.commands import filter_options, list_command, option
from pipelines.report.gather import read_rates
from pipelines.report.glance.figures import change_figure, next_figure, rate_figure, stuck_figure
from pipelines.report.glance.marks import interval_bar, scale_end, spark
from pipelines.report.health import judge
from pipelines.report.sections.budget import fit
from pipelines.report.sections.section import Answer, Section, place_of
from pipelines.report.store import copied
from pipelines.warehouse import read_rows
from pipelines.wording.numbers import age, hours, interval, names, percent, points
from tests.support.by_hand import cancelled, many, pickup

Published = Callable[..., Path]
NOON = datetime(2026, 4, 1, 12)  # noqa: DTZ001  # the views' times are in UTC, without a time zone


def test_each_selection_gives_what_read_gives_whatever_was_selected_before(published: Published) -> None:
    """A plan of DuckDB relies on the statistics of its tables, so a plan from an earlier selection could be wrong."""
    late: dict[str, Any] = {"pickup_from": "2026-03-20 09:00Z", "pickup_until": "2026-03-20 12:00Z"}
    rows = [
        *many(pickup, 3),
        cancelled(country="BE"),
        cancelled(carrier="ups", country=""),
        pickup(country="BE", **late),
    ]
    path, since = published(*rows), datetime(2026, 3, 15)  # noqa: DTZ001  # as above
    asked = [("NL", None), (None, since), (None, None), ("BE", since), ("unknown", None), ("NL", since), ("BE", None)]

    with open_published(path) as session, copied(session) as store:
        for country, begin in asked:
            only = PickupFilter.parse(countries=[country] if country else None, since=begin)
            found = read_rates(store, country, begin)
            wanted = [row for row in read_rows("carrier_cancellations", path, only) if row["country"] == "all"]
            assert sorted(map(str, found.carriers)) == sorted(map(str, wanted)), (country, begin)
            assert sorted(map(str, found.expected)) == sorted(map(str, read_rows("carrier_expected", path, only)))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (percent(0.0843), "8.4%"),
        (percent(None), "–"),
        (interval(0.0634, 0.1099), "6.3 to 11.0%"),
        (points(0.0123), "+1.2"),
        (points(-0.0123), "−1.2"),
        (points(-0.0001), "0.0"),
        (hours(36.0), "36.0 h"),
        (hours(60.0), "2.5 days"),
        (age(0.2), "12 minutes"),
        (age(1 / 60), "1 minute"),
        (age(72), "3 days"),
        (names(["dhl"]), "dhl"),
        (names(list("abcde")), "a, b, c, d and e"),
        (names(list("abcdef")), "a, b, c, d and 2 more"),
    ],
)
def test_numbers_and_names_have_one_form(written: str, expected: str) -> None:
    assert written == expected


def test_groups_with_few_pickups_do_not_set_a_scale() -> None:
    assert scale_end([(0.11, 500), (0.79, 2)]) == 0.12
    assert scale_end([(0.79, 2)]) == 0.8
    assert interval_bar(0.1, 0.5, 0.79, 0.12)[0].endswith("H136m-4 -4l4 4l-4 4")  # an arrow at the end of the scale


def test_week_without_pickups_is_a_gap_in_a_sparkline() -> None:
    mondays = [date(2026, 3, 2), date(2026, 3, 9), date(2026, 3, 23)]
    weeks = [
        {"booked_week_local_start": monday, "watched_48_hours": 10, "cancelled_within_48_hours_rate": 0.1}
        for monday in mondays
    ]

    # 13 weeks end on 30 March, so the weeks are at places 8, 9 and 11, which are 7 pixels apart
    assert spark(weeks, date(2026, 3, 30), 0.2) == "M59 9h0L66 9M80 9h0"


def test_first_week_is_told_without_a_rate() -> None:
    carriers = [{"pickups": 12, "immature_cancelled": 2, "mature_failed": 0, "mature_pending": 0}]

    assert rate_figure(carriers, None) == (
        "Not known yet",
        "12 pickups booked, 2 cancelled already. The rate follows when windows have ended.",
    )


@pytest.mark.parametrize(
    ("difference", "is_more", "verdict"),
    [(0.03, True, "Rising"), (-0.03, True, "Falling"), (0.03, False, "No clear change")],
)
def test_change_is_named_only_if_it_is_more_than_chance(difference: float, is_more: bool, verdict: str) -> None:
    bounds = {"difference_low": difference - 0.01, "difference_high": difference + 0.01}
    weeks = {"now_starts_utc": date(2026, 3, 2), "now_ends_utc": date(2026, 3, 30)}

    found, words = change_figure({"difference": difference, "is_more_than_chance": is_more, **bounds, **weeks})

    assert found == verdict
    assert "2 Mar to 29 Mar against the four weeks before." in words


def test_next_day_counts_its_pickups_and_expected_cancellations() -> None:
    def row(day: int, pickups: int, expected: float | None) -> dict[str, Any]:
        left_out = 0 if expected is not None else pickups
        when = date(2026, 4, day)
        counts = {"pickups": pickups, "expected_cancellations": expected, "without_estimate": left_out}
        return {"window_opens_day_local": when, **counts}

    rows = [row(1, 5, 1.0), row(2, 10, 1.4), row(2, 3, None), row(8, 7, 0.2), row(9, 100, 9.0)]

    assert next_figure(rows, NOON) == (
        "13 pickups",
        "About 1 will probably still be cancelled (3 without an estimate). 25 pickups up to Wed 8 Apr 2026.",
    )
    assert next_figure([], NOON) == ("0 pickups", "No later pickup is booked.")


def test_stuck_pickups_are_counted_by_carrier() -> None:
    stuck = [{"carrier": "dhl", "stuck": 2}, {"carrier": "ups", "stuck": 1}, {"carrier": "dhl", "stuck": 1}]

    assert stuck_figure(stuck) == ("4 stuck", "Not accepted by the carrier in time: dhl 3, ups 1.")


def test_a_section_with_too_many_answers_follows_fewer_choices() -> None:
    """Each answer is 20 letters long, and all of them together are far above 600 bytes."""
    answers = {
        place_of(0, account, carrier): Answer(f"{account} {carrier}".ljust(20), [], [])
        for account in range(3)
        for carrier in range(50)
    }
    large = Section("a", "", "", "", [], "", "", (("account", "carrier"),), answers)
    small = Section("b", "", "", "", [], "", "", (("country",),), {place_of(0, 1): Answer("x", [], [])})

    fitted = fit([large, small], 600)

    assert [one.follows for one in fitted] == [[["account"]], (("country",),)]
    assert {key: answer.finding.strip() for key, answer in fitted[0].answers.items()} == {
        "0.0": "0 0",
        "0.1": "1 0",
        "0.2": "2 0",
    }
    assert [one.answers for one in fit([large, small], 0)] == [{}, {}]


def receipt(account: str, hours_ago: float, **changes: Any) -> dict[str, Any]:
    at = NOON - timedelta(hours=hours_ago)
    times = {"run_number": 1, "started_at_utc": at, "observed_at_utc": at}
    return {
        "account": account,
        "has_succeeded": True,
        "must_pass_failed": False,
        "history_complete": True,
        **times,
    } | changes


def test_health_is_sound_only_if_every_account_is_fresh_and_complete() -> None:
    fresh, old = receipt("north", 0.5), receipt("south", 50)

    assert judge([fresh], {}, NOON, 2.0).problems == []
    assert "up to date and checked: read 30 minutes before" in judge([fresh], {}, NOON, 2.0).headline
    assert judge([fresh, old], {}, NOON, 2.0).problems == ["Account south last read 2 days before this page was made."]
    assert judge([receipt("north", 0.5, history_complete=False)], {"north": 1}, NOON, 2.0).problems == [
        "The history of account north is not loaded completely yet.",
        "1 record is in quarantine. No number counts what could not be loaded.",
    ]
    assert judge([], {}, NOON, 2.0).headline == "No run has succeeded yet. Nothing is known for certain."


def test_commands_are_quoted_for_a_shell() -> None:
    only = PickupFilter.parse(carriers=["a b", "$(x)"], until="2026-02-01", by="booking")

    assert filter_options(only) == "--carrier 'a b' --carrier '$(x)' --until 2026-02-01T00:00:00+00:00 --by booking"
    assert list_command("--late", option("--account", "north")) == "pickups list --late --account north"
