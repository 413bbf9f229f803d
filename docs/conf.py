"""Configures Sphinx. `make docs` builds the documentation and treats every warning as an error."""

from __future__ import annotations

import tomllib
from pathlib import Path

PYPROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))

project = "sendcloud-pickups"
author = "The sendcloud-pickups contributors"
release = PYPROJECT["project"]["version"]
version = release

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
myst_heading_anchors = 3  # links such as settings.md#retention, which GitHub resolves too
# a shell session contains the output of its commands, which no lexer reads without errors
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = f"sendcloud-pickups {release}"
html_copy_source = False
html_show_sphinx = False
