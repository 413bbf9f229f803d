"""Wraps the report in one HTML document, which needs no network and runs only its own script."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipelines.output import to_json, visible_page

STYLE, SCRIPT = (Path(__file__).with_name(f"report.{kind}") for kind in ("css", "js"))
GENERATOR, TITLE = "sendcloud-pickups", "<title>Sendcloud pickups"
HEAD_BYTES = 2_000  # the generator and the title are within the first bytes of a page


def is_own_page(page: Path) -> bool:
    """Returns whether this program created the file. Pages from versions before 0.2 are recognized by their title."""
    with page.open("rb") as file:
        head = file.read(HEAD_BYTES).decode("utf-8", "replace")
    return head.startswith("<!DOCTYPE html>") and (f'name="generator" content="{GENERATOR} ' in head or TITLE in head)


def document(body: str, data: Any, made_at: datetime) -> str:
    """Returns the report as one HTML document with its style, its script and the data of the script.

    The content security policy allows nothing but this style and this script, which it names by their hashes. Even if a
    name from the data were rendered as markup, the browser would neither run it nor request anything.
    """
    style, script = (path.read_text(encoding="utf-8") for path in (STYLE, SCRIPT))
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    return visible_page(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="generator" content="{GENERATOR} {version("sendcloud-pickups")}">\n'
        f"{TITLE}, {made_at:%Y-%m-%d}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}\n"
        f'<script type="application/json" id="data">{_json(data)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(visible_page(text).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _json(data: Any) -> str:
    """Returns JSON that can't end the element that contains it."""
    return to_json(data).replace("<", "\\u003c")
