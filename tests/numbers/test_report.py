"""`pickups report`: one page that needs nothing else, whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest

from pipelines import in_place
from pipelines import report as reporting
from sources.sendcloud.sandbox import Sandbox, World
from tests.conftest import HOSTILE
from tests.support.cases import quick
from tests.support.installation import REPOSITORY, Installation

BEYOND = re.compile(r"https?://|//cdn|url\(|@import|<script|<link|<iframe")


class Tags(HTMLParser):
    """Every tag with its attributes, and the text outside of style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] != "style":
            self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.slow
def test_the_page_needs_nothing_but_itself(page: Path) -> None:
    html = page.read_text()

    assert BEYOND.findall(html) == []
    assert [image for image in Tags(html).of("img") if not image["src"].startswith("data:image/png;base64,")] == []


@pytest.mark.slow
def test_a_name_from_the_data_is_text_and_never_markup(hostile_page: Path) -> None:
    found = Tags(hostile_page.read_text())
    text = "".join(found.text)

    assert found.of("script") == found.of("iframe") == []
    assert all(image["src"].startswith("data:image/png;base64,") for image in found.of("img"))
    assert [attributes for _, attributes in found.tags if any(name.startswith("on") for name in attributes)] == []
    assert all(link["href"].startswith("#") for link in found.of("a"))
    for sentence in ("is cancelled most often", "differs most", "fails most often", "is the most regular"):
        assert any(f"{name} {sentence}" in text for name in HOSTILE), sentence
    assert f"kept in extra: {HOSTILE[0]}." in text


@pytest.mark.slow
def test_the_page_itself_forbids_a_browser_to_run_or_fetch_anything(page: Path) -> None:
    (policy,) = [meta["content"] for meta in Tags(page.read_text()).of("meta") if "http-equiv" in meta]

    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")


@pytest.mark.slow
def test_it_says_of_whom_as_of_when_and_by_which_version(page: Path) -> None:
    text = " ".join(Tags(page.read_text()).text)

    assert "Account my-shop · as of 2026-11-20 12:00 UTC · made 20" in text
    assert "by sendcloud-pickups 0." in text


@pytest.mark.slow
def test_it_shows_pictures_and_sentences_and_no_code(page: Path) -> None:
    found = Tags(page.read_text())
    text = " ".join(found.text)

    assert "is cancelled most often" in text
    assert "Most windows open on" in text
    assert "1 of 1 runs succeeded" in text
    assert "import matplotlib" not in text
    assert "the only cell to edit" not in text
    assert len(found.of("img")) >= 12
    assert all(image["alt"].startswith("Picture: ") and len(image["alt"]) > 15 for image in found.of("img"))


@pytest.mark.slow
def test_every_entry_of_the_contents_leads_to_a_heading_and_no_two_to_the_same(page: Path) -> None:
    found = Tags(page.read_text())
    links = [link["href"] for link in found.of("a") if link["href"].startswith("#")]
    anchors = [attributes["id"] for _, attributes in found.tags if "id" in attributes]

    assert len(links) >= 18
    assert len(set(links)) == len(links)
    assert len(set(anchors)) == len(anchors)
    assert {link.removeprefix("#") for link in links} <= set(anchors)


