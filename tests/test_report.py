"""`pickups report`: one page that needs nothing else, whole or not at all."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sources.sendcloud.sandbox import Sandbox, World, serve
from tests.installation import REPOSITORY, Installation

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
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


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, Sandbox]]:
    """An installation with 2,000 pickups loaded."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / ".dlt").mkdir()
    with pytest.MonkeyPatch.context() as patched, serve(World.seeded(2_000, seed=3, until=NOW)) as api:
        installation = Installation(folder, patched)
        installation.run(api, account="my-shop")
        yield installation, api


@pytest.fixture(scope="module")
def page(shop: tuple[Installation, Sandbox]) -> Path:
    """What `pickups report` wrote, without a word to say where."""
    installation, _ = shop
    done = installation.process("report")
    assert done.returncode == 0, done.stderr
    assert done.stderr.split() == [
        "running",
        "01-cancellation-rates",
        "running",
        "02-pickup-windows",
        "running",
        "03-is-the-data-healthy",
    ]
    assert done.stdout.strip() == str(installation.folder / "data" / "report" / "index.html")
    return Path(done.stdout.strip())


def test_the_page_needs_nothing_but_itself(page: Path) -> None:
    html = page.read_text()

    assert BEYOND.findall(html) == []
    assert [image for image in Tags(html).of("img") if not image["src"].startswith("data:image/png;base64,")] == []


def test_it_says_of_whom_as_of_when_and_by_which_version(page: Path) -> None:
    text = " ".join(Tags(page.read_text()).text)

    assert "Account my-shop · as of 2026-11-20 12:00 UTC · made 20" in text
    assert "by sendcloud-pickups 0." in text


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


def test_every_entry_of_the_contents_leads_to_a_heading_and_no_two_to_the_same(page: Path) -> None:
    found = Tags(page.read_text())
    links = [link["href"] for link in found.of("a") if link["href"].startswith("#")]
    anchors = [attributes["id"] for _, attributes in found.tags if "id" in attributes]

    assert len(links) >= 18
    assert len(set(links)) == len(links)
    assert len(set(anchors)) == len(anchors)
    assert {link.removeprefix("#") for link in links} <= set(anchors)


def test_only_some_carriers_and_days_can_be_asked_for(shop: tuple[Installation, Sandbox], tmp_path: Path) -> None:
    installation, _ = shop
    counted = installation.rows(
        "select count(*) as n from sendcloud.pickups where carrier in ('dhl', 'ups') and created_at >= '2026-09-01'"
    )

    done = installation.process(
        "report", "--to", str(tmp_path / "some.html"), "--carrier", "dhl", "--carrier", "ups", "--since", "2026-09-01"
    )

    text = " ".join(Tags((tmp_path / "some.html").read_text()).text)
    assert done.returncode == 0
    assert f"{counted[0]['n']:,} pickups" in text
    assert "only dhl, ups · only pickups booked since 2026-09-01 00:00 UTC" in text
    assert "fedex" not in text


def test_a_notebook_that_fails_costs_no_report(shop: tuple[Installation, Sandbox], page: Path) -> None:
    import nbformat

    broken = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    installation, _ = shop
    (installation.folder / "notebooks").mkdir()
    nbformat.write(broken, installation.folder / "notebooks" / "broken.ipynb")
    before = page.read_bytes()

    done = installation.command("report")
    shutil.rmtree(installation.folder / "notebooks")

    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr.splitlines()[-1].startswith(
        "pickups: No report: broken.ipynb ended in ZeroDivisionError: division by zero. The report that was there is"
    )
    assert page.read_bytes() == before
    assert [file.name for file in page.parent.iterdir()] == ["index.html"]


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
