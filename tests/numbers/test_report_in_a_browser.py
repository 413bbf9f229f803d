"""Tests the report in a real Chromium, opened from disk and without network access."""

from __future__ import annotations

import itertools
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.destinations.filter import PickupFilter
from pipelines.warehouse import read_rows
from sources.sendcloud.sandbox import Sandbox
from tests.conftest import HOSTILE
from tests.support.installation import Installation

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed; make test-engines installs it"
)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed (Debian: apt-get install chromium)"),
]
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE, SCREEN = {"width": 390, "height": 844}, {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        yield launched
        launched.close()


@pytest.fixture(params=[PHONE, SCREEN], ids=["phone", "screen"])
def report_window(request: pytest.FixtureRequest, browser: Any, page: Path) -> Iterator[Any]:
    """Yields the page in a window that records the requested addresses, console messages and errors."""
    window = browser.new_page(viewport=request.param)
    window.requested, window.messages = [], []
    window.on("request", lambda request: window.requested.append(request.url))
    window.on("console", lambda message: window.messages.append(message.text))
    window.on("pageerror", lambda error: window.messages.append(str(error)))
    window.goto(page.as_uri())
    yield window
    window.close()


@pytest.fixture
def wide(browser: Any, page: Path) -> Iterator[Any]:
    window = browser.new_page(viewport=SCREEN)
    window.goto(page.as_uri())
    yield window
    window.close()


def test_page_requests_only_itself_and_logs_nothing_to_the_console(report_window: Any, page: Path) -> None:
    assert report_window.requested == [page.as_uri()]
    assert report_window.messages == []


def test_first_screen_shows_the_figures_the_freshness_and_the_first_carriers(report_window: Any) -> None:
    rows = report_window.locator("table.carriers tbody tr").all()
    is_phone = report_window.viewport_size == PHONE
    seen = [report_window.locator(place).first for place in ("header p", ".say-all")]
    seen += report_window.locator("table.carriers thead small").all()  # what the less usual columns mean
    seen += [*report_window.locator(".figure .big").all(), *(rows[:5] if is_phone else rows)]

    assert len(rows) == 9
    for element in seen:
        box = element.bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= report_window.viewport_size["height"], element.inner_text()


@pytest.mark.parametrize("is_markup", [False, True], ids=["escaped by the report", "inserted as markup"])
def test_names_that_contain_markup_cause_no_request_and_no_dialog(
    browser: Any, hostile_page: Path, tmp_path: Path, is_markup: bool
) -> None:
    html = hostile_page.read_text()
    shown = tmp_path / "index.html"
    shown.write_text(html.replace("<main>", f"<main>{' '.join(HOSTILE)}") if is_markup else html)
    window = browser.new_page()
    asked, dialogs = [], []
    window.on("requestfinished", lambda request: asked.append(request.url))
    window.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    window.goto(shown.as_uri())
    for place in (1, 2):
        window.select_option("[name=carrier]", str(place))
    window.wait_for_load_state("networkidle")

    assert asked == [shown.as_uri()]
    assert dialogs == []
    assert window.locator("main script, main img").count() == 2 * is_markup
    window.close()


def texts(window: Any) -> list[list[str]]:
    """Returns the texts of the carriers' rows and of the figures."""
    rows = window.evaluate(
        "[...document.querySelectorAll('table.carriers tbody tr')].map(row =>"
        " [...row.querySelectorAll('[data-cell]')].map(cell => cell.textContent))"
    )
    return [*rows, window.locator("[data-fill]").all_inner_texts()]


def choose(window: Any, name: str, place: int) -> str:
    """Chooses an entry of a list, and returns its label."""
    window.select_option(f"[name={name}]", str(place))
    label: str = window.locator(f"[name={name}] option").nth(place).inner_text()
    return label


def test_twenty_choices_show_what_read_gives_with_the_same_filter(
    wide: Any, shop: tuple[Installation, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLT_PROJECT_DIR", str(shop[0].folder))
    places = {name: wide.locator(f"[name={name}] option").count() for name in ("carrier", "country", "period")}
    every = list(itertools.product(*(range(number) for number in places.values())))
    options = wide.evaluate("JSON.parse(document.getElementById('data').textContent).options")

    for choice in random.Random(22).sample(every, 20):  # a repeatable choice
        labels = [choose(wide, name, place) for name, place in zip(places, choice, strict=True)]
        carrier, country, _ = (None if place == 0 else label for place, label in zip(choice, labels, strict=True))
        since = options["period"][choice[2]].removeprefix("--since ") or None
        only = PickupFilter.parse(
            carriers=[carrier] if carrier else None, countries=[country] if country else None, since=since
        )
        found = [row for row in read_rows("carrier_cancellations", only=only) if row["is_every_account"]]
        expected = {row["carrier"]: row for row in found if row["country"] == "all"}
        rows = {row[0]: row for row in texts(wide)[:-1]}
        assert rows.keys() == expected.keys(), labels
        for name, row in expected.items():
            assert rows[name][-1] == f"{row['pickups']:,}"
            assert rows[name][1] == ("–" if row["rated"] == 0 else f"{row['cancellation_rate']:.1%}")
        (total,) = [
            row
            for row in read_rows("rates", only=only)
            if row["is_every_account"] and (row["breakdown"], row["outcome"]) == ("total", "cancelled")
        ] or [None]
        shown = wide.locator('[data-fill="rate.0"]').inner_text()
        assert shown == (f"{total['rate']:.1%}" if total else "Not known yet" if expected else "–"), labels
        if total:
            interval = f"{total['rate_low'] * 100:.1f} to {total['rate_high']:.1%}"
            assert (
                f"{total['k']:,} of {total['n']:,} finished pickup" in wide.locator('[data-fill="rate.1"]').inner_text()
            )
            assert interval in wide.locator('[data-fill="rate.1"]').inner_text()


def test_returning_to_the_first_choice_shows_the_page_as_it_was_written(wide: Any) -> None:
    written = texts(wide)
    paths = "[...document.querySelectorAll('[data-path]')].map(path => path.getAttribute('d'))"
    drawn = wide.evaluate(paths)
    commands = wide.locator("code").all_text_contents()

    choose(wide, "country", 1)
    assert texts(wide) != written
    choose(wide, "country", 0)

    assert texts(wide) == written
    assert wide.evaluate(paths) == drawn
    assert wide.locator("code").all_text_contents() == commands


def test_headings_sort_the_table_and_the_choice_is_announced(wide: Any) -> None:
    pickups = wide.locator("table.carriers thead th").last

    pickups.locator("button").click()
    down = [int(row[-1].replace(",", "")) for row in texts(wide)[:-1]]
    pickups.locator("button").press("Enter")

    assert down == sorted(down, reverse=True)
    assert pickups.get_attribute("aria-sort") == "ascending"
    assert [int(row[-1].replace(",", "")) for row in texts(wide)[:-1]] == down[::-1]


def test_table_downloads_as_csv_that_a_spreadsheet_shows_as_text(wide: Any, tmp_path: Path) -> None:
    wide.evaluate("document.querySelector('[data-cell=name]').textContent = '=1+1'")

    with wide.expect_download() as begun:
        wide.locator("table.carriers .csv").click()
    begun.value.save_as(tmp_path / "carriers.csv")

    heading, first, *rows = (tmp_path / "carriers.csv").read_text(encoding="utf-8-sig").splitlines()
    assert heading.startswith('Carrier,"Cancelled, with 95% interval",')
    assert first.startswith("'=1+1,")
    assert len(rows) == 8


def test_values_appear_when_a_point_or_a_cell_has_the_focus(wide: Any) -> None:
    wide.locator("#weeks > summary").click()
    wide.locator("#weeks .point").first.focus()
    assert "week of" in wide.locator("#value").inner_text()

    wide.locator("table.carriers .tip[tabindex]").first.focus()
    say = wide.locator("table.carriers .tip[tabindex] .say").first
    assert say.evaluate("element => getComputedStyle(element).position") == "fixed"
    assert say.bounding_box()["height"] > 20


def test_axe_finds_no_accessibility_violations(report_window: Any) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-core is not installed; make test-engines installs it"
    )
    report_window.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")

    for scheme in ("light", "dark"):
        report_window.emulate_media(color_scheme=scheme)
        found = axe.Axe().run(report_window).response["violations"]
        assert [(rule["id"], rule["nodes"][0]["html"][:80]) for rule in found] == []


def test_no_element_is_wider_than_the_window(report_window: Any) -> None:
    assert report_window.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_page_shows_at_most_900_words_and_prints_on_at_most_six_pages(wide: Any) -> None:
    words = wide.evaluate(
        "(() => { const copy = document.querySelector('main').cloneNode(true);"
        " copy.querySelectorAll('.say, select, details > :not(summary)').forEach(one => one.remove());"
        " return copy.textContent.split(/\\s+/).length; })()"
    )
    wide.emulate_media(media="print")
    printed = wide.pdf(format="A4")

    assert words <= 900
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) <= 6


def test_page_without_scripts_shows_the_same_numbers(browser: Any, page: Path, wide: Any) -> None:
    context = browser.new_context(java_script_enabled=False, viewport=SCREEN)
    window = context.new_page()
    window.goto(page.as_uri())

    assert window.locator("table.carriers tbody tr").count() == 9
    assert window.locator('[data-fill="rate.0"]').inner_text() == wide.locator('[data-fill="rate.0"]').inner_text()
    assert not window.locator("form.choices").is_visible()
    context.close()
