"""Tests that `pickups report` writes one self-contained page and, if it fails, leaves the previous page unchanged."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipelines import atomic_file
from pipelines.charts.rows import whole_carriers
from pipelines.cli.reading import browser
from pipelines.report import build
from pipelines.warehouse import read
from sources.sendcloud.sandbox import Sandbox, World
from tests.conftest import HOSTILE
from tests.support.installation import Installation

EXTERNAL_REFERENCE = re.compile(r"https?://|//cdn|url\(|@import|<link|<iframe|<img")


class Tags(HTMLParser):
    """Collects every tag of a page with its attributes, and the text outside of styles and scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.inside: dict[str, list[str]] = {"style": [], "script": []}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.inside.get(self.lasttag, self.text).append(data)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def text_of(page: Path) -> str:
    return " ".join("".join(Tags(page.read_text()).text).split())


@pytest.mark.slow
def test_page_refers_to_no_external_resources(page: Path) -> None:
    html = page.read_text()

    assert EXTERNAL_REFERENCE.findall(html) == []
    assert Tags(html).of("a") == []


@pytest.mark.slow
def test_names_from_the_data_appear_as_text_and_never_as_markup(hostile_page: Path) -> None:
    found = Tags(hostile_page.read_text())

    assert len(found.of("script")) == 2  # the data and the page's own script
    assert found.of("iframe") == found.of("img") == []
    assert [attributes for _, attributes in found.tags if any(name.startswith("on") for name in attributes)] == []
    for carrier in HOSTILE:
        assert carrier in "".join(found.text)


@pytest.mark.slow
def test_content_security_policy_allows_only_the_pages_own_style_and_script(page: Path) -> None:
    found = Tags(page.read_text())
    (policy,) = [meta["content"] for meta in found.of("meta") if "http-equiv" in meta]
    own = [Path(build.__file__).with_name(f"report.{kind}") for kind in ("css", "js")]
    hashes = [base64.b64encode(hashlib.sha256(file.read_bytes()).digest()).decode() for file in own]

    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "".join(found.inside["style"]).strip() == own[0].read_text().strip()
    assert "".join(found.inside["script"]).strip().endswith(own[1].read_text().strip())


@pytest.mark.slow
def test_page_says_how_old_and_how_sound_its_data_is(page: Path) -> None:
    text = text_of(page)

    assert "Data as of 2026-11-20 12:00 UTC." in text
    assert re.search(r"by sendcloud-pickups \d", text)
    assert "DEMO DATA" not in text


@pytest.mark.slow
def test_report_can_be_limited_to_some_carriers_and_a_start_day(hostile_page: Path) -> None:
    """One pickup was booked every hour before 12:00 on 22 August, 229 since the 13th, and one ten days later."""
    text = text_of(hostile_page)

    assert "1 account, 230 pickups." in text
    assert f"only {', '.join(HOSTILE)} · only pickups that were booked since 2026-08-13 00:00 UTC" in text
    assert "--since 2026-08-13T00:00:00+00:00 --by booking" in text  # in the commands that list the pickups
    assert "fedex" not in text


OLD_PAGE = "<!DOCTYPE html>\n<title>Sendcloud pickups</title>\nof yesterday"


@pytest.fixture
def old_page(shop: tuple[Installation, Sandbox], installation: Installation) -> Path:
    """Returns an existing report in a new project."""
    shutil.copytree(shop[0].folder / "data", installation.folder / "data", ignore=shutil.ignore_patterns("report"))
    page = installation.folder / "data" / "report" / "index.html"
    page.parent.mkdir()
    page.write_text(OLD_PAGE)
    return page


