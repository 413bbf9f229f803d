"""The report's page: executed notebooks put together, with contents, and without code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.narrow import Only

STYLE = Path(__file__).with_name("report.css")
# the sentences hold names that came from elsewhere: whatever got through as markup, a browser runs and fetches nothing
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


class Chapter(NamedTuple):
    """One notebook as HTML, its heading and those of its sections with the anchors that lead to them."""

    anchor: str
    heading: str
    sections: list[tuple[str, str]]
    body: str


def chapter(name: str, notebook: Any) -> Chapter:
    """The notebook without code; its anchors begin with its name, for two notebooks may have the same heading."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="basic", exclude_input=True, exclude_output_prompt=True)  # type: ignore[no-untyped-call]
    notebook.cells = [cell for cell in notebook.cells if cell.get("id") != "ask"]  # nobody edits a page
    body, _ = exporter.from_notebook_node(notebook)
    body = re.sub(r'<a class="anchor-link".*?</a>', "", body)
    body = re.sub(r' id="cell-id=[^"]*"', "", body)
    body = re.sub(r'(<h[1-6] id=")([^"]*)', lambda found: f"{found[1]}{name}-{_slug(found[2])}", body)
    body = re.sub(r"<table[^>]*>", '<table tabindex="0">', body).replace("<th></th>", "<td></td>")
    body = body.replace('<div class="output_png', '<div tabindex="0" class="output_png')  # it scrolls on a phone
    body = _described(body)
    headings = re.findall(r'<h([12]) id="([^"]+)">(.*?)</h\1>', body, re.DOTALL)
    (_, anchor, heading), *sections = headings
    return Chapter(anchor, heading, [(link, text) for _, link, text in sections], body)


def _slug(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


def _described(body: str) -> str:
    """Each picture described by the heading that it stands under: a title inside a PNG is no text."""
    parts = re.split(r"(<h[1-3] .*?</h[1-3]>|<img )", body, flags=re.DOTALL)
    heading, described = "", []
    for part in parts:
        if part.startswith("<h"):
            heading = re.sub(r"<[^>]+>", "", part)
        elif part == "<img ":
            part = f'<img data-heading="{escape(heading, quote=True)}" '
        described.append(part)
    whole = "".join(described)
    return re.sub(r'<img data-heading="([^"]*)"([^>]*?) alt="[^"]*"', r'<img alt="Picture: \1"\2', whole)


def page_of(chapters: list[Chapter], runs: list[dict[str, Any]], only: Only) -> str:
    """One HTML document with everything in it: contents, style, pictures; it asks the network for nothing."""
    return "".join(_pieces(chapters, runs, only))


def _pieces(chapters: list[Chapter], runs: list[dict[str, Any]], only: Only) -> Iterator[str]:
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f"<title>Sendcloud pickups, {datetime.now(UTC):%Y-%m-%d}</title>\n"
    yield f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n<header>\n"
    yield f"<p class='title'>Sendcloud pickups</p>\n<p>{escape(_about(runs, only))}</p>\n</header>\n"
    yield '<nav aria-label="Contents">\n<ol>\n'
    for chapter in chapters:
        yield f'<li><a href="#{chapter.anchor}">{chapter.heading}</a>\n<ol>\n'
        yield "".join(f'<li><a href="#{link}">{text}</a></li>\n' for link, text in chapter.sections)
        yield "</ol>\n</li>\n"
    yield "</ol>\n</nav>\n<main>\n"
    for chapter in chapters:
        yield f"<article>\n{chapter.body}\n</article>\n"
    yield "</main>\n</body>\n</html>\n"


def _about(runs: list[dict[str, Any]], only: Only) -> str:
    """Of which accounts, as of when, made when and by which version; and of which pickups, if not of all."""
    runs = [run for run in runs if run["has_succeeded"]]
    accounts = sorted({run["account"] for run in runs})
    as_of = min((max(r["observed_at_utc"] for r in runs if r["account"] == name) for name in accounts), default=None)
    parts = [
        f"{'Account' if len(accounts) == 1 else 'Accounts'} {', '.join(accounts)}",
        f"as of {as_of:%Y-%m-%d %H:%M} UTC" if as_of else "no successful run yet",
        f"made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by sendcloud-pickups {version('sendcloud-pickups')}",
    ]
    if only.carriers:
        parts.append(f"only {', '.join(only.carriers)}")
    if only.since:
        parts.append(f"only pickups booked since {only.since:%Y-%m-%d %H:%M} UTC")
    return " · ".join(parts)
