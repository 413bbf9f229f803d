"""Tests that `dlt init sendcloud duckdb --location …` copies a working source into a user's own project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from dlt.common.pipeline import get_dlt_repos_dir
from packaging.requirements import Requirement

from sources.sendcloud.sandbox import Sandbox, World
from tests.project.test_wheel import tree  # noqa: F401  # a fixture
from tests.support.installation import REPOSITORY, as_row, as_rows, environment, rows_of

pytestmark = pytest.mark.slow

COLUMNS = ", ".join(as_row({}))
ON_PATH = os.pathsep.join([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])


@pytest.fixture(scope="module")
def repository(tree: Path) -> Path:  # noqa: F811
    """Returns a git repository of the project, including uncommitted changes."""
    git = ["git", "-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "init.defaultBranch=main"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *words], cwd=tree, check=True)
    return tree


@pytest.fixture(scope="module")
def address(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serves the repository at an address, as a hub does."""
    served, owner = tmp_path_factory.mktemp("hub"), f"tests-{os.getpid()}"
    bare = served / owner / "sendcloud-pickups.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(repository), str(bare)], check=True)
    subprocess.run(["git", "update-server-info"], cwd=bare, check=True)

    class Hub(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(served))

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{owner}/sendcloud-pickups.git"
        server.shutdown()
    # for root, this folder is in /var/dlt regardless of HOME
    shutil.rmtree(Path(get_dlt_repos_dir()) / owner, ignore_errors=True)


def init(folder: Path, location: str) -> str:
    dlt = [str(Path(sys.executable).with_name("dlt")), "--non-interactive"]
    command = [*dlt, "init", "sendcloud", "duckdb", "--location", location]
    variables = {**os.environ, "DLT_DATA_DIR": str(folder / "dlt"), "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python(folder: Path, *words: str, api: Sandbox | None = None) -> subprocess.CompletedProcess[str]:
    """Runs Python without the checkout.

    -S ignores the .pth file that leads to the checkout, so that `pipelines` and `sources` cannot be imported.
    """
    variables = {**os.environ, **(environment(api) if api else {})}
    variables |= {"PYTHONPATH": ON_PATH, "DLT_DATA_DIR": str(folder / "dlt")}
    return subprocess.run(
        [sys.executable, "-S", *words], cwd=folder, env=variables, capture_output=True, text=True, timeout=120
    )


def test_the_copied_source_loads_pickups_and_later_changes(
    tmp_path: Path, world: World, api: Sandbox, repository: Path
) -> None:
    said = init(tmp_path, str(repository))
    assert "Verified source sendcloud was added to your project!" in said
    assert "ModuleNotFoundError: No module named 'pipelines'" in python(tmp_path, "-c", "import pipelines").stderr
    assert "ModuleNotFoundError: No module named 'sources'" in python(tmp_path, "-c", "import sources").stderr

    booked = world.book()
    first = python(tmp_path, "sendcloud_pipeline.py", api=api)
    world.advance(hours=1)
    world.cancel(booked)
    world.book()
    second = python(tmp_path, "sendcloud_pipeline.py", api=api)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert (first.stderr, second.stderr) == ("", "")
    reads = "import dlt; print(len(dlt.attach('pickups').dataset(schema='sendcloud').pickups.df()))"
    read = python(tmp_path, "-c", reads)
    assert (read.returncode, read.stdout) == (0, "2\n"), read.stderr
    query = f"select {COLUMNS} from sendcloud.pickups order by id"
    assert rows_of(tmp_path / "pickups.duckdb", query) == as_rows(world.records())


def test_dlt_init_copies_equal_files_from_a_folder_and_from_an_address(
    tmp_path: Path, repository: Path, address: str
) -> None:
    for name, where in (("folder", str(repository)), ("hub", address)):
        (tmp_path / name).mkdir()
        init(tmp_path / name, where)

    copied, from_hub = ((tmp_path / name / "sendcloud").rglob("*.py") for name in ("folder", "hub"))
    texts = {str(path.relative_to(tmp_path / "hub")): path.read_text() for path in from_hub}
    assert texts == {str(path.relative_to(tmp_path / "folder")): path.read_text() for path in copied}
    assert "sendcloud/sandbox/server.py" in texts


def test_dlt_init_asks_for_both_keys_and_copies_the_sandbox(tmp_path: Path, repository: Path) -> None:
    init(tmp_path, str(repository))

    secrets = tomllib.loads((tmp_path / ".dlt" / "secrets.toml").read_text())
    assert list(secrets["sources"]["sendcloud"]["credentials"]) == ["public_key", "secret_key"]
    trying = "from sendcloud.sandbox import World, serve\nwith serve(World()) as api: print(api.base_url)"
    assert python(tmp_path, "-c", trying).stdout.startswith("http://127.0.0.1:")


def test_the_sources_requirements_are_requirements_of_the_project() -> None:
    """The version ranges are defined in pyproject.toml."""
    ours = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    ranges = {Requirement(line).name: Requirement(line).specifier for line in ours}

    lines = (REPOSITORY / "sources" / "sendcloud" / "requirements.txt").read_text().splitlines()
    assert {(r := Requirement(line)).name: r.specifier for line in lines}.items() <= ranges.items()
    assert {Requirement(line).name for line in lines} == {"dlt", "pyarrow", "msgspec", "requests", "sqlglot", "urllib3"}
