"""Executes notebooks in this process.

A separate kernel costs four seconds of CPU time per notebook, and there are four notebooks.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def executed(name: str, published: Path, **settings: object) -> Any:
    """Executes a notebook against a published file, and returns it with the outputs that a kernel would store.

    `settings` are set after the parameters cell, as papermill does it.
    """
    from IPython.core.interactiveshell import InteractiveShell

    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    _pictures()  # an earlier test in this process may have left figures open
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("PUBLISH__PATH", str(published))
            patched.chdir(NOTEBOOKS)
            for cell in notebook.cells:
                if cell.cell_type == "code":
                    cell.outputs = _outputs(shell, cell.source)
                if "parameters" in cell.metadata.get("tags", []):
                    shell.user_ns.update(settings)
    finally:
        InteractiveShell.clear_instance()
    return notebook


def _outputs(shell: Any, source: str) -> list[Any]:
    """Returns a cell's outputs: streams, last value, displayed objects and figures.

    Raises any exception that the cell raises.
    """
    from IPython.utils.capture import capture_output

    values: list[dict[str, Any]] = []
    shell.displayhook.write_output_prompt = shell.displayhook.finish_displayhook = lambda: None
    shell.displayhook.write_format_data = lambda data, _metadata=None: values.append(data)
    with capture_output() as shown:
        shell.run_cell(source, store_history=False).raise_error()
    streams = {"stdout": shown.stdout, "stderr": shown.stderr}
    displayed = [(each.data, each.metadata or {}) for each in shown.outputs]
    displayed += [(picture, {}) for picture in _pictures()]
    return [
        *(nbformat.v4.new_output("stream", name=name, text=text) for name, text in streams.items() if text),
        *(nbformat.v4.new_output("execute_result", data=data) for data in values),
        *(nbformat.v4.new_output("display_data", data=data, metadata=about) for data, about in displayed),
    ]


def _pictures() -> list[dict[str, str]]:
    """Returns, as PNGs, the figures that the cell left open, and closes them."""
    import matplotlib.pyplot as plt

    found = []
    for number in plt.get_fignums():
        plt.figure(number).savefig(drawn := io.BytesIO(), format="png")
        found.append({"image/png": base64.b64encode(drawn.getvalue()).decode()})
    plt.close("all")
    return found
