"""Writes the filter of a report into the settings cell of a notebook."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from pipelines.destinations.filter import ALL_PICKUPS, PickupFilter
from sources.sendcloud.errors import SettingsError

CELL_ID = "only"


def fill_settings_cell(notebook: Any, path: Path, only: PickupFilter) -> None:
    """Replaces the settings cell, so that the notebook selects the pickups in `only`.

    A notebook without this cell stays as it is.

    Raises:
        SettingsError: the notebook does not use a setting that the filter needs, because it is a copy from an older
            version. Its numbers would cover pickups that the page's header leaves out.
    """
    for cell in notebook.cells:
        if cell.get("id") == CELL_ID:
            _check_all_used(notebook, path, only)
            cell.source = "\n".join(f"{name} = {value!r}" for name, value in only.arguments().items())


def _check_all_used(notebook: Any, path: Path, only: PickupFilter) -> None:
    defaults = ALL_PICKUPS.arguments()
    needed = [name for name, value in only.arguments().items() if value != defaults[name]]
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code" and cell.get("id") != CELL_ID]
    used = set().union(*map(_names_used, code))
    if unused := [name for name in needed if name not in used]:
        raise SettingsError(
            f"{path} does not use the setting `{unused[0]}`, so it is from an older version of this program. Move it "
            f"away and run: pickups init {path.parent.parent}"
        )


def _names_used(code: str) -> set[str]:
    try:
        return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    except SyntaxError:  # a command of IPython, such as %matplotlib
        return set()
