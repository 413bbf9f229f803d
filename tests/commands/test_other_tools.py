"""Tests that other tools read the results of a second run, with the recipes of docs/how-to/other-tools.md."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.analytics.views import view_files
from sources.sendcloud.sandbox import World
from tests.support.accounts import serving
from tests.support.installation import REPOSITORY, Installation
from tests.support.worlds import NOW

VIEWS = [path.stem for path in view_files()]
TOOLS = REPOSITORY / ".venv" / "tools" / "bin"
PAGE = (REPOSITORY / "docs" / "how-to" / "other-tools.md").read_text()
pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(not (TOOLS / "dbt").exists(), reason="the tools are not installed: make test-engines does that"),
]


@pytest.fixture
def shop(installation: Installation) -> Any:
    """Returns the project after a run of two pickups, and a function that books a third one and runs again."""
    world = World(clock=NOW)
    for hours in (40, 30):
        world.book(created_at=NOW - timedelta(hours=hours), tracking_number="T")
    with serving({"shop": world}) as apis:
        (api,) = apis.values()
        installation.run(api)

        def second_run() -> None:
            world.book(created_at=NOW - timedelta(hours=1), tracking_number="T")
            installation.run(api)

        yield installation, second_run


def recipe(heading: str, language: str, number: int = 0) -> str:
    """Returns a block of code from a section of the page."""
    section = re.split(r"^## ", PAGE.split(f"\n## {heading}\n")[1], flags=re.MULTILINE)[0]
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[number]


def tool(shop: Installation, *words: str) -> str:
    variables = {"PATH": f"{TOOLS}:/usr/bin:/bin", "HOME": str(shop.folder), "PUBLISH__PATH": str(shop.published)}
    quiet = {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "MARIMO_SKIP_UPDATE_CHECK": "1"}
    done = subprocess.run(
        [TOOLS / words[0], *words[1:]],
        cwd=shop.folder,
        env=variables | quiet,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def counts(shop: Installation, file: Path, schema: str) -> dict[str, int]:
    """Returns the number of rows of each view in a file."""
    query = " union all ".join(f"select '{view}' as view, count(*) as n from {schema}.{view}" for view in VIEWS)
    rows = json.loads(tool(shop, "duckdb", "-readonly", "-json", str(file), "-c", query))
    return {row["view"]: row["n"] for row in rows}


COUNT = "select count(*) as n from analytics.pickups"


def test_the_duckdb_cli_reads_the_published_file(shop: tuple[Installation, Any]) -> None:
    project, second_run = shop
    words = ("duckdb", "-readonly", "-json", str(project.published), "-c", COUNT)
    assert json.loads(tool(project, *words)) == [{"n": 2}]

    second_run()

    assert json.loads(tool(project, *words)) == [{"n": 3}]


def test_streamlit_shows_the_second_run(shop: tuple[Installation, Any]) -> None:
    project, second_run = shop
    (project.folder / "app.py").write_text(recipe("Streamlit", "python"))
    script = "from streamlit.testing.v1 import AppTest; app = AppTest.from_file('app.py', default_timeout=200).run(); "
    script += "assert not app.exception, app.exception; print(app.markdown[0].value, app.dataframe[0].value.to_dict())"
    assert "'pickups': {0: 2}" in tool(project, "python", "-c", script)

    second_run()

    shown = tool(project, "python", "-c", script)
    assert "3 pickups of 1 carrier" in shown
    assert "'pickups': {0: 3}" in shown


def test_marimo_shows_the_second_run(shop: tuple[Installation, Any]) -> None:
    project, second_run = shop
    (project.folder / "desk.py").write_text(recipe("marimo", "python"))
    second_run()

    tool(project, "marimo", "export", "html", "desk.py", "-o", "desk.html", "--no-include-code")

    assert "3 pickups" in (project.folder / "desk.html").read_text()


def test_dbt_builds_every_view_from_the_second_run(shop: tuple[Installation, Any]) -> None:
    project, second_run = shop
    done = project.command("models", "--sql", "duckdb", "--to", str(project.folder / "models"))
    assert done.returncode == 0, done.stderr
    (project.folder / "dbt_project.yml").write_text(recipe("dbt", "yaml"))
    profile = recipe("dbt", "yaml", 1).replace("data/pickups.duckdb", str(project.published))
    (project.folder / "profiles.yml").write_text(profile)
    second_run()

    tool(project, "dbt", "build", "--profiles-dir", ".")

    built = counts(project, project.folder / "shop.duckdb", "main")
    assert built == counts(project, project.published, "analytics")
    assert (built["pickups"], len(built)) == (3, len(VIEWS))


def test_papermill_executes_a_notebook_with_a_filter(shop: tuple[Installation, Any]) -> None:
    project, second_run = shop
    second_run()
    notebook = str(REPOSITORY / "notebooks" / "02-pickup-windows.ipynb")

    tool(project, "papermill", notebook, "out.ipynb", "-k", "python3", "-p", "save_to", "windows.csv")

    assert "**3 windows of 1 carrier.**" in (project.folder / "out.ipynb").read_text()
    assert (project.folder / "windows.csv").exists()
