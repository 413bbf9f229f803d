"""Imports run one way: notebooks → pipelines → sources → dlt, and the sandbox is nobody's but its users'."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cases import quick

ROOT = Path(__file__).parents[2]
ROOMS = {"sources", "pipelines", "notebooks", "tests"}
MAY_IMPORT = {"sources": {"sources"}, "pipelines": {"pipelines", "sources"}, "notebooks": {"pipelines"}}


def imports_of(code: str, package: tuple[str, ...]) -> Iterator[str]:
    """Every module that the code names, relative ones made absolute."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            yield ".".join([*base, *([node.module] if node.module else [])])


def code_in(room: str) -> Iterator[tuple[Path, str]]:
    for path in sorted((ROOT / room).rglob("*.py")):
        yield path, path.read_text()
    for path in sorted((ROOT / room).glob("*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        yield path, "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_doors_open_one_way(room: str) -> None:
    for path, code in code_in(room):
        package = path.relative_to(ROOT).parent.parts
        ours = {name.split(".")[0] for name in imports_of(code, package)} & ROOMS
        assert ours <= MAY_IMPORT[room], f"{path} may not import {ours - MAY_IMPORT[room]}"


def test_notebooks_read_through_one_door_only() -> None:
    for path, code in code_in("notebooks"):
        ours = {name for name in imports_of(code, ("notebooks",)) if name.split(".")[0] in ROOMS}
        assert ours <= {"pipelines.warehouse"}, path


def test_the_sandbox_and_the_source_share_no_code() -> None:
    source = ROOT / "sources" / "sendcloud"
    for path, code in code_in("sources"):
        package = path.relative_to(ROOT).parent.parts
        names = set(imports_of(code, package))
        if (source / "sandbox") in path.parents:
            ours = {name for name in names if name.startswith("sources")}
            assert all(name.startswith("sources.sendcloud.sandbox") for name in ours), path
        else:
            assert not any("sandbox" in name for name in names), path


@pytest.mark.parametrize("module", ["duckdb", "pipelines"])
def test_the_source_knows_no_destination(module: str) -> None:
    for path, code in code_in("sources"):
        assert module not in {name.split(".")[0] for name in imports_of(code, path.relative_to(ROOT).parent.parts)}


def test_which_version_of_the_api_it_is_is_nobody_elses_business() -> None:
    """v2.py and v3.py say what differs; the source's front door chooses, and v2 is what goes without saying."""
    versions = {"sources.sendcloud.v2", "sources.sendcloud.v3"}
    at_home = {"v2.py", "v3.py", "forms.py", "faults.py", "api.py", "server.py"}
    for room in ("sources", "pipelines"):
        for path, code in code_in(room):
            if path.name not in at_home:
                named = {node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)}
                assert "v3" not in named, path
                knows = versions & set(imports_of(code, path.relative_to(ROOT).parent.parts))
                assert not knows or path.name in ("__init__.py", "client.py"), path


def test_only_two_files_know_duckdb() -> None:
    """Everything else speaks to a place to write (store.py), whatever that is; names of settings and files aside."""
    knowing = {
        path.name
        for path, code in code_in("pipelines")
        if "duckdb" in imports_of(code, ("pipelines",)) or "duckdb_" in code or "destinations.duckdb" in code
    }
    assert knowing == {"warehouse.py", "publish.py"}


@pytest.mark.parametrize("words", quick([["--help"], ["run", "--help"], ["run", "--fast"]]))
def test_help_and_usage_errors_import_nothing_heavy(words: list[str]) -> None:
    """`import dlt` costs 0.4 s, pandas as much again: nobody waits for them to read a help text."""
    script = f"""
import sys
sys.argv = ["pickups", *{words}]
from pipelines.cli import main
try:
    main()
except SystemExit:
    pass
print("HEAVY", sorted({{"dlt", "pandas", "duckdb", "pyarrow", "numpy", "requests"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert done.stdout.endswith("HEAVY []\n"), done.stdout[-200:] + done.stderr
