"""Every test runs somewhere: by default, or in a suite that CI runs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.installation import REPOSITORY

FILES = sorted((REPOSITORY / "tests").rglob("test_*.py"))
MAKEFILE = (REPOSITORY / "Makefile").read_text()
EVERY_CHANGE = (REPOSITORY / ".ci" / "run").read_text()
EVERY_NIGHT = (REPOSITORY / ".github" / "workflows" / "nightly.yml").read_text()
NOT_BY_DEFAULT = {"slow", "engines"}
SUITES = {"engines": "test-engines", "duckdb2": "test-duckdb2", "v3": "test-v3", "places": "test-places"}
SUITES |= {"versions": "test-lowest"}
ALSO = {"test-newest": "versions"}  # a second suite of a marker


def marks(node: ast.AST) -> set[str]:
    """The names after `pytest.mark.` in a piece of code."""
    attributes = [part for part in ast.walk(node) if isinstance(part, ast.Attribute)]
    return {part.attr for part in attributes if isinstance(part.value, ast.Attribute) and part.value.attr == "mark"}


def marks_of_tests(code: str) -> list[set[str]]:
    """Of each test of a file: those of its own decorators, and the file's. A slow parameter makes no test slow."""
    tree = ast.parse(code)
    of_file: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            of_file |= marks(node.value)
    tests = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    classes = [node for node in tree.body if isinstance(node, ast.Assign) and ".TestCase" in ast.unparse(node.value)]
    own = [
        {mark for each in test.decorator_list if not _is_parametrized(each) for mark in marks(each)} for test in tests
    ]
    return [of_file | each for each in own] + [of_file for _ in classes]


def _is_parametrized(decorator: ast.expr) -> bool:
    return "parametrize" in marks(decorator)


def test_what_a_file_is_marked_with_is_found() -> None:
    code = """
pytestmark = [pytest.mark.v3, pytest.mark.skipif(True, reason="x")]
@pytest.mark.slow
def test_a(): ...
@pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_b(n): ...
"""
    assert marks_of_tests(code) == [{"v3", "skipif", "slow"}, {"v3", "skipif"}]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_is_in_the_default_run_or_in_a_suite_that_ci_runs(file: Path) -> None:
    tests = marks_of_tests(file.read_text())

    assert tests, f"{file} holds no test"
    is_default = any(not each & NOT_BY_DEFAULT for each in tests)
    in_suites = {SUITES[mark] for each in tests if "slow" not in each for mark in each & SUITES.keys()}
    if not is_default and not any(f"make {suite}" in EVERY_CHANGE for suite in in_suites):
        assert "make test-all" in EVERY_NIGHT, f"{file} runs nowhere"


def test_ci_runs_every_suite_and_each_chooses_by_its_marker() -> None:
    for marker, target in [*SUITES.items(), *((marker, target) for target, marker in ALSO.items())]:
        recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
        assert recipe, target
        assert f'-m "$(QUICK){marker}"' in recipe[1]
        assert f"make {target}\n" in EVERY_CHANGE


def test_every_night_every_test_of_every_suite_runs() -> None:
    (recipe,) = re.findall(r"^test-all:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)

    assert '-m "not engines"' in recipe
    assert set(re.findall(r"test-\w+", recipe)) == {*SUITES.values(), *ALSO}
    assert "SLOW=yes" in recipe


def test_every_marker_is_of_a_suite_or_slow(pytestconfig: pytest.Config) -> None:
    ours = {line.split(":")[0] for line in pytestconfig.getini("markers") if "make test-" in line}

    assert ours == {"slow", *SUITES}
