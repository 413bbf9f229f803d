"""Tests the ways to install a tool: `uvx`, `uv tool install` and `pipx`, with the tested versions from the wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.project.test_installed import UV
from tests.project.test_wheel import build
from tests.support.cases import quick
from tests.support.installation import REPOSITORY, Done

pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(not UV, reason="uv, which installs tools, is not installed"),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(REPOSITORY, "wheel", tmp_path_factory.mktemp("dist"))


@pytest.fixture
def tested(wheel: Path, tmp_path: Path) -> Path:
    """Returns the constraints file, extracted from the wheel as the documentation says."""
    zipfile.ZipFile(wheel).extract("pipelines/tested-versions.txt", tmp_path)
    return tmp_path / "pipelines" / "tested-versions.txt"


def command(folder: Path, *words: object, **variables: str) -> Done:
    """Runs a command in an empty folder, with a home and a tool folder of its own."""
    stands_in = folder / "elsewhere"
    stands_in.mkdir(exist_ok=True)
    own = {"UV_TOOL_DIR": "uv-tools", "UV_TOOL_BIN_DIR": "bin", "PIPX_HOME": "pipx", "PIPX_BIN_DIR": "bin"}
    environment = {**os.environ, **{name: str(folder / where) for name, where in own.items()}, **variables}
    done = subprocess.run(
        [str(word) for word in words], env=environment, cwd=stands_in, capture_output=True, text=True, timeout=300
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_uvx_runs_the_demo_with_the_tested_versions(wheel: Path, tested: Path, tmp_path: Path) -> None:
    words = [UV, "tool", "run", "--quiet", "--isolated", "--constraints", tested, "--from", wheel, "pickups"]
    demo = command(tmp_path, *words, "demo", "--pickups", "300")
    check = command(tmp_path, *words, "check")

    assert demo.returncode == 0, demo.stderr
    assert all(
        re.match(r"[\d-]+ [\d:]+Z (reading|loading|publishing): ", line) for line in demo.stderr.splitlines()
    )  # progress
    assert "Cancellations per carrier" in demo.stdout
    pins = dict(line.split(" ;")[0].split("==") for line in tested.read_text().splitlines())
    (versions,) = [line for line in check.stdout.splitlines() if line.split()[1] == "versions"]
    assert f"dlt {pins['dlt']}, duckdb {pins['duckdb']}, sqlglot {pins['sqlglot']}" in versions


@pytest.mark.parametrize("way", quick(["uv tool install", "pipx install"]))
def test_an_installed_tool_creates_a_project_and_says_its_status(
    wheel: Path, tested: Path, tmp_path: Path, way: str
) -> None:
    """pipx is itself a tool that uv runs."""
    if way == "uv tool install":
        words = [UV, "tool", "install", "--quiet", "--constraints", tested, wheel]
    else:
        words = [UV, "tool", "run", "--quiet", "pipx", "install", "--quiet", f"--pip-args=-c {tested}", wheel]
    made = command(tmp_path, *words, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert made.returncode == 0, made.stderr

    pickups = shutil.which("pickups", path=tmp_path / "bin")
    assert command(tmp_path, pickups, "init", "shop").returncode == 0
    status = command(tmp_path, pickups, "--project-dir", "shop", "status")

    assert (status.returncode, status.stderr.count("\n")) == (1, 1)
    assert "account default" in status.stdout
