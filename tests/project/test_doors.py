"""Tests that imports run one way: notebooks → pipelines → sources → dlt.

The source does not import the sandbox, which is only for users and tests.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support.cases import quick

ROOT = Path(__file__).parents[2]
FOLDERS = {"sources", "pipelines", "notebooks", "tests"}
MAY_IMPORT = {"sources": {"sources"}, "pipelines": {"pipelines", "sources"}, "notebooks": {"pipelines"}}


def imports_of(code: str, package: tuple[str, ...]) -> Iterator[str]:
    """Yields every module that the code imports, with relative imports made absolute."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            yield ".".join([*base, *([node.module] if node.module else [])])


def code_in(folder: str) -> Iterator[tuple[Path, str]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield path, path.read_text()
    for path in sorted((ROOT / folder).glob("*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        yield path, "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_between_top_level_folders_run_one_way(folder: str) -> None:
    for path, code in code_in(folder):
        package = path.relative_to(ROOT).parent.parts
        ours = {name.split(".")[0] for name in imports_of(code, package)} & FOLDERS
        assert ours <= MAY_IMPORT[folder], f"{path} must not import {ours - MAY_IMPORT[folder]}"


def test_notebooks_import_only_the_reading_functions_and_the_charts() -> None:
    for path, code in code_in("notebooks"):
        ours = {name for name in imports_of(code, ("notebooks",)) if name.split(".")[0] in FOLDERS}
        assert ours <= {"pipelines", "pipelines.charts", "pipelines.warehouse"}, path


def test_charts_take_frames_and_read_nothing() -> None:
    """Any tool that shows matplotlib figures can use them, with frames from wherever it likes."""
    for module, path in product().items():
        if module.startswith("pipelines.charts"):
            ours = imported_by(module, path, product())
            assert all(
                name.startswith(("pipelines.charts", "pipelines.wording", "pipelines.output")) for name in ours
            ), module
            assert "pyplot" not in path.read_text().replace("state of pyplot", ""), module


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
def test_the_source_imports_neither_duckdb_nor_pipelines(module: str) -> None:
    for path, code in code_in("sources"):
        assert module not in {name.split(".")[0] for name in imports_of(code, path.relative_to(ROOT).parent.parts)}


def test_only_the_listed_modules_depend_on_the_api_version() -> None:
    """v2.py and v3.py hold the differences. The source's entry point selects one, and v2 is the default."""
    versions = {"sources.sendcloud.api.v2", "sources.sendcloud.api.v3"}
    at_home = {"v2.py", "v3.py", "forms.py", "faults.py", "api.py", "server.py", "demo.py"}  # the demo begins with v3
    for folder in ("sources", "pipelines"):
        for path, code in code_in(folder):
            if path.name not in at_home:
                named = {node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)}
                assert "v3" not in named, path
                knows = versions & set(imports_of(code, path.relative_to(ROOT).parent.parts))
                assert not knows or path.name in ("settings.py", "versions.py", "client.py"), path


def test_only_the_duckdb_package_imports_duckdb() -> None:
    """All other code uses any Backend (destinations/base.py). `read` is the public way to a backend.

    A quick run has no time to import a backend, so it writes its receipts itself.
    """
    knowing = {
        path.relative_to(ROOT / "pipelines").as_posix()
        for path, code in code_in("pipelines")
        if "duckdb" in imports_of(code, ("pipelines",)) or "duckdb_" in code or "dlt.destinations.duckdb" in code
    }
    assert knowing == {"quick/receipts.py"} | {
        f"destinations/duckdb/{name}.py"
        for name in ("backend", "session", "publish", "ownership", "contents", "recovery")
    }


# A package imports only from its own line and the lines below. Modules outside any package are listed too.
LAYERS = (
    ("cli", "__main__"),
    ("operations", "scheduling"),
    ("loading", "quick", "export", "report", "charts"),
    ("bookkeeping", "warehouse"),
    ("destinations",),
    ("config", "receipt", "finding"),
    ("analytics", "errors", "wording"),
    (
        "dialects",
        "json_logs",
        "output",
        "atomic_file",
        "file_access",
        "lean_imports",
        "dlt_workarounds",
        "typer_workarounds",
    ),
)
MAX_MODULES, MAX_LINES = 12, 250


def product() -> dict[str, Path]:
    """Returns every module of the product by its dotted name, without templates that are copied elsewhere."""
    files = [path for folder in ("pipelines", "sources") for path in (ROOT / folder).rglob("*.py")]
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files}
    return {name.removesuffix(".__init__"): path for path, name in names.items() if "templates" not in path.parts}


def imported_by(module: str, path: Path, modules: dict[str, Path]) -> set[str]:
    """Returns the product's modules that a module imports, also in functions, but not those for type checkers."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    package = tuple(module.split(".") if path.name == "__init__.py" else module.split(".")[:-1])
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{name}.{alias.name}" if f"{name}.{alias.name}" in modules else name for alias in node.names}
    return {name for name in found if name in modules} - {module}


def test_there_are_no_circular_imports() -> None:
    modules = product()
    TopologicalSorter({name: imported_by(name, path, modules) for name, path in modules.items()}).prepare()


def test_imports_run_down_the_layers() -> None:
    floor = {name: number for number, names in enumerate(LAYERS) for name in names}
    modules = product()
    for module, path in modules.items():
        package = module.split(".")[1:2]
        if module.split(".")[0] != "pipelines" or not package:  # pipelines/__init__.py is the public entry point
            continue
        assert package[0] in floor, f"{module}: add its package to LAYERS"
        for imported in imported_by(module, path, modules):
            other = imported.split(".")[1:2]
            if imported.split(".")[0] == "pipelines" and other and other != package:
                assert floor[package[0]] <= floor[other[0]], f"{module} imports {imported}, which is above it"


def test_packages_and_files_stay_small() -> None:
    for name, path in product().items():
        assert len(path.read_text().splitlines()) <= MAX_LINES, f"{name} is too long: split it by subject"
    for folder in {path.parent for path in product().values()}:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= MAX_MODULES, f"{folder.name} has too many modules: split it by subject"


@pytest.mark.parametrize("words", quick([["--help"], ["run", "--help"], ["run", "--fast"]]))
def test_help_and_usage_errors_import_nothing_heavy(words: list[str]) -> None:
    """`import dlt` takes 0.4 s, and pandas another 0.4 s. A user who asks for help must not wait for them."""
    script = f"""
import sys
sys.argv = ["pickups", *{words}]
from pipelines.cli.main import main
try:
    main()
except SystemExit:
    pass
print("HEAVY", sorted({{"dlt", "pandas", "duckdb", "pyarrow", "numpy", "requests"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert done.stdout.endswith("HEAVY []\n"), done.stdout[-200:] + done.stderr
