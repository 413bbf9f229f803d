"""Makes the pictures of the READMEs: runs the notebooks over what `pickups demo` left, keeps each one's first picture.

make pictures
"""

from __future__ import annotations

import base64
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


if __name__ == "__main__":
    (HERE / "pictures").mkdir(exist_ok=True)
    for name, file in PICTURES.items():
        (HERE / "pictures" / file).write_bytes(first_picture(HERE / f"{name}.ipynb"))