@pytest.mark.slow
def test_only_some_carriers_and_days_can_be_asked_for(hostile_page: Path) -> None:
    """One an hour before 22 August 12:00: 229 of them are since the 13th, and one came ten days later."""
    text = " ".join("".join(Tags(hostile_page.read_text()).text).split())

    assert "230 pickups" in text
    assert f"only {', '.join(HOSTILE)} · only pickups booked since 2026-08-13 00:00 UTC" in text
    assert "fedex" not in text


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], None]:
    """A function that puts a notebook of one cell in the place of ours."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(reporting, "notebooks_folder", lambda _project: folder)

    def write(name: str, code: str) -> None:
        cells = [nbformat.v4.new_markdown_cell(f"# {name}?"), nbformat.v4.new_code_cell(code)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{name}.ipynb")

    return write


@pytest.fixture
def old_page(shop: tuple[Installation, Sandbox], installation: Installation) -> Path:
    """A report that is there already, in a project of its own."""
    shutil.copytree(shop[0].folder / "data", installation.folder / "data", ignore=shutil.ignore_patterns("report"))
    page = installation.folder / "data" / "report" / "index.html"
    page.parent.mkdir()
    page.write_text("of yesterday")
    return page


@pytest.mark.parametrize(
    ("code", "told"),
    quick(
        [
            ("1 / 0", "ZeroDivisionError: division by zero"),
            ("import os; os._exit(9)", "a kernel that died (killed, or out of memory?)"),
            ("import time; time.sleep(60)", "a cell that took longer than 2 seconds"),
        ]
    ),
    ids=["an error", "a kernel that dies", "a cell without an end"],
)
def test_a_notebook_that_fails_costs_no_report(
    installation: Installation,
    old_page: Path,
    notebook: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    told: str,
) -> None:
    notebook("broken", code)
    monkeypatch.setattr(reporting, "SECONDS_A_CELL", 2 if "sleep" in code else 60)

    done = installation.command("report")

    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr.splitlines()[-1].startswith(
        f"pickups: No report: broken.ipynb ended in {told}. The report that was there is as it was."
    )
    assert old_page.read_text() == "of yesterday"
    assert [file.name for file in old_page.parent.iterdir()] == ["index.html"]


@pytest.mark.slow
def test_a_projects_own_notebooks_are_taken_before_those_that_came_with_us(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.run(api)
    own = installation.folder / "notebooks"
    own.mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Mine?")]), own / "mine.ipynb")

    assert installation.command("report").stderr.split() == ["running", "mine"]


@pytest.mark.slow
def test_what_a_kernel_says_at_its_end_is_not_what_the_command_says(
    installation: Installation, world: World, api: Sandbox
) -> None:
    world.book()
    installation.run(api)
    stumbles = "import atexit, os\natexit.register(os.system, 'echo Uncaught >&2')"
    own, heading = installation.folder / "notebooks", [nbformat.v4.new_markdown_cell("# Mine?")]
    own.mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=[*heading, nbformat.v4.new_code_cell(stumbles)]), own / "mine.ipynb")

    assert installation.process("report").stderr.split() == ["running", "mine"]


def test_a_page_that_cannot_take_the_old_ones_place_leaves_it_as_it_was(
    installation: Installation,
    old_page: Path,
    notebook: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replace = Path.replace

    def full(fresh: Path, target: Path) -> None:
        if target == old_page:
            assert "short" in fresh.read_text()  # the new one is whole by now
            assert old_page.read_text() == "of yesterday"
            raise OSError(28, "No space left on device")
        replace(fresh, target)

    notebook("short", "1")
    monkeypatch.setattr(Path, "replace", full)

    done = installation.command("report")

    assert done.returncode == 6
    assert f"The destination failed: {old_page}: [Errno 28] No space left on device. The report that was" in done.stderr
    assert old_page.read_text() == "of yesterday"
    assert [file.name for file in old_page.parent.iterdir()] == ["index.html"]


@pytest.mark.slow
def test_what_a_killed_report_left_is_swept_up_by_one_of_another_day(
    installation: Installation,
    old_page: Path,
    notebook: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = [old_page.with_name(".index.html.a.new"), installation.published.with_name(".pickups.duckdb.a.still")]
    for file in left:
        file.write_text("x")
    notebook("short", "1")

    assert installation.command("report", "--to", str(old_page.with_name("other.html"))).returncode == 0
    assert [file.exists() for file in left] == [True, True]  # somebody may be at it
    monkeypatch.setattr(in_place, "A_DAY", 0)
    assert installation.command("report").returncode == 0

    assert [file.exists() for file in left] == [False, False]


@pytest.mark.slow
@pytest.mark.parametrize("can_link", [True, False], ids=["by a link", "by a copy where there are no links"])
def test_what_is_published_while_a_report_is_made_is_in_none_of_it(
    installation: Installation,
    world: World,
    api: Sandbox,
    notebook: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    can_link: bool,
) -> None:
    def no_link(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    def between(name: str) -> None:
        if name == "second":
            world.advance(hours=1)
            world.book()
            installation.run(api)

    world.book()
    installation.run(api)
    for name in ("first", "second"):
        notebook(name, "from pipelines.warehouse import read\nprint(len(read('pickups')), 'pickups')")
    if not can_link:
        monkeypatch.setattr(os, "link", no_link)
    monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))

    text = " ".join(Tags(reporting.report(on_progress=between).read_text()).text)

    assert len(installation.pickups()) == 2
    assert re.findall(r"\d+ pickups", text) == ["1 pickups", "1 pickups"]
    assert "as of 2026-11-20 12:00 UTC" in text
    assert list(installation.published.parent.glob(".*.still")) == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--since", "yesterday"], 2, "'yesterday' is no day, such as 2026-01-01"),
        (["--carrier", "DHL"], 2, "no carrier 'DHL'; there are "),
    ],
)
def test_a_wrong_day_or_carrier_is_told_at_once(
    shop: tuple[Installation, Sandbox], words: list[str], code: int, says: str
) -> None:
    done = shop[0].command("report", *words)

    assert done.returncode == code
    assert says in " ".join(done.stderr.replace("│", " ").split())


def test_show_prints_the_numbers_of_the_notebooks_in_their_order(
    shop: tuple[Installation, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    installation, _ = shop
    monkeypatch.setenv("DLT_PROJECT_DIR", str(installation.folder))
    rates: dict[str, Any] = {}
    windows: dict[str, Any] = {}
    exec(code_of("01-cancellation-rates"), rates)
    exec(code_of("02-pickup-windows"), windows)
    plt.close("all")

    shown = json.loads(installation.command("show", "carriers", "--format", "json").stdout)
    by_carrier = {row["carrier"]: row for row in shown if row["country"] == "all"}
    for row in rates["rated"].to_dict("records"):
        for name in ("rated", "cancellation_rate", "cancellation_rate_low", "cancellation_rate_high", "failure_rate"):
            assert by_carrier[row["carrier"]][name] == row[name]
    printed = [line.split() for line in installation.command("show", "carriers").stdout.splitlines()]
    best_first = list(rates["rated"]["carrier"][::-1])
    assert [words[0] for words in printed if words and words[0] in by_carrier] == best_first
    assert len(best_first) == 9

    shown = json.loads(installation.command("show", "windows", "--format", "json").stdout)
    for row in windows["windows"].to_dict("records"):
        (told,) = [one for one in shown if one["carrier"] == row["carrier"]]
        for name in ("with_window", "median_window_hours", "median_lead_time_hours", "open_ended_share"):
            assert told[name] == row[name]


def code_of(name: str) -> str:
    cells = json.loads((REPOSITORY / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def test_without_pickups_there_is_no_report(installation: Installation) -> None:
    done = installation.command("report")

    assert done.returncode == 3
    assert "There are no pickups yet" in done.stderr
