"""Creates the pictures for the READMEs from a report on the data of `pickups demo`: the first picture of each notebook
and, if Chromium is installed, a screenshot of the report.

To run this script, use `make pictures`.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PICTURES = ("cancellation-rates.png", "pickup-windows.png")  # for the first two notebooks, in order


def first_screen(page: Path, picture: Path, chromium: str) -> None:
    """Saves a screenshot of the page in a window of 1280 by 800 pixels."""
    with tempfile.TemporaryDirectory() as profile:
        quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
        asked = ["--window-size=1280,800", f"--user-data-dir={profile}", f"--screenshot={picture}", page.as_uri()]
        command = [chromium, *quiet, *asked]
        subprocess.run(command, check=True, capture_output=True, timeout=120)  # noqa: S603  # constant arguments


if __name__ == "__main__":
    (HERE / "pictures").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "index.html"
        report = [sys.executable, "-m", "pipelines", "report", "--to", str(page)]
        subprocess.run(report, check=True, cwd=HERE.parent)  # noqa: S603  # constant arguments
        chapters = page.read_text(encoding="utf-8").split("<article>")[1:]
        for chapter, file in zip(chapters, PICTURES, strict=False):
            picture = chapter.split("data:image/png;base64,")[1].split('"')[0]
            (HERE / "pictures" / file).write_bytes(base64.b64decode(picture))
        if chromium := shutil.which("chromium") or shutil.which("google-chrome"):
            first_screen(page, HERE / "pictures" / "report.png", chromium)
