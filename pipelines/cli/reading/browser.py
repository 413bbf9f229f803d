"""Opens a page in the user's browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from pipelines.output import print_text


def open_page(page: Path) -> None:
    """Opens the page, or says how to open it if this machine has no browser."""
    try:
        is_open = webbrowser.open(page.as_uri())
    except webbrowser.Error:
        is_open = False
    if not is_open:
        print_text(f"No browser was found. Copy {page} to a machine that has one, and open the file there.", err=True)
