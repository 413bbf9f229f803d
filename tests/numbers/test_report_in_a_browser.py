"""Tests the report in a real Chromium, opened from disk and without network access."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HOSTILE

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
PHONE, SCREEN = {"width": 390, "height": 844}, {"width": 1400, "height": 900}


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


def test_page_requests_only_itself_and_logs_nothing_to_the_console(report_window: Any, page: Path) -> None:
    assert [url for url in report_window.requested if not url.startswith("data:")] == [page.as_uri()]
    assert report_window.messages == []


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
    window.wait_for_load_state("networkidle")

    assert [url for url in asked if not url.startswith("data:")] == [shown.as_uri()]
    assert dialogs == []
    assert window.locator("script").count() == is_markup
    window.close()


def test_every_picture_loads_and_is_not_blank(report_window: Any) -> None:
    from matplotlib.image import imread

    pictures = report_window.locator("img").all()
    assert len(pictures) >= 12
    for picture in pictures:
        drawn = imread(BytesIO(picture.screenshot()))
        assert picture.evaluate("image => image.complete && image.naturalWidth > 300")
        assert drawn[..., :3].std() > 0.05  # a blank picture has no contrast


def test_no_element_is_wider_than_the_window(report_window: Any) -> None:
    assert report_window.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    cut = "element => element.getBoundingClientRect().right > window.innerWidth + 1"
    assert [
        e.inner_text() for e in report_window.locator("p, li, h1, h2, h3, .output_png, nav").all() if e.evaluate(cut)
    ] == []


def test_pictures_are_at_least_540_pixels_wide_and_scroll_if_the_window_is_narrower(report_window: Any) -> None:
    for picture in report_window.locator(".output_png").all():
        seen, whole = picture.evaluate("box => [box.clientWidth, box.scrollWidth]")
        assert whole >= 540
        assert (whole > seen) == (seen < 540)


def test_links_in_the_contents_lead_to_their_headings(report_window: Any) -> None:
    for link in report_window.locator("nav a").all():
        link.click()
        heading = report_window.locator(f"[id='{link.get_attribute('href')[1:]}']")
        assert heading.inner_text().strip() == link.inner_text().strip()
        assert heading.evaluate("element => Math.abs(element.getBoundingClientRect().top) < window.innerHeight")


def test_axe_finds_no_accessibility_violations(report_window: Any) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-core is not installed; make test-engines installs it"
    )

    found = axe.Axe().run(report_window).response["violations"]

    assert [(rule["id"], rule["nodes"][0]["html"][:80]) for rule in found] == []


def test_each_notebook_begins_on_a_new_page_in_print(browser: Any, page: Path) -> None:
    window = browser.new_page()
    window.goto(page.as_uri())
    window.emulate_media(media="print")
    breaks = window.eval_on_selector_all("article", "all => all.map(one => getComputedStyle(one).breakBefore)")
    printed = window.pdf(format="A4")
    window.close()

    assert breaks == ["page"] * 3
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) >= 4
