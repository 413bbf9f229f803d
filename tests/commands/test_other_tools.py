"""Tests that other tools read the results of a second run, with the recipes of docs/how-to/other-tools.md."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from pipelines.analytics.views import view_files
from sources.sendcloud.sandbox import World
from tests.support.accounts import serving
from tests.support.installation import REPOSITORY, Installation
from tests.support.postgres_database import address as address
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


SUPERSET = REPOSITORY / ".venv" / "superset" / "bin"
with_superset = pytest.mark.skipif(
    not (SUPERSET / "superset").exists(), reason="Superset is not installed: make SLOW=yes engines does that"
)


class Superset:
    """A Superset server on loopback, and an administrator's session with its API."""

    def __init__(self, folder: Path) -> None:
        """Starts the server with the page's commands."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._session, self._root, self._log = requests.Session(), f"http://127.0.0.1:{port}", folder / "log"
        script = "\n".join(re.findall(r"^\$ (?!pip)(.*)$", recipe("Superset", "console"), re.MULTILINE))
        named = "--username admin --firstname Ada --lastname L --email ada@shop.example --password secret"
        script = script.replace("create-admin", f"create-admin {named}").replace("run -p 8088", f"run -p {port}")
        variables = {"PATH": f"{SUPERSET}:/usr/bin:/bin", "HOME": str(folder)}
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(
                ["bash", "-ec", script], cwd=folder, env=variables, stdout=log, stderr=log, start_new_session=True
            )

    def log_in(self) -> None:
        for _ in range(1500):
            with suppress(requests.ConnectionError):
                user = {"username": "admin", "password": "secret", "provider": "db"}
                token = self.call("POST", "api/v1/security/login", **user)["access_token"]
                break
            assert self._server.poll() is None, self._log.read_text()
            time.sleep(0.2)
        self._session.headers["Authorization"] = f"Bearer {token}"
        self._session.headers["X-CSRFToken"] = self.call("GET", "api/v1/security/csrf_token/")["result"]

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._server.pid, signal.SIGTERM)
        self._server.wait(30)

    def call(self, method: str, path: str, **body: Any) -> Any:
        answer = self._session.request(method, f"{self._root}/{path}", json=body or None, timeout=120)
        assert answer.ok, answer.text
        return answer.json()

    def dataset(self, name: str, address: str, schema: str, **connect: Any) -> int:
        """Adds a database and a dataset over a view, as the page says, and removes the datasets of earlier tests."""
        for old in self.call("GET", "api/v1/dataset/")["result"]:
            self.call("DELETE", f"api/v1/dataset/{old['id']}")
        extra = json.dumps({"engine_params": {"connect_args": connect}})
        made = self.call("POST", "api/v1/database/", database_name=name, sqlalchemy_uri=address, extra=extra)
        assert schema in self.call("GET", f"api/v1/database/{made['id']}/schemas/")["result"]
        view = {"schema": schema, "table_name": "carrier_cancellations"}
        return int(self.call("POST", "api/v1/dataset/", database=made["id"], **view)["id"])

    def rows(self, dataset: int) -> list[dict[str, Any]]:
        """Returns what a chart over the dataset shows when it is refreshed."""
        filters = [{"col": "is_every_account", "op": "IS TRUE"}, {"col": "country", "op": "==", "val": "all"}]
        query = {"columns": ["carrier", "pickups"], "metrics": [], "filters": filters}
        source = {"id": dataset, "type": "table"}
        (result,) = self.call("POST", "api/v1/chart/data", datasource=source, queries=[query])["result"]
        return list(result["data"])


@pytest.fixture(scope="module")
def superset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Superset]:
    """Yields a server with its own metadata, which takes a minute to start."""
    superset = Superset(tmp_path_factory.mktemp("superset"))
    try:
        superset.log_in()
        yield superset
    finally:
        superset.stop()


@pytest.mark.slow
@with_superset
def test_superset_shows_the_second_run_from_the_published_file(
    superset: Superset, shop: tuple[Installation, Any]
) -> None:
    project, second_run = shop
    dataset = superset.dataset("file", f"duckdb:///{project.published}", "pickups.analytics", read_only=True)
    assert [row["pickups"] for row in superset.rows(dataset)] == [2]

    second_run()

    assert [row["pickups"] for row in superset.rows(dataset)] == [3]


@pytest.mark.slow
@with_superset
def test_superset_shows_the_second_run_from_postgresql(
    superset: Superset, address: str, shop: tuple[Installation, Any]
) -> None:
    _, second_run = shop
    dataset = superset.dataset("server", address, "analytics")
    assert [row["pickups"] for row in superset.rows(dataset)] == [2]

    second_run()

    assert [row["pickups"] for row in superset.rows(dataset)] == [3]
