"""Tests that the source passes the checks of dlt's verified sources, as a folder that could be offered to them.

Their checks are repeated here without a network: packages, requirements, relative imports, docstrings, types,
`dlt init` with another destination, and a test in their form. Their lint also covers Python 3.10, which reached its end
of life in October 2026 and which the source does not support.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.verified_source import make_offer

pytestmark = pytest.mark.slow

ON_PATH = os.pathsep.join([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])


@pytest.fixture(scope="module")
def offer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_offer(tmp_path_factory.mktemp("offer"))


def python(folder: Path, *words: str) -> str:
    """Runs Python in the folder without the checkout, and returns the output."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), ON_PATH]), "HOME": str(folder)}
    variables |= {"DLT_DATA_DIR": str(folder / ".data"), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    done = subprocess.run(
        [sys.executable, "-S", *words], cwd=folder, env=variables, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def modules(offer: Path) -> list[Path]:
    return sorted((offer / "sources" / "sendcloud").rglob("*.py"))


def test_every_folder_with_modules_is_a_package(offer: Path) -> None:
    assert {path.parent for path in modules(offer) if not (path.parent / "__init__.py").exists()} == set()


def test_the_requirements_name_dlt_with_a_version_and_without_extras(offer: Path) -> None:
    lines = (offer / "sources" / "sendcloud" / "requirements.txt").read_text().splitlines()
    (dlt,) = [Requirement(line) for line in lines if Requirement(line).name == "dlt"]

    assert (bool(dlt.specifier), dlt.extras) == (True, set())


def test_the_source_imports_its_own_modules_by_relative_names_only(offer: Path) -> None:
    """The folder is copied under another name, so `sources.sendcloud` does not exist there."""
    for path in modules(offer):
        imported = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        assert [node.module for node in imported if not node.level and (node.module or "").startswith("sources")] == []


def test_every_module_has_a_docstring(offer: Path) -> None:
    for path in [offer / "sources" / "sendcloud_pipeline.py", *modules(offer)]:
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree) or not tree.body, path


def test_the_readme_says_how_to_initialize_add_credentials_and_run(offer: Path) -> None:
    text = (offer / "sources" / "sendcloud" / "README.md").read_text()

    assert [line for line in text.splitlines() if line.startswith("## ")][:3] == [
        "## Initialize the pipeline",
        "## Add credentials",
        "## Run the pipeline",
    ]


def test_the_types_pass_their_settings(offer: Path) -> None:
    """`ON_PATH` is for mypy itself. mypy reads the types of dlt from this environment."""
    words = ["-m", "mypy", "--config-file", "mypy.ini", "--python-executable", sys.executable, "sources"]
    assert "Success" in python(offer, *words)


def test_dlt_init_puts_another_destination_into_the_example_script(offer: Path, tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "offer"]):
        subprocess.run([*git, *words], cwd=offer, check=True)
    dlt = [str(Path(sys.executable).with_name("dlt")), "--non-interactive", "init", "sendcloud", "bigquery"]
    variables = {**os.environ, "HOME": str(tmp_path), "DLT_DATA_DIR": str(tmp_path / ".data")}
    subprocess.run([*dlt, "--location", str(offer)], cwd=tmp_path, env=variables, check=True, timeout=120)

    script = ast.parse((tmp_path / "sendcloud_pipeline.py").read_text())
    calls = [node for node in ast.walk(script) if isinstance(node, ast.Call)]
    named = [
        keyword.value
        for call in calls
        for keyword in call.keywords
        if ast.unparse(call.func) == "dlt.pipeline"
        if keyword.arg == "destination"
    ]
    assert [ast.literal_eval(each) for each in named] == ["bigquery"] * 3
    assert "[destination.bigquery.credentials]" in (tmp_path / ".dlt" / "secrets.toml").read_text()
    assert "dlt" in (tmp_path / "requirements.txt").read_text()


def test_the_test_in_their_form_passes(offer: Path) -> None:
    assert "1 passed" in python(offer, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/sendcloud")
