"""Tests that the kernels of a report get no keys, and none of the files and settings of the user's own notebooks."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import nbformat
import pytest

from sources.sendcloud.sandbox import Sandbox, World
from tests.support.installation import Installation

LOOK = """
import json, os
import matplotlib
import matplotlib.pyplot as plt
from pipelines.warehouse import read
plt.figure()
print("FOUND", json.dumps({
    "variables": dict(os.environ), "backend": matplotlib.get_backend(), "size": matplotlib.rcParams["font.size"],
    "started_up": "started_up" in globals(), "rows": len(read("pickups")),
}), "END")
"""
SECRETS = {
    "SOURCES__SENDCLOUD__CREDENTIALS__SECRET_KEY": "the-secret-key",
    "SOURCES__SENDCLOUD__ACCOUNTS__NORTH__CREDENTIALS__PUBLIC_KEY": "the-public-key",
    "RUNTIME__SLACK_INCOMING_HOOK": "https://example.com/the-hook",
    "ALERTS__PING_URL": "https://example.com/the-ping",
}


@pytest.mark.slow
def test_a_kernel_gets_no_key_and_nothing_of_the_users_own_jupyter(
    installation: Installation, world: World, api: Sandbox, tmp_path: Path
) -> None:
    """The variables are those of an editor's console. With them, the report failed (2026-11)."""
    world.book()
    installation.run(api)
    home = tmp_path / "home"
    start_up = home / ".ipython" / "profile_default" / "startup" / "first.py"
    kernel = home / ".local" / "share" / "jupyter" / "kernels" / "python3" / "kernel.json"
    matplotlibrc = home / ".config" / "matplotlib" / "matplotlibrc"
    for path in (start_up, kernel, matplotlibrc):
        path.parent.mkdir(parents=True)
    start_up.write_text("started_up = True\n")
    kernel.write_text(json.dumps({"argv": ["/bin/false"], "display_name": "theirs", "language": "python"}))
    matplotlibrc.write_text("font.size: 77\n")
    (home / "start.py").write_text("started_up = True\n")
    own, cells = installation.folder / "notebooks", [nbformat.v4.new_markdown_cell("# Mine?")]
    own.mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=[*cells, nbformat.v4.new_code_cell(LOOK)]), own / "mine.ipynb")

    done = installation.process(
        "report",
        HOME=str(home),
        MPLBACKEND="module://backend_interagg",
        PYTHONSTARTUP=str(home / "start.py"),
        JUPYTER_PATH=str(kernel.parents[2]),
        **{name: value for name, value in SECRETS.items() if "ACCOUNTS" not in name},
    )

    assert done.returncode == 0, done.stderr
    text = html.unescape(Path(done.stdout.strip()).read_text())
    (shown,) = re.findall(r"FOUND (.*?) END", text, re.DOTALL)
    found = json.loads(shown)
    assert not {*SECRETS.values()} & {*found["variables"].values()}
    assert found["backend"].removeprefix("module://") in ("inline", "matplotlib_inline.backend_inline")
    assert (found["size"], found["started_up"], found["rows"]) == (10.0, False, 1)
