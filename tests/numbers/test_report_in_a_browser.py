"""The report as a person opens it: in a real Chromium, from the disk, without a network."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HOSTILE

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make test-engines does that")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium here (Debian: apt-get install chromium)"),
]
QUIET = [
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
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield launched
        launched.close()


@pytest.fixture(params=[PHONE, SCREEN], ids=["phone", "screen"])
def opened(request: pytest.FixtureRequest, browser: Any, page: Path) -> Iterator[Any]:
    """The page in a window, with what it asked for and what it said on its console."""
    window = browser.new_page(viewport=request.param)
    window.asked, window.said = [], []
    window.on("request", lambda asked: window.asked.append(asked.url))
    window.on("console", lambda said: window.said.append(said.text))
    window.on("pageerror", lambda error: window.said.append(str(error)))
    window.goto(page.as_uri())
    yield window
    window.close()


def test_it_asks_for_nothing_but_itself_and_says_nothing(opened: Any, page: Path) -> None:
    assert [url for url in opened.asked if not url.startswith("data:")] == [page.as_uri()]
    assert opened.said == []


@pytest.mark.parametrize("is_markup", [False, True], ids=["as it is written", "were a name taken for markup after all"])
def test_names_that_are_markup_ask_for_nothing_and_say_nothing(
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


def test_every_picture_is_loaded_and_shows_something(opened: Any) -> None:
    from matplotlib.image import imread

    pictures = opened.locator("img").all()
    assert len(pictures) >= 12
    for picture in pictures:
        drawn = imread(BytesIO(picture.screenshot()))
        assert picture.evaluate("image => image.complete && image.naturalWidth > 300")
        assert drawn[..., :3].std() > 0.05  # a blank one has no contrast


def test_nothing_is_wider_than_the_window(opened: Any) -> None:
    assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    cut = "element => element.getBoundingClientRect().right > window.innerWidth + 1"
    assert [
        e.inner_text() for e in opened.locator("p, li, h1, h2, h3, .output_png, nav").all() if e.evaluate(cut)
    ] == []


def test_pictures_are_wide_enough_to_be_read_and_scroll_where_the_window_is_not(opened: Any) -> None:
    for picture in opened.locator(".output_png").all():
        seen, whole = picture.evaluate("box => [box.clientWidth, box.scrollWidth]")
        assert whole >= 540
        assert (whole > seen) == (seen < 540)


def test_the_contents_lead_to_their_headings(opened: Any) -> None:
    for link in opened.locator("nav a").all():
        link.click()
        heading = opened.locator(f"[id='{link.get_attribute('href')[1:]}']")
        assert heading.inner_text().strip() == link.inner_text().strip()
        assert heading.evaluate("element => Math.abs(element.getBoundingClientRect().top) < window.innerHeight")


def test_axe_finds_nothing_to_complain_of(opened: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="make test-engines installs axe-core")

    found = axe.Axe().run(opened).response["violations"]

    assert [(rule["id"], rule["nodes"][0]["html"][:80]) for rule in found] == []


def test_printed_each_notebook_begins_on_a_page_of_its_own(browser: Any, page: Path) -> None:
    window = browser.new_page()
    window.goto(page.as_uri())
    window.emulate_media(media="print")
    breaks = window.eval_on_selector_all("article", "all => all.map(one => getComputedStyle(one).breakBefore)")
    printed = window.pdf(format="A4")
    window.close()

    assert breaks == ["page"] * 3
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) >= 4
