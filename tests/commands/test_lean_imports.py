"""What a process of ours imports more cheaply than others behaves in the same way there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import dlt
import duckdb
import pytest

from pipelines import lean_imports

TYPES = """
import os, duckdb
began = len(os.listdir("/proc/self/task"))  # a database starts threads
kinds = ["DECIMAL", "DECIMAL(18,3)", "DECIMAL(10,2)", "BIGNUM", "INTEGER", "VARCHAR", "DATE"]
described = duckdb.connect().execute("select 1.5::decimal(18,3), 2.5::decimal(9,1), 'a', 1").description
found = {
    "is_number": {kind: duckdb.sqltypes.DuckDBPyType(kind) == duckdb.NUMBER for kind in kinds},
    "columns": [kind == duckdb.NUMBER for _, kind, *_ in described],
    "constructors": [repr(module.DuckDBPyType) for module in (duckdb.sqltypes, duckdb.value.constant)],
    "values": [str(duckdb.DecimalValue(5, 18, 3))],
}
"""
FUNCTIONS = """
import sys, inspect
import pyarrow as pa, pyarrow.compute as pc
began = "pydoc" in sys.modules  # the parser of docstrings imports it
functions = {name: one for name, one in vars(pc).items() if hasattr(one, "__arrow_compute_function__")}
found = {
    "signatures": {name: str(inspect.signature(one)) for name, one in functions.items()},
    "summaries": {name: one.__doc__.split(chr(10))[0] for name, one in functions.items()},
    "result": pc.sum(pa.array([1, None, 2]), skip_nulls=False).as_py(),
    "sorted": pc.sort_indices(pa.array([3, 1, 2]), sort_keys=[("", "descending")]).to_pylist(),
}
"""
DESTINATIONS = """
import sys, dlt
from dlt.common.destination.reference import Destination
from dlt.destinations import adapters  # a module beside the names
began = [name.split(".")[-2] for name in sys.modules if name.endswith(".factory")]
found = {
    "modules": {name: getattr(dlt.destinations, name).__module__ for name in dlt.destinations.__all__},
    "by name": [str(Destination.from_reference(name)) for name in ("postgres", "dlt.destinations.filesystem")],
    "unknown": hasattr(dlt.destinations, "warehouse"),
}
"""


def imported(program: str, *, is_lean: bool) -> tuple[Any, dict[str, Any]]:
    """Returns what the program found first, and what it found in the end, in a process of its own."""
    first = "from pipelines import lean_imports; lean_imports.block_unneeded()" if is_lean else ""
    last = "import json; print(json.dumps([began, found]))"
    process = subprocess.run(
        [sys.executable, "-c", "\n".join([first, program, last])], capture_output=True, text=True, check=True
    )
    began, found = json.loads(process.stdout)
    return began, found


@pytest.mark.duckdb2
@pytest.mark.skipif(sys.platform != "linux", reason="the threads of a process are counted in /proc")
def test_duckdb_is_imported_without_a_database_and_compares_types_as_before() -> None:
    threads, found = imported(TYPES, is_lean=True)

    assert threads == 1
    assert found == imported(TYPES, is_lean=False)[1]
    decimal, _, text, integer = found["columns"]  # the second one is no number in DuckDB 1.5, but one in DuckDB 2
    assert (decimal, text, integer) == (True, False, True)


@pytest.mark.versions
def test_arrows_functions_are_made_without_their_options_docstrings() -> None:
    has_parser, found = imported(FUNCTIONS, is_lean=True)

    assert not has_parser
    assert found == imported(FUNCTIONS, is_lean=False)[1]
    assert (found["result"], found["sorted"]) == (None, [0, 2, 1])


@pytest.mark.versions
def test_dlts_destinations_are_imported_when_they_are_used() -> None:
    loaded, found = imported(DESTINATIONS, is_lean=True)

    assert set(loaded) <= {"destination", "athena", "clickhouse", "databricks", "bigquery", "synapse"}  # by adapters
    assert found == imported(DESTINATIONS, is_lean=False)[1]


@pytest.mark.parametrize("more", ["", "duckdb.register()", "from os import path", "__version__ = 2"])
def test_a_module_that_does_more_than_import_destinations_is_executed(tmp_path: Path, more: str) -> None:
    file, module = tmp_path / "changed.py", ModuleType("changed")
    file.write_text(f'from dlt.destinations.impl.duckdb.factory import duckdb\n{more}\n__all__ = ["duckdb"]\n')

    lean_imports._Destinations("changed", str(file)).exec_module(module)

    assert ("duckdb" in vars(module)) == bool(more)
    assert module.duckdb is dlt.destinations.duckdb


@pytest.mark.parametrize(
    ("loader", "text"),
    [
        (lean_imports._TypeObjects, 'from _duckdb._sqltypes import DuckDBPyType as T\nfound = T("DECIMAL")\n'),
        (lean_imports._Functions, f"from {lean_imports.DOCSTRINGS} import FunctionDoc as found\n"),
    ],
)
def test_a_module_that_has_changed_is_executed_as_it_is(
    tmp_path: Path, loader: type[lean_imports._CheapLoader], text: str
) -> None:
    file, module = tmp_path / "changed.py", ModuleType("changed")
    file.write_text(text)

    loader("changed", str(file)).exec_module(module)

    assert not isinstance(module.found, lean_imports._NamedType)
    assert duckdb.sqltypes.DuckDBPyType is not lean_imports._NamedType
