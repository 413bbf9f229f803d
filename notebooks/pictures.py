"""Creates the pictures for the READMEs from the data of `pickups demo`: a chart of each of the first two notebooks
and, if Chromium is installed, a screenshot of the report.

To run this script, use `make pictures`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pipelines import charts
from pipelines.warehouse import connect

HERE = Path(__file__).parent


def first_screen(page: Path, picture: Path, chromium: str) -> None:
    """Saves a screenshot of the page in a window of 1280 by 800 pixels."""
    with tempfile.TemporaryDirectory() as profile:
        quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
        asked = ["--window-size=1280,800", f"--user-data-dir={profile}", f"--screenshot={picture}", page.as_uri()]
        command = [chromium, *quiet, *asked]
        subprocess.run(command, check=True, capture_output=True, timeout=120)  # noqa: S603  # constant arguments


def draw_charts(folder: Path) -> None:
    """Saves the charts."""
    data = connect()
    drawn = {
        "cancellation-rates.png": charts.cancellation_rates(data.read("carrier_cancellations")),
        "pickup-windows.png": charts.opening_hours(data.read("carrier_window_grid")),
    }
    for name, chart in drawn.items():
        (folder / name).write_bytes(chart.png())


if __name__ == "__main__":
    (pictures := HERE / "pictures").mkdir(exist_ok=True)
    draw_charts(pictures)
    if chromium := shutil.which("chromium") or shutil.which("google-chrome"):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "index.html"
            report = [sys.executable, "-m", "pipelines", "report", "--to", str(page)]
            subprocess.run(report, check=True, cwd=HERE.parent)  # noqa: S603  # constant arguments
            first_screen(page, pictures / "report.png", chromium)
