"""Makes the pictures of the READMEs: runs the notebooks over what `pickups demo` left, keeps each one's first picture,
and, where there is a Chromium, the first screen of the report.

make pictures
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
PICTURES = {"01-cancellation-rates": "cancellation-rates.png", "02-pickup-windows": "pickup-windows.png"}


def first_picture(notebook: Path) -> bytes:
    """The first PNG that the notebook shows when it is run from top to bottom."""
    run = nbformat.read(notebook, as_version=4)
    NotebookClient(run, timeout=300, resources={"metadata": {"path": str(HERE)}}).execute()
    for cell in run.cells:
        for output in cell.get("outputs", []):
            if picture := output.get("data", {}).get("image/png"):
                return base64.b64decode(picture)
    raise LookupError(f"{notebook.name} shows no picture")


def first_screen(page: Path, picture: Path, chromium: str) -> None:
    """The page as it comes up in a window of 1100 by 1500."""
    with tempfile.TemporaryDirectory() as profile:
        quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
        asked = ["--window-size=1100,1500", f"--user-data-dir={profile}", f"--screenshot={picture}", page.as_uri()]
        command = [chromium, *quiet, *asked]
        subprocess.run(command, check=True, capture_output=True, timeout=120)  # noqa: S603  # words of our own


if __name__ == "__main__":
    (HERE / "pictures").mkdir(exist_ok=True)
    for name, file in PICTURES.items():
        (HERE / "pictures" / file).write_bytes(first_picture(HERE / f"{name}.ipynb"))
    if chromium := shutil.which("chromium") or shutil.which("google-chrome"):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "index.html"
            report = [sys.executable, "-m", "pipelines", "report", "--to", str(page)]
            subprocess.run(report, check=True, cwd=HERE.parent)  # noqa: S603  # our own command
            first_screen(page, HERE / "pictures" / "report.png", chromium)
