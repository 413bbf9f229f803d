"""Renders the report page from executed notebooks, with a table of contents and without code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.destinations.filter import PickupFilter
from pipelines.output import as_of_words, to_html, visible_page

STYLE = Path(__file__).with_name("report.css")
# The report contains names sent by the API. Even if a name were rendered as markup, this policy would keep the browser
# from running scripts and from loading anything.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


GENERATOR, TITLE = "sendcloud-pickups", "<title>Sendcloud pickups"
HEAD_BYTES = 2_000  # the generator and the title are within the first bytes of a page


class Chapter(NamedTuple):
    """One notebook as HTML, with its heading and anchor, and with the anchors and headings of its sections."""

    anchor: str
    heading: str
    sections: list[tuple[str, str]]
    body: str


def chapter(name: str, notebook: Any) -> Chapter:
    """Returns an executed notebook as HTML without code.

    Each anchor begins with the notebook's name, because two notebooks may contain identical headings.

    Args:
        name: the name of the notebook, without `.ipynb`.
        notebook: the executed notebook. The cell that asks readers to select pickups is removed from this notebook.
    """
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="basic", exclude_input=True, exclude_output_prompt=True)  # type: ignore[no-untyped-call]
    notebook.cells = [cell for cell in notebook.cells if cell.get("id") != "ask"]  # Readers can't edit a page.
    body, _ = exporter.from_notebook_node(notebook)
    body = re.sub(r'<a class="anchor-link".*?</a>', "", body)
    body = re.sub(r' id="cell-id=[^"]*"', "", body)
    body = re.sub(r'(<h[1-6] id=")([^"]*)', lambda found: f"{found[1]}{name}-{_slug(found[2])}", body)
    body = re.sub(r"<table[^>]*>", '<table tabindex="0">', body).replace("<th></th>", "<td></td>")
    # on a phone, readers scroll wide pictures sideways
    body = body.replace('<div class="output_png', '<div tabindex="0" class="output_png')
    body = _describe_images(body)
    headings = re.findall(r'<h([12]) id="([^"]+)">(.*?)</h\1>', body, re.DOTALL)
    (_, anchor, heading), *sections = headings
    return Chapter(anchor, heading, [(link, text) for _, link, text in sections], body)


def _slug(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


def _describe_images(body: str) -> str:
    """Sets the alternative text of each picture to the heading above it, because a title inside a PNG isn't text."""
    parts = re.split(r"(<h[1-3] .*?</h[1-3]>|<img )", body, flags=re.DOTALL)
    heading, described = "", []
    for part in parts:
        if part.startswith("<h"):
            heading = re.sub(r"<[^>]+>", "", part)
        elif part == "<img ":
            part = f'<img data-heading="{to_html(heading)}" '
        described.append(part)
    whole = "".join(described)
    return re.sub(r'<img data-heading="([^"]*)"([^>]*?) alt="[^"]*"', r'<img alt="Picture: \1"\2', whole)


def is_own_page(page: Path) -> bool:
    """Returns whether this program created the file. Pages from versions before 0.2 are recognized by their title."""
    with page.open("rb") as file:
        head = file.read(HEAD_BYTES).decode("utf-8", "replace")
    return head.startswith("<!DOCTYPE html>") and (f'name="generator" content="{GENERATOR} ' in head or TITLE in head)


def render_page(chapters: list[Chapter], runs: list[dict[str, Any]], only: PickupFilter) -> str:
    """Returns the report as one HTML document.

    The document includes its style and pictures, so a browser makes no network requests to show it.

    Args:
        chapters: the notebooks, in the order of the page.
        runs: the rows of `analytics.runs`, which provide the accounts and the date of the data.
        only: the filter used in the notebooks, which the header describes.
    """
    return visible_page("".join(_page_parts(chapters, runs, only)))


def _page_parts(chapters: list[Chapter], runs: list[dict[str, Any]], only: PickupFilter) -> Iterator[str]:
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f'<meta name="generator" content="{GENERATOR} {version("sendcloud-pickups")}">\n'
    yield f"{TITLE}, {datetime.now(UTC):%Y-%m-%d}</title>\n"
    yield f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n<header>\n"
    yield f"<p class='title'>Sendcloud pickups</p>\n<p>{to_html(_header_text(runs, only))}</p>\n</header>\n"
    yield '<nav aria-label="Contents">\n<ol>\n'
    for chapter in chapters:
        yield f'<li><a href="#{chapter.anchor}">{chapter.heading}</a>\n<ol>\n'
        yield "".join(f'<li><a href="#{link}">{text}</a></li>\n' for link, text in chapter.sections)
        yield "</ol>\n</li>\n"
    yield "</ol>\n</nav>\n<main>\n"
    for chapter in chapters:
        yield f"<article>\n{chapter.body}\n</article>\n"
    yield "</main>\n</body>\n</html>\n"


def _header_text(runs: list[dict[str, Any]], only: PickupFilter) -> str:
    """Returns the accounts, the time of the data, the time and version of the report, and the filter, if any."""
    runs = [run for run in runs if run["has_succeeded"]]
    accounts = sorted({run["account"] for run in runs})
    in_order = sorted(runs, key=lambda run: (run.get("run_number") or 0, run["started_at_utc"]))
    last = {run["account"]: run for run in in_order}
    as_of = {account: run["observed_at_utc"] for account, run in last.items() if run["observed_at_utc"]}
    parts = [
        f"{'Account' if len(accounts) == 1 else 'Accounts'} {', '.join(accounts)}",
        *(as_of_words(as_of) or ["no successful run yet"]),
        f"created {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by sendcloud-pickups {version('sendcloud-pickups')}",
    ]
    return " · ".join([*parts, *only.words()])