@pytest.fixture
def _short_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the page by a short one, because computing the numbers takes seconds."""
    monkeypatch.setattr(build, "compose_page", lambda *_, **__: "<!DOCTYPE html>\n<p>short</p>")


@pytest.mark.usefixtures("_short_page")
def test_previous_report_is_unchanged_if_the_new_page_cannot_replace_it(
    installation: Installation, old_page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def full(fresh: Path, target: Path) -> None:
        if target == old_page:
            assert "short" in fresh.read_text()  # the new page is complete by now
            assert old_page.read_text() == OLD_PAGE
            raise OSError(28, "No space left on device")
        replace(fresh, target)

    monkeypatch.setattr(Path, "replace", full)

    done = installation.command("report")

    assert done.returncode == 6
    assert f"The destination failed: {old_page}: [Errno 28] No space left on device. The previous report" in done.stderr
    assert old_page.read_text() == OLD_PAGE
    assert [file.name for file in old_page.parent.iterdir()] == ["index.html"]


@pytest.mark.usefixtures("_short_page")
def test_temporary_files_of_a_killed_report_are_removed_by_a_report_a_day_later(
    installation: Installation, old_page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [old_page.with_name(".index.html.a.new"), installation.published.with_name(".pickups.duckdb.a.still")]
    for file in left:
        file.write_text("x")

    assert installation.command("report", "--to", str(old_page.with_name("other.html"))).returncode == 0
    assert [file.exists() for file in left] == [True, True]  # another report may still use them
    monkeypatch.setattr(atomic_file, "DAY_SECONDS", 0)
    assert installation.command("report").returncode == 0

    assert [file.exists() for file in left] == [False, False]


@pytest.mark.slow
@pytest.mark.parametrize(
    "can_link", [True, False], ids=["snapshot by hard link", "snapshot by copy, without hard links"]
)
def test_report_excludes_data_published_while_it_is_created(
    installation: Installation, world: World, api: Sandbox, monkeypatch: pytest.MonkeyPatch, can_link: bool
) -> None:
    def no_link(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    def between(_name: str) -> None:
        world.advance(hours=1)
        world.book()
        installation.run(api)

    world.book()
    installation.run(api)
    if not can_link:
        monkeypatch.setattr(os, "link", no_link)
    monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))

    text = text_of(build.build_report(on_progress=between))

    assert len(installation.pickups()) == 2
    assert "1 account, 1 pickup." in text
    assert "as of 2026-11-20 12:00 UTC" in text
    assert list(installation.published.parent.glob(".*.still")) == []


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--since", "yesterday"], 2, "'yesterday' is not a day such as 2026-01-01"),
        (["--carrier", "DHL"], 2, "unknown carrier 'DHL'; available carriers: "),
    ],
)
def test_invalid_day_or_unknown_carrier_is_refused(
    shop: tuple[Installation, Sandbox], options: list[str], code: int, message: str
) -> None:
    done = shop[0].command("report", *options)

    assert done.returncode == code
    assert message in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.usefixtures("_short_page", "old_page")
@pytest.mark.parametrize("has_browser", [True, False])
def test_open_shows_the_page_or_says_how_to_open_it(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, has_browser: bool
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(browser.webbrowser, "open", lambda url: opened.append(url) or has_browser)
    page = installation.folder / "data" / "report" / "index.html"

    done = installation.command("report", "--open")

    assert (done.returncode, done.stdout) == (0, f"{page}\n")
    assert opened == [page.as_uri()]
    assert ("No browser was found. Copy" in done.stderr) == (not has_browser)


@pytest.mark.slow
def test_report_says_demo_data_until_a_run_has_published(
    shop: tuple[Installation, Sandbox], installation: Installation
) -> None:
    demo = installation.folder / "data" / "demo" / "pickups.duckdb"
    demo.parent.mkdir(parents=True)
    shutil.copy(shop[0].published, demo)

    page = installation.command("report").stdout.strip()

    text = text_of(Path(page))
    assert "DEMO DATA No run has published anything yet, so these are the invented pickups" in text
    assert "up to date and checked" not in text


def test_show_prints_the_carriers_of_the_notebooks_in_their_order(shop: tuple[Installation, Sandbox]) -> None:
    installation, _ = shop
    carriers = whole_carriers(read("carrier_cancellations", path=installation.published))

    printed = [line.split() for line in installation.command("show", "carriers").stdout.splitlines()]
    assert [words[0] for words in printed if words and words[0] in set(carriers["carrier"])] == [*carriers["carrier"]]
    assert len(carriers) == 9

    shown = json.loads(installation.command("show", "carriers", "--format", "json").stdout)
    by_carrier = {row["carrier"]: row for row in shown if row["country"] == "all" and row["is_every_account"]}
    for row in carriers.to_dict("records"):
        for name in ("rated", "cancellation_rate", "cancellation_rate_low", "cancellation_rate_high", "failure_rate"):
            assert by_carrier[row["carrier"]][name] == row[name]


def test_without_pickups_the_report_command_exits_3(installation: Installation) -> None:
    done = installation.command("report")

    assert done.returncode == 3
    assert "There are no pickups yet" in done.stderr
