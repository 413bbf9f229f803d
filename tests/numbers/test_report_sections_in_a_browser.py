"""Tests in a real Chromium that the report's sections follow the choices, and say so where they don't."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.destinations.filter import PickupFilter
from pipelines.warehouse import read_rows
from sources.sendcloud.sandbox import Sandbox

pytest.importorskip("playwright.sync_api", reason="playwright is not installed; make test-engines installs it")

from tests.numbers.test_report_in_a_browser import browser as browser
from tests.numbers.test_report_in_a_browser import choose, pytestmark  # noqa: F401  # pytest reads the marks
from tests.numbers.test_report_in_a_browser import wide as wide
from tests.support.installation import Installation

Rows = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def project(shop: tuple[Installation, Sandbox], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLT_PROJECT_DIR", str(shop[0].folder))


def table(window: Any, section: str) -> list[list[str]]:
    """Returns the texts of the rows of a section's first table."""
    rows: list[list[str]] = window.evaluate(
        "name => [...document.querySelector(`#${name} table[data-csv] tbody`).rows].map(row =>"
        " [...row.cells].map(cell => cell.textContent))",
        section,
    )
    return rows


def said(window: Any, section: str, part: str) -> str:
    text: str = window.locator(f"#{section} .{part}").first.text_content()
    return text


def chosen(window: Any, **places: int) -> PickupFilter:
    """Chooses entries, and returns the filter that selects the same pickups."""
    places = {"carrier": 0, "country": 0, "period": 0} | places
    labels = {name: choose(window, name, place) for name, place in places.items()}
    options = window.evaluate("JSON.parse(document.getElementById('data').textContent).options")
    since = options["period"][places["period"]].removeprefix("--since ") or None
    one = {name: [labels[name]] if places[name] else None for name in ("carrier", "country")}
    return PickupFilter.parse(carriers=one["carrier"], countries=one["country"], since=since)


def read(view: str, only: PickupFilter) -> Rows:
    return [row for row in read_rows(view, only=only) if row["is_every_account"]]


def percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def choices(window: Any, *names: str) -> Iterator[dict[str, int]]:
    """Yields six choices of these lists, the same ones every time."""
    numbers = [range(window.locator(f"[name={name}] option").count()) for name in names]
    for places in random.Random(7).sample([*itertools.product(*numbers)], 6):
        yield dict(zip(names, places, strict=True))


def test_windows_and_rebookings_are_those_of_read_with_the_same_carrier_and_country(wide: Any) -> None:
    for places in choices(wide, "carrier", "country"):
        only = chosen(wide, **places)

        windows = {row[0]: (row[1], row[7]) for row in table(wide, "windows")}
        expected = {row["carrier"]: row for row in read("carrier_windows", only) if row["with_window"]}
        assert windows == {
            name: (f"{row['with_window']:,}", percent(row["open_ended_share"])) for name, row in expected.items()
        }
        net = {row[0]: (row[2], row[4]) for row in table(wide, "rebookings")}
        rows = [row for row in read("carrier_net_cancellations", only) if row["country"] == "all"]
        assert net == {
            row["carrier"]: (percent(row["net_cancellation_rate"]), f"{row['mature_rebooked']:,}")
            for row in rows
            if row["net_cancellation_rate"] is not None
        }


def test_weeks_and_ages_are_those_of_read_with_the_same_carrier(wide: Any) -> None:
    for places in choices(wide, "carrier", "country"):
        only = chosen(wide, **places)

        expected: dict[str, list[int]] = {}
        for row in read("carrier_cancellations_weekly", only):
            counts = expected.setdefault(f"{row['booked_week_local_start']:%Y-%m-%d}", [0, 0, 0])
            for place, name in enumerate(("pickups", "mature_cancelled", "rated")):
                counts[place] += row[name]
        shown = table(wide, "weeks")
        assert [row[0] for row in shown] == sorted(expected, reverse=True)[:53]
        for week, pickups, rate, *_ in shown:
            booked, cancelled, rated = expected[week]
            assert pickups == f"{booked:,}"
            assert rate in ("not complete", percent(cancelled / rated if rated else None))

        only = chosen(wide, carrier=places["carrier"])
        ages = {(row["carrier"], row["age_hours"]): row["share_cancelled"] for row in read("cancellation_timing", only)}
        for name, _, *shares in table(wide, "timing"):
            if name != "all carriers":
                assert shares == [percent(ages[name, age]) for age in (24, 48, 168, 720)]


def test_accounts_are_rated_in_the_chosen_country_and_period(wide: Any) -> None:
    for places in choices(wide, "country", "period"):
        only = chosen(wide, **places)

        totals = [
            row
            for row in read_rows("rates", only=only)
            if not row["is_every_account"] and (row["breakdown"], row["outcome"]) == ("total", "cancelled")
        ]
        shown = table(wide, "accounts")
        assert [row[2] for row in shown] == [percent(row["rate"]) for row in totals] or not totals
        assert [row[1] for row in shown] == [f"{len(read_rows('pickups', only=only)):,}"]


def test_pickups_to_look_at_are_counted_for_the_chosen_carrier(wide: Any) -> None:
    for places in choices(wide, "carrier", "country"):
        only = chosen(wide, **places)

        stuck = read_rows("stuck_pickups", only=only)
        assert said(wide, "to-do", "finding").startswith(f"{len(stuck):,} pickup")
        assert len(table(wide, "to-do")) == min(len(stuck), 20 if any(places.values()) else 100)


def test_a_section_says_which_choices_it_does_not_follow_and_only_then(wide: Any) -> None:
    notes = wide.locator(".section .note").all_text_contents()
    assert not any(notes)
    assert wide.locator("#weeks .picture svg").count() == 1

    assert not wide.locator(".period-note").first.is_visible()

    chosen(wide, period=1)
    assert wide.locator(".figure .period-note").all_text_contents() == ["The period doesn't change this."] * 3
    assert wide.locator(".figure .period-note").first.is_visible()
    includes = "This part doesn't follow all of your choices. It includes all dates."
    assert said(wide, "weeks", "note") == includes
    assert said(wide, "accounts", "note") == ""

    chosen(wide, country=1)
    assert said(wide, "weeks", "note") == ""
    assert "It includes all countries." in said(wide, "timing", "note")
    wide.locator("#weeks > summary").click()
    assert not wide.locator("#weeks .picture").is_visible()
    assert "The picture is hidden" in said(wide, "weeks", "hidden-picture")


def test_returning_to_the_first_choice_shows_the_sections_as_they_were_written(wide: Any) -> None:
    written = wide.locator("main").inner_html()

    chosen(wide, carrier=2, country=1, period=1)
    assert wide.locator("main").inner_html() != written
    chosen(wide)

    for section in ("to-do", "weeks", "timing", "rebookings", "windows", "accounts", "health"):
        begin = written.index(f'id="{section}"')
        assert wide.locator(f"#{section}").inner_html() in written[begin:], section
